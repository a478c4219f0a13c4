"""Turns a source model into a verified artifact that Triton can serve, and fetches such artifacts again.

Runs in a build Job, in the init container of a serving pod and on a laptop, and knows nothing of Kubernetes.
Only the standard library is imported before a command needs more: the image that pulls has no torch.
"""

import os

# ONNX Runtime reports its use to its maker unless told not to, and reads this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
