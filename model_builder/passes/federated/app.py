"""What Flower loads: the build as `server`, a node's site as `client`.

Run configuration of the server: `spec` and `out` as for the command `build`, and if wanted `store` and `cache`.
Configuration of a node: `spec`, whose `source` and `data.normalization` are those of the recipe and whose `data` is the
node's own; `folder`, a place of its own that outlives the run; and if wanted `name`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from model_builder.cache import Cache
from model_builder.cli import main
from model_builder.errors import BadSpec
from model_builder.export import normalized
from model_builder.inputs import Inputs
from model_builder.passes.federated.node import Own, client_app
from model_builder.passes.federated.nodes import offered
from model_builder.progress import SilentReporter
from model_builder.spec import load

server = ServerApp()


@server.main()
def build(grid: Grid, context: Context) -> None:
    """Build, with the nodes of the run for whatever pass asks for them."""
    given = {name: str(context.run_config.get(name, "")) for name in ("spec", "out", "store", "cache")}
    for name in ("spec", "out"):
        if not given[name]:
            raise BadSpec(
                f"the run configuration lacks {name!r}: add it under [tool.flwr.app.config] or to --run-config"
            )
    arguments = ["build", *(part for name, value in given.items() if value for part in (f"--{name}", value))]
    with offered(grid):
        code = main(arguments)
    if code:
        raise RuntimeError(f"the build failed with exit code {code}")


def own(context: Context) -> Own:
    """The node's rows, and its network before the server has sent the weights."""
    import torch

    for name in ("spec", "folder"):
        if name not in context.node_config:
            raise BadSpec(f"the configuration of the node lacks {name!r}: add it to --node-config")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    plan, folder = load(str(context.node_config["spec"])), Path(str(context.node_config["folder"]))
    cache = Cache.open(folder / "cache", tell=lambda _: None)
    with tempfile.TemporaryDirectory() as workspace:
        inputs = Inputs(spec=plan.spec, reporter=SilentReporter(), workspace=Path(workspace), cache=cache)
        source = inputs.source()
        if source.architecture is None:
            raise BadSpec("the source of a node is an ONNX graph, which can't learn: name an architecture")
        network = normalized(source.architecture.network, data=inputs.dataset)
        return Own(data=inputs.dataset, network=network, folder=folder, cache=cache)


client = client_app(own)
