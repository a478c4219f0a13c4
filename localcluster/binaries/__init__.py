"""Get the programs of a cluster: a given folder, PATH, the cache, official releases, else compile them."""

from localcluster.binaries.toolset import Toolset, ensure

__all__ = ["Toolset", "ensure"]
