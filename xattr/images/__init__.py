"""Arrays only: what goes into a model and what is made of maps."""

from xattr.images._baselines import (
    black,
    blurred,
    mean_color,
    uniform_noise,
    white,
)
from xattr.images._blur import gaussian_blur
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
from xattr.images._segments import segments

__all__ = [
    "STATUSES",
    "Preprocess",
    "black",
    "blurred",
    "channel_max_abs",
    "channel_norm",
    "channel_sum",
    "clip_percentile",
    "gaussian_blur",
    "mean_color",
    "min_max",
    "resize",
    "segments",
    "status",
    "symmetric",
    "uniform_noise",
    "white",
]
