"""Small pictures: noise with a patch in it, whose pattern is the class."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

SIZE = 24
PATTERNS = ("rows", "columns", "diagonals", "checks", "frame", "dots")
LEAST, MOST = 5, 9


def pictures(
    key: PRNGKeyArray, count: int
) -> tuple[Float[Array, "n h w 3"], Int[Array, " n"], Bool[Array, "n h w"]]:
    """Images, the class of each, and where its patch is.

    As in `planted_patch`, but a quarter smaller: neither the patch's two colours, nor
    its size, nor its place says anything about the class.
    """
    keys = jax.random.split(key, 6)
    labels = jax.random.randint(keys[0], (count,), 0, len(PATTERNS))
    sides = jax.random.randint(keys[1], (count, 1, 1), LEAST, MOST + 1)
    tops, lefts = jax.random.randint(keys[2], (2, count, 1, 1), 0, SIZE + 1 - sides)
    rows = jnp.arange(SIZE)[None, :, None] - tops
    columns = jnp.arange(SIZE)[None, None, :] - lefts
    inside = (rows >= 0) & (rows < sides) & (columns >= 0) & (columns < sides)
    edge = jnp.minimum(
        jnp.minimum(rows, columns), sides - 1 - jnp.maximum(rows, columns)
    )
    lit = jnp.stack(
        jnp.broadcast_arrays(
            rows // 2 % 2 == 0,
            columns // 2 % 2 == 0,
            (rows + columns) // 2 % 2 == 0,
            (rows // 2 + columns // 2) % 2 == 0,
            edge < 2,
            (rows % 3 == 1) & (columns % 3 == 1),
        )
    )
    lit = jnp.take_along_axis(lit, labels[None, :, None, None], axis=0)[0, ..., None]
    # The two colours are far apart, and either may be the brighter.
    dark = 0.3 * jax.random.uniform(keys[3], (count, 1, 1, 3))
    swap = jax.random.bernoulli(keys[4], shape=(count, 1, 1, 1))
    patch = jnp.where(lit != swap, 1 - dark[..., ::-1], dark)
    return jnp.where(inside[..., None], patch, noise(keys[5], count)), labels, inside


def noise(key: PRNGKeyArray, count: int) -> Float[Array, "n h w 3"]:
    """Coloured clouds with fine grain."""
    coarse, fine = jax.random.split(key)
    clouds = jax.random.normal(coarse, (count, SIZE // 8, SIZE // 8, 3))
    clouds = jax.image.resize(clouds, (count, SIZE, SIZE, 3), "bicubic")
    grain = jax.random.normal(fine, (count, SIZE, SIZE, 3))
    return jnp.clip(0.5 + 0.12 * clouds + 0.06 * grain, 0.0, 1.0)
