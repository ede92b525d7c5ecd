"""Methods that distribute a score among what it was computed from."""

from xattr.relevance._full_grad import full_grad
from xattr.relevance._full_gradients import full_gradients

__all__ = ["full_grad", "full_gradients"]
