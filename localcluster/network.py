"""The addresses of a cluster. They exist only in its own network namespace, so all clusters use the same ones."""

NODE_NAME = "node"
NODE_ADDRESS = "10.87.0.1"
NODE_PREFIX = 24
NODE_DEVICE = "node0"
POD_CIDR = "10.88.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
GATEWAY_ADDRESS = "10.96.0.80"
CLUSTER_DOMAIN = "cluster.local"

ETCD_PORT = 2379
API_PORT = 6443
PROMETHEUS_PORT = 9090
GATEWAY_PORT = 80
