"""Turns a source model into a verified artifact that Triton can serve, and fetches such artifacts again.

Runs in a build Job, in the init container of a serving pod and on a laptop, and knows nothing of Kubernetes.
Only the standard library is imported before a command needs more: the image that pulls has no torch.
"""

__version__ = "0.1.0"
