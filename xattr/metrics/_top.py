"""The largest values of a map, where several may be equal."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def share_of_top(
    maps: Float[Array, "n h w"], masks: Bool[Array, "n h w"], num: Int[Array, " n"]
) -> Float[Array, " n"]:
    """Share of the `num` largest values of each map that lies in the mask.

    Values that tie for the last places share them evenly: the mean over all orders.
    """
    n = len(maps)
    values, inside = maps.reshape(n, -1), masks.reshape(n, -1)
    last = jnp.take_along_axis(
        jnp.sort(values, 1, descending=True), jnp.maximum(num, 1)[:, None] - 1, axis=1
    )
    above, tied = values > last, values == last
    left = num - above.sum(1)
    found = (above & inside).sum(1) + left * (tied & inside).sum(1) / tied.sum(1)
    return (found / num).astype(maps.dtype)
