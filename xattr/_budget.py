"""How much memory a chunk of evaluations may take."""

import contextlib
import os
from collections.abc import Iterator

import jax

from xattr._checks import check_count

# On a CPU, chunks that outgrow the caches gain nothing; on an accelerator, large ones
# fill the device. Half of its memory is left to XLA's scratch space and to the caller.
_CPU_BYTES = 256 << 20
_ACCELERATOR_SHARE = 0.5

# JAX compiles again where it differs, in the caller's own programs as well.
_CHOSEN = jax.make_user_context(default_value=None)


@contextlib.contextmanager
def chunk_memory(num_bytes: int) -> Iterator[None]:
    """Bytes that the intermediate results of one chunk may take, within a `with`.

    Without it the budget follows the device and what of it is free when a method is
    traced, so that the same program may choose other chunks another time, and maps
    differ by rounding. Under a fixed budget they don't: chunks depend on the method,
    the model, the images' shape and this number alone.

    Args:
      num_bytes: the budget. At least one evaluation is made at a time, however little
        this is; `chunk_size` of a method goes before it.

    Returns:
      A context: methods called in it, and functions traced in it, keep to the budget.

    Raises:
      TypeError: if `num_bytes` is no integer.
      ValueError: if `num_bytes` is less than 1.

    Example:
      >>> import jax.numpy as jnp
      >>> import xattr
      >>> with chunk_memory(64 << 20):
      ...     maps = xattr.gradient(lambda x: 2 * x, jnp.ones((1, 3)))
      >>> maps
      Array([[2., 0., 0.]], dtype=float32)
    """
    check_count("num_bytes", num_bytes)
    with _CHOSEN(int(num_bytes)):
        yield


def memory_budget(least: int = 0) -> int:
    """Bytes that the intermediate results of one chunk may take.

    What the caller chose; else, on a CPU, `least` of them, unless that is an eighth of
    all.
    """
    if _CHOSEN.value is not None:
        return _CHOSEN.value
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        free = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
        return int(free * _ACCELERATOR_SHARE)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(max(_CPU_BYTES, least), total // 8)
