"""Methods that distribute a score among what it was computed from."""

from xattr.relevance._attention_rollout import attention_rollout
from xattr.relevance._full_grad import full_grad
from xattr.relevance._full_gradients import full_gradients
from xattr.relevance._generic_attention import generic_attention

__all__ = [
    "attention_rollout",
    "full_grad",
    "full_gradients",
    "generic_attention",
]
