"""The gateway's manifests: the chart in its own Go module, rendered once.

They are kept as JSON, since reading a megabyte of YAML would cost every ``up`` seconds.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from string import Template

import yaml

from localcluster import pins
from localcluster.binaries import compiler
from localcluster.errors import ClusterError
from localcluster.progress import Progress

NAMESPACE = "envoy-gateway-system"
IMAGE = "localhost/modelrelease/envoy-gateway:dev"
_VALUES = {"topologyInjector": {"enabled": False}}  # one node has no topology to inject


def make(*, module: Path, renderer: Path, result: Path, progress: Progress) -> None:
    """Write the list of all objects (definitions of the Gateway API included) to ``result``."""
    with progress.stage("rendering the gateway's chart"):
        text = _render(module=module, renderer=renderer)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        objects = [obj for obj in yaml.load_all(text, Loader=loader) if obj]
        draft = result.with_suffix(".new")
        draft.write_text(json.dumps(objects))
        draft.replace(result)


def _render(*, module: Path, renderer: Path) -> str:
    source = compiler.module_folder(module=module, path=pins.ENVOY_GATEWAY_MODULE) / "charts" / "gateway-helm"
    with tempfile.TemporaryDirectory() as scratch:
        chart = Path(scratch) / "chart"
        _copy(source=source, target=chart)
        values = Template((chart / "values.tmpl.yaml").read_text())
        (chart / "values.yaml").write_text(
            values.safe_substitute(GatewayImage=IMAGE, GatewayImagePullPolicy="IfNotPresent")
        )
        command = [str(renderer), str(chart), "eg", NAMESPACE]
        done = subprocess.run(command, input=json.dumps(_VALUES), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"the gateway's chart could not be rendered: {done.stderr.strip()}"
        raise ClusterError(msg)
    return done.stdout


def _copy(*, source: Path, target: Path) -> None:
    """Copy a tree without its permissions: files of the Go module cache can't be written."""
    for path in source.rglob("*"):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
