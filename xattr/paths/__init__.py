"""Methods that follow a path from a baseline to the image."""

from xattr.paths._blur_integrated_gradients import blur_integrated_gradients
from xattr.paths._conductance import conductance
from xattr.paths._expected_gradients import expected_gradients
from xattr.paths._guided_integrated_gradients import guided_integrated_gradients
from xattr.paths._integrated_gradients import integrated_gradients
from xattr.paths._internal_influence import internal_influence
from xattr.paths._layer_integrated_gradients import layer_integrated_gradients
from xattr.paths._xrai import xrai

__all__ = [
    "blur_integrated_gradients",
    "conductance",
    "expected_gradients",
    "guided_integrated_gradients",
    "integrated_gradients",
    "internal_influence",
    "layer_integrated_gradients",
    "xrai",
]
