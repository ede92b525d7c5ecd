"""Neural constellations: channels whose places keep together are parts of an object."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from xattr._checks import check_count
from xattr.graph._graph import Placement, Site
from xattr.graph._part_proposals import Proposals

# A channel without a place is as far from where it should be as a corner from the
# opposite one. No place depends on it, so that it only says which channels to avoid.
_DIAGONAL = 2.0


class Constellation(NamedTuple):
    """Parts and how they lie to each other, from each side that an object shows.

    Attributes:
      channels: those that are visible in most images, the most frequent first.
      parts: which channels are the parts of each view.
      offsets: where each part is, from the anchor, as shares of the image.
      anchors: of the objects in the images that the model was learnt from.
      views: the view of each of these images.
      visible: which of the parts are seen in each of them.
      errors: mean squared distance of the visible parts from where the model says,
        after each round.
    """

    channels: Int[Array, " m"]
    parts: Bool[Array, "v d"]
    offsets: Float[Array, "v d 2"]
    anchors: Float[Array, "i 2"]
    views: Int[Array, " i"]
    visible: Bool[Array, "i d"]
    errors: Float[Array, " r"]


def fit_constellation(
    positions: Float[np.ndarray | Array, "i d 2"],
    *,
    num_views: int = 10,
    num_parts: int = 10,
    num_visible: int = 5,
    num_rounds: int = 15,
    num_restarts: int = 5,
    key: PRNGKeyArray,
) -> Constellation:
    r"""Channels that lie to each other as parts of an object do.

    With $\mu$ the proposed positions, $s_i$ the view and $h_i$ the visible parts of an
    image, and $b_v$ the parts of a view:

    $$ \min_{a, d, b, s, h} \sum_i \sum_{p \in h_i \subset b_{s_i}}
       \|\mu_{ip} - a_i - d_{s_i p}\|^2 $$

    A round finds offsets $d$, then anchors $a$, then parts, then views and what is
    visible; none of these steps can make the error larger.

    Args:
      positions: of each channel in images of one category, as shares of the image; not
        a number where there is none.
      num_views: sides from which objects are seen.
      num_parts: channels of each view.
      num_visible: parts that are seen in each image.
      num_rounds: how often all is found anew.
      num_restarts: random starts, of which the one with the smallest error is kept.
      key: of the random starts.

    Returns:
      The model. A channel without a position in an image counts there as the image's
      diagonal.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if there are fewer channels than `num_parts`, fewer parts than
        `num_visible`, no images, or positions are infinite.

    Example:
      >>> moving = jnp.array([[0.2, 0.2], [0.4, 0.4], [0.6, 0.6]])
      >>> other = jnp.array([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]])
      >>> found = fit_constellation(
      ...     jnp.stack([moving, other, moving + 0.1], axis=1), num_views=1,
      ...     num_parts=2, num_visible=2, key=jax.random.key(0))
      >>> found.channels.tolist()
      [0, 2]
      >>> between = found.offsets[0, 2] - found.offsets[0, 0]
      >>> between.round(3).tolist(), float(found.errors[-1].round(6))
      ([0.10000000149011612, 0.10000000149011612], 0.0)

    References:
      [simon2015neural].

    Notes:
      In the authors' code, offsets do not depend on the view, and the error may rise.
      Here they do. Parts are proposed as there, those with the smallest error in the
      images of the view, but replace others only where the error falls.

      Any number of channels is visible somewhere. As in that code, as many are kept as
      a view has parts.
    """
    counts = {
        "num_views": num_views,
        "num_parts": num_parts,
        "num_visible": num_visible,
        "num_rounds": num_rounds,
        "num_restarts": num_restarts,
    }
    for name, value in counts.items():
        check_count(name, value)
    images, channels, _ = positions.shape
    if images == 0 or np.isinf(np.asarray(positions)).any():
        raise ValueError(
            f"`positions` is of {images} images, or infinite; there must be at least "
            "one image, and positions must be shares of it, or not a number: "
            "`part_proposals(model, images, site=...).positions`."
        )
    if not num_visible <= num_parts <= channels:
        raise ValueError(
            f"`num_visible`={num_visible} of `num_parts`={num_parts} of {channels} "
            "channels; none may be more than the next: "
            f"`num_parts={min(num_parts, channels)}, "
            f"num_visible={min(num_visible, num_parts, channels)}`."
        )
    return _fit(jnp.asarray(positions), key, **counts)


def place_constellation(
    constellation: Constellation, proposals: Proposals, site: Site
) -> Placement:
    """Where the channels of a constellation are in images.

    Args:
      constellation: learnt from the same site's channels.
      proposals: of all channels of the site, in any images.
      site: on whose grid positions are wanted.

    Returns:
      One node per channel of `constellation.channels`, in that order. Score and peak
      are the channel's highest activation. A channel that depends on no pixel is at the
      first cell, with score 0.

    Raises:
      ValueError: if proposals are of another number of channels.

    Example:
      >>> positions = jnp.array([[[0.1, 0.3], [0.5, 0.5]]])
      >>> found = fit_constellation(
      ...     positions, num_views=1, num_parts=1, num_visible=1, key=jax.random.key(0))
      >>> found = found._replace(channels=jnp.array([1]))
      >>> site = Site("conv", 7, 7, 2, 1)
      >>> proposals = Proposals(positions, jnp.array([[4.0, 2.0]]))
      >>> place_constellation(found, proposals, site).positions.tolist()
      [[[3.0, 3.0]]]

    References:
      [simon2015neural].

    Notes:
      As in the authors' code, nothing is inferred from where the others are: every
      channel is visible in every image.
    """
    learnt, given = constellation.parts.shape[1], proposals.scores.shape[1]
    if learnt != given:
        raise ValueError(
            f"`proposals` are of {given} channels, but the constellation was learnt "
            f"from {learnt}; both must be of the same site: "
            "`part_proposals(model, images, site=...)`."
        )
    shares = proposals.positions[:, constellation.channels]
    scores = proposals.scores[:, constellation.channels]
    sides = jnp.array([site.height, site.width], shares.dtype)
    cells = shares * sides[None, None] - 0.5
    return Placement(jnp.where(jnp.isnan(cells), 0, cells), scores, scores)


class _State(NamedTuple):
    """What a round changes."""

    anchors: Float[Array, "i 2"]
    offsets: Float[Array, "v d 2"]
    parts: Bool[Array, "v d"]
    views: Int[Array, " i"]
    visible: Bool[Array, "i d"]


@functools.partial(
    jax.jit,
    static_argnames=(
        "num_views",
        "num_parts",
        "num_visible",
        "num_rounds",
        "num_restarts",
    ),
)
def _fit(
    positions: Float[Array, "i d 2"],
    key: PRNGKeyArray,
    num_views: int,
    num_parts: int,
    num_visible: int,
    num_rounds: int,
    num_restarts: int,
) -> Constellation:
    there = ~jnp.isnan(positions).any(-1)
    places = jnp.where(there[..., None], positions, 0)

    def restart(key: PRNGKeyArray) -> tuple[_State, Float[Array, " r"]]:
        start = _start(key, places, there, num_views, num_parts)

        def step(state: _State, _: None) -> tuple[_State, Float[Array, ""]]:
            return _round(state, places, there, num_parts, num_visible)

        return jax.lax.scan(step, start, length=num_rounds)

    states, errors = jax.lax.map(restart, jax.random.split(key, num_restarts))
    best = errors[:, -1].argmin()
    state, errors = jax.tree.map(lambda x: x[best], (states, errors))
    visible = state.visible & there
    # Where fewer are seen at all, parts that are not come before what is no part.
    frequency = visible.sum(0) + 0.5 * state.parts.any(0)
    _, channels = jax.lax.top_k(frequency, num_parts)
    return Constellation(
        channels,
        state.parts,
        state.offsets,
        state.anchors,
        state.views,
        visible,
        errors,
    )


def _start(
    key: PRNGKeyArray,
    places: Float[Array, "i d 2"],
    there: Bool[Array, "i d"],
    num_views: int,
    num_parts: int,
) -> _State:
    """Random views and parts; everything is visible, and one anchor is all images'."""
    images, channels, _ = places.shape
    of_views, of_parts = jax.random.split(key)
    views = jax.random.randint(of_views, (images,), 0, num_views)
    _, parts = _smallest(jax.random.uniform(of_parts, (num_views, channels)), num_parts)
    anchor = places.sum((0, 1)) / jnp.maximum(there.sum(), 1)
    return _State(
        jnp.broadcast_to(anchor, (images, 2)),
        jnp.zeros((num_views, channels, 2), places.dtype),
        parts,
        views,
        there,
    )


