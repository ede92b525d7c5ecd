"""The energy-based pointing game: how much of a map lies in the box."""

from jaxtyping import Array, Bool, Float

from xattr.metrics._relevance_mass import relevance_mass


def energy_pointing_game(
    maps: Float[Array, "n *shape"], masks: Bool[Array, "n h w"]
) -> Float[Array, " n"]:
    r"""Share of the map's positive energy that lies in the object's boxes.

    $$ \frac{\sum_{u \in M} \mathrm{ReLU}(a_u)}{\sum_u \mathrm{ReLU}(a_u)} $$

    Args:
      maps: `n h w` or `n h w 1`, of the image's size.
      masks: True inside the boxes $M$, see `boxes_to_masks`.

    Returns:
      A number in [0, 1]; larger is better. Not a number where there is no box, nothing
      is positive, or the map is not finite.

    Raises:
      TypeError: if masks are not True and False.
      ValueError: if maps and masks don't fit.

    Example:
      >>> import jax.numpy as jnp
      >>> mask = jnp.array([[[True, False, False]]])
      >>> energy_pointing_game(jnp.array([[[3.0, 1.0, -7.0]]]), mask)
      Array([0.75], dtype=float32)

    References:
      [wang2020score].

    Notes:
      The maps of the paper are CAMs, never negative, so that its formula has no ReLU.
      It leaves out images whose box covers more than half of them, which
      `masks.mean((1, 2)) > 0.5` finds. Maps that are scaled to [0, 1] first, by
      `xattr.images.min_max`, give another number unless their minimum is 0. The same
      number as `relevance_mass` of what is positive.
    """
    return relevance_mass(maps, masks, sign="positive")
