"""What a person chooses about the demo, and what follows from it."""

from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ClusterError

STEPS = (10, 25, 50)
HOLDBACK = 1  # percent of the traffic that stay on the old version in the bake, to compare with
NAMESPACE = "demo"
RELEASE = "digits"
MODEL = "digits"
HTTP_HOST = "digits.demo.example"
GRPC_HOST = "digits-grpc.demo.example"
CLAIM = "artifacts"

MIN_REQUESTS = 15
# Wide margins let a step pass after some forty requests; with fewer a second it takes minutes.
_LEAST_SHARE = 2.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be chosen on the command line."""

    name: str = "demo"
    rate: float = 60.0
    interval: int = 5
    bake: int = 20
    keep: bool = False
    out: Path = Path("out")
    context: str | None = None
    gateway_address: str | None = None
    gateway: str = "gateway-system/modelrelease-gateway"
    overlay: Path = Path("manifests/overlays/local")
    builder_image: str = "localhost/modelrelease/builder:dev"
    triton_image: str = "localhost/modelrelease/triton:dev"
    backend: str = "python"
    live: bool | None = None
    """Whether the view is redrawn in place; None: where standard output is a terminal."""

    def __post_init__(self) -> None:
        share = self.rate * STEPS[0] / 100
        if share < _LEAST_SHARE:
            msg = (
                f"{self.rate:g} requests/s give the first step of {STEPS[0]} % only {share:g} a second, too few for a "
                f"verdict within a minute: raise --rate to {100 * _LEAST_SHARE / STEPS[0]:g} or more"
            )
            raise ClusterError(msg)
        if self.context is not None and self.gateway_address is None:
            msg = "--context needs --gateway-address HOST:PORT: where the cluster's gateway answers from this machine"
            raise ClusterError(msg)
