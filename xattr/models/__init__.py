"""Networks of Flax NNX, their weights, and what is bundled with the package."""

from xattr.models._bundled import photographs
from xattr.models._convert import to_tensors, with_tensors
from xattr.models._files import read_weights
from xattr.models._load import Pretrained, load, load_network, names
from xattr.models._network import Network, Normalize
from xattr.models._untrained import untrained

__all__ = [
    "Network",
    "Normalize",
    "Pretrained",
    "load",
    "load_network",
    "names",
    "photographs",
    "read_weights",
    "to_tensors",
    "untrained",
    "with_tensors",
]
