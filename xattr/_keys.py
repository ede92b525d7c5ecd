"""Explicit randomness: one key per image, so that a map depends on its image alone."""

import jax
import jax.numpy as jnp

from xattr._types import Keys


def per_image(key: Keys | None, n: int) -> Keys:
    """One key per image, from one key folded with the position or from `n` keys."""
    if key is None:
        raise ValueError(
            "`key` is None, but this method draws at random. Pass one key, "
            "`key=jax.random.key(0)`, or one per image, "
            "`key=jax.random.split(jax.random.key(0), n)`."
        )
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        found = f"a {type(key).__name__}" if dtype is None else f"an array of {dtype}"
        raise TypeError(
            f"`key` is {found}; it must be a typed key, `jax.random.key(0)`."
        )
    if key.shape == ():
        return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))
    if key.shape != (n,):
        raise ValueError(
            f"`key` has shape {key.shape}; it must be one key, or one for each of the "
            f"{n} images: `jax.random.split(key, {n})`."
        )
    return key
