"""Arrays only: what goes into a model and what is made of maps."""

from xattr.images._preprocess import Preprocess
from xattr.images._reduce import (
    STATUSES,
    channel_max_abs,
    channel_norm,
    channel_sum,
    clip_percentile,
    min_max,
    status,
    symmetric,
)
from xattr.images._resample import resize

__all__ = [
    "STATUSES",
    "Preprocess",
    "channel_max_abs",
    "channel_norm",
    "channel_sum",
    "clip_percentile",
    "min_max",
    "resize",
    "status",
    "symmetric",
]
