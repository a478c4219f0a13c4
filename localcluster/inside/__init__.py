"""What runs inside the cluster's namespaces: the supervisor (process 1), the door and the volume provisioner."""
