"""Methods that take one gradient with respect to the image."""

from xattr.gradients._gradient import gradient

__all__ = ["gradient"]
