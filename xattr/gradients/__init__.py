"""Methods that take one gradient with respect to the image."""

from xattr.gradients._gradient import gradient
from xattr.gradients._input_x_gradient import input_x_gradient

__all__ = ["gradient", "input_x_gradient"]
