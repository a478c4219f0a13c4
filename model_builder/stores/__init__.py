"""Where artifacts are kept: scheme -> store. A new store is a new file and a line here."""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from model_builder.decode import suggest
from model_builder.errors import BadSpec
from model_builder.stores.base import Store
from model_builder.stores.file import FileStore
from model_builder.stores.objects import ObjectStore
from model_builder.stores.oci import OciStore

REGISTRY: Mapping[str, Callable[[str], Store]] = {
    "file": FileStore.parse,
    "s3": ObjectStore.parse,
    "gs": ObjectStore.parse,
    "az": ObjectStore.parse,
    "oci": OciStore.parse,
}


def open_store(uri: str) -> Store:
    """The store (or the artifact in it) that a URI names."""
    scheme = urlsplit(uri).scheme
    if scheme not in REGISTRY:
        raise BadSpec(f"the store is {uri!r}; schemes: {suggest(scheme, REGISTRY)} (a mounted volume is file:///path)")
    return REGISTRY[scheme](uri)
