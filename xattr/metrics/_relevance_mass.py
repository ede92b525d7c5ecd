"""Relevance mass: the share of a map that lies on the object."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from xattr.metrics._annotations import annotated, where_defined

_SIGNS = {"positive": jax.nn.relu, "absolute": jnp.abs, "signed": lambda maps: maps}


def relevance_mass(
    maps: Float[Array, "n *shape"],
    masks: Bool[Array, "n h w"],
    *,
    sign: Literal["positive", "absolute", "signed"] = "positive",
) -> Float[Array, " n"]:
    r"""Share of the relevance that lies on the object.

    $$ \frac{\sum_{u \in M} a_u}{\sum_u a_u} $$

    Args:
      maps: `n h w` or `n h w 1`, of the image's size.
      masks: True inside the object $M$.
      sign: what counts as relevance: what is `positive`, the `absolute` value, or all
        of it `signed`.

    Returns:
      A number in [0, 1] (any, for `signed`); larger is better. The object's share of
      the image is what a constant map gets. Not a number where there is no object, no
      relevance at all, or the map is not finite.

    Raises:
      TypeError: if masks are not True and False.
      ValueError: if maps and masks don't fit, or `sign` is none of the above.

    Example:
      >>> mask = jnp.array([[[True, True, False]]])
      >>> relevance_mass(jnp.array([[[2.0, 1.0, 1.0]]]), mask)
      Array([0.75], dtype=float32)

    References:
      [arras2022clevr], relevance mass accuracy.

    Notes:
      The paper's maps are never negative. Quantus is `signed` by default, whose sums
      may cancel, and `absolute` with its `abs=True`.
    """
    if sign not in _SIGNS:
        raise ValueError(
            f"`sign`={sign!r} is none of {', '.join(_SIGNS)}: `sign='positive'`."
        )
    maps = annotated(maps, masks)
    relevance = _SIGNS[sign](maps)
    # Large or tiny maps must not overflow their sum, nor vanish.
    relevance = relevance / jnp.abs(relevance).max((1, 2), keepdims=True)
    share = jnp.where(masks, relevance, 0).sum((1, 2)) / relevance.sum((1, 2))
    return where_defined(share, maps, masks)