def _round(
    state: _State,
    places: Float[Array, "i d 2"],
    there: Bool[Array, "i d"],
    num_parts: int,
    num_visible: int,
) -> tuple[_State, Float[Array, ""]]:
    """Each unknown in turn, as the others are; and the error that is left."""
    of_view = jax.nn.one_hot(state.views, len(state.parts), dtype=places.dtype)
    per_view = functools.partial(jnp.matmul, of_view.T, precision="highest")
    seen = state.visible & there

    # Offsets. Those of channels that a view doesn't show are free: they are what makes
    # the channel a part, if anything does.
    away = places - state.anchors[:, None]
    shown, num_shown = _mean(of_view, away, seen)
    any_, num_any = _mean(of_view, away, there)
    offsets = jnp.where(num_any[..., None] > 0, any_, state.offsets)
    offsets = jnp.where(num_shown[..., None] > 0, shown, offsets)

    # Anchors.
    apart = jnp.where(seen[..., None], places - offsets[state.views], 0)
    num_seen = seen.sum(1)[:, None]
    anchors = apart.sum(1) / jnp.maximum(num_seen, 1)
    anchors = jnp.where(num_seen > 0, anchors, state.anchors)

    def squared(offsets: Float[Array, "#i d 2"]) -> Float[Array, "i d"]:
        distance = ((places - anchors[:, None] - offsets) ** 2).sum(-1)
        return jnp.where(there, distance, _DIAGONAL)

    def cost(squares: Float[Array, "i d"], parts: Bool[Array, "#i d"]):
        return _smallest(jnp.where(parts, squares, jnp.inf), num_visible)

    # Parts.
    own = squared(offsets[state.views])
    _, proposed = _smallest(per_view(own), num_parts)
    gain = cost(own, state.parts[state.views])[0] - cost(own, proposed[state.views])[0]
    better = per_view(gain) > 0
    parts = jnp.where(better[:, None], proposed, state.parts)

    # Views, and what is visible.
    costs = jax.lax.map(
        lambda view: cost(squared(view[0][None]), view[1][None])[0], (offsets, parts)
    )
    views = costs.argmin(0)
    totals, visible = cost(squared(offsets[views]), parts[views])
    state = _State(anchors, offsets, parts, views, visible)
    return state, totals.mean() / num_visible


def _mean(
    of_view: Float[Array, "i v"],
    away: Float[Array, "i d 2"],
    counted: Bool[Array, "i d"],
) -> tuple[Float[Array, "v d 2"], Float[Array, "v d"]]:
    """Mean over the images of each view, and how many there were."""
    product = functools.partial(jnp.einsum, precision="highest")
    weights = counted.astype(away.dtype)
    num = product("iv,id->vd", of_view, weights)
    total = product("iv,idk->vdk", of_view, away * weights[..., None])
    return total / jnp.maximum(num, 1)[..., None], num


def _smallest(
    values: Float[Array, "r d"], num: int
) -> tuple[Float[Array, " r"], Bool[Array, "r d"]]:
    """Sum of the smallest values of each row, and which they are."""
    found, index = jax.lax.top_k(-values, num)
    rows = jnp.arange(len(values))[:, None]
    return -found.sum(1), jnp.zeros(values.shape, bool).at[rows, index].set(True)
