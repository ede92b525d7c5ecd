"""How far two maps are apart."""

import jax.numpy as jnp
from jaxtyping import Array


def largest(maps: Array) -> Array:
    """Largest magnitude, never zero."""
    return jnp.maximum(jnp.abs(maps).max(), jnp.finfo(maps.dtype).tiny)


def assert_small(deviation: Array, tolerance: float, what: str) -> None:
    """Raise where a relative deviation is beyond the tolerance, or not a number."""
    worst = float(jnp.abs(deviation).max())
    if not worst <= tolerance:
        raise AssertionError(
            f"{what}: largest relative deviation {worst:.3g}, allowed {tolerance:.3g}"
        )
