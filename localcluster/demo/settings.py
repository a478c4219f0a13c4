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

_LEAST_REQUESTS = 15
# A step should be judged at its first look: what it needs must be there by then, and latencies are known 10 s late.
_SHARE_NEEDED = 0.25


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be chosen on the command line."""

    name: str = "demo"
    rate: float = 60.0
    interval: int = 15
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
        expected = self.rate * self.interval * STEPS[0] / 100
        if expected * _SHARE_NEEDED < _LEAST_REQUESTS:
            msg = (
                f"{self.rate:g} requests/s for {self.interval} s give the first step of {STEPS[0]} % only "
                f"{expected:.0f} requests, but judging it takes {_LEAST_REQUESTS / _SHARE_NEEDED:.0f}: "
                "raise --rate or --interval"
            )
            raise ClusterError(msg)
        if self.context is not None and self.gateway_address is None:
            msg = "--context needs --gateway-address HOST:PORT: where the cluster's gateway answers from this machine"
            raise ClusterError(msg)

    @property
    def min_requests(self) -> int:
        """The requests that a verdict needs: what the first step's share of the traffic brings in one interval."""
        return int(self.rate * self.interval * STEPS[0] / 100 * _SHARE_NEEDED)
