"""Files on disk: what there is to explain, and reading it without surprises."""

from xattr.data._batches import Batch, read_batches
from xattr.data._read import (
    MAX_PIXELS,
    UnreadableImage,
    read_image,
)
from xattr.data._sources import Found, Problem, display_name, find_images

__all__ = [
    "MAX_PIXELS",
    "Batch",
    "Found",
    "Problem",
    "UnreadableImage",
    "display_name",
    "find_images",
    "read_batches",
    "read_image",
]
