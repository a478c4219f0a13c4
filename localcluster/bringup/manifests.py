"""Read the manifests of this package, with the cluster's addresses filled in."""

from pathlib import Path
from string import Template

import yaml

from localcluster import network
from localcluster.kube import Object

_FOLDER = Path(__file__).resolve().parent.parent / "manifests"
_VALUES = {name: str(value) for name, value in vars(network).items() if name.isupper()}


def read(name: str) -> list[Object]:
    """Return the objects of one manifest file."""
    text = Template((_FOLDER / f"{name}.yaml").read_text()).substitute(_VALUES)
    return [obj for obj in yaml.safe_load_all(text) if obj]
