"""Methods that follow a path from a baseline to the image."""

from xattr.paths._expected_gradients import expected_gradients
from xattr.paths._integrated_gradients import integrated_gradients

__all__ = ["expected_gradients", "integrated_gradients"]
