"""A real Kubernetes on one Linux machine, without Docker and without an image registry.

A development and test tool: etcd, API server, controllers, kubelet, containerd, DNS, Envoy Gateway and
Prometheus run as plain processes in namespaces of their own, so that one kill removes a cluster whole.
"""
