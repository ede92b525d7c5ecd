"""Arrays only: what goes into a model and what is made of maps."""

from xattr.images._baselines import (
    black,
    blurred,
    mean_color,
    uniform_noise,
    white,
)
from xattr.images._blur import gaussian_blur
from xattr.images._component import component
from xattr.images._masks import Enlarge, grid_masks
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
from xattr.images._resample import Resize, resize
from xattr.images._segments import segments
from xattr.images._stretch import Stretch
from xattr.images._superpixels import superpixels
from xattr.images._tokens import tokens_to_grid

__all__ = [
    "STATUSES",
    "Enlarge",
    "Preprocess",
    "Resize",
    "Stretch",
    "black",
    "blurred",
    "channel_max_abs",
    "channel_norm",
    "channel_sum",
    "clip_percentile",
    "component",
    "gaussian_blur",
    "grid_masks",
    "mean_color",
    "min_max",
    "resize",
    "segments",
    "status",
    "superpixels",
    "symmetric",
    "tokens_to_grid",
    "uniform_noise",
    "white",
]
