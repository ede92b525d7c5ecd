"""Learning a layer of an explanatory graph."""

from functools import partial
from math import sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from xattr._checks import check_count
from xattr.graph._constants import Constants
from xattr.graph._edges import choose_parents
from xattr.graph._expectation import Explained
from xattr.graph._graph import Features, Layer, Placement
from xattr.graph._maximization import exact_means, learnt_scales, moved_means
from xattr.graph._sweep import Above, ratio_of, rested, side_of, sweep


class State(NamedTuple):
    """A layer that is being learnt.

    Attributes:
      layer: so far; its edges mean nothing before the second iteration.
      placement: of its nodes, as the last iteration began.
      iteration: how many there were.
    """

    layer: Layer
    placement: Placement
    iteration: Int[Array, ""]


class Fitted(NamedTuple):
    """A layer that was learnt.

    Attributes:
      layer: the nodes.
      placement: where they are in the images that they were learnt from.
      log_likelihood: of these images' activation before each iteration and at the end.
    """

    layer: Layer
    placement: Placement
    log_likelihood: Float[Array, " t"]


def init(
    key: PRNGKeyArray,
    features: Features,
    *,
    nodes_per_channel: int,
    num_parents: int = 15,
) -> State:
    """Nodes at distinct random cells, before anything is learnt.

    Raises:
      ValueError: if there are more nodes per channel than cells.
    """
    images, height, width, channels = features.levels.shape
    if not 1 <= nodes_per_channel <= height * width:
        raise ValueError(
            f"`nodes_per_channel`={nodes_per_channel}; a map of {height} by {width} "
            f"has cells for 1 to {height * width}."
        )
    cells = jax.vmap(lambda k: jax.random.permutation(k, height * width))(
        jax.random.split(key, channels)
    )[:, :nodes_per_channel].reshape(-1)
    means = jnp.stack(divmod(cells, width), -1).astype(features.step.dtype)
    count = means.shape[0]
    nothing = jnp.zeros((images, count), means.dtype)
    layer = Layer(
        means,
        jnp.full(count, 0.15 * sqrt(height * width), means.dtype),
        jnp.zeros((count, num_parents), int),
        means,
        jnp.ones((), means.dtype),
    )
    start = jnp.broadcast_to(means, (images, count, 2))
    return State(layer, Placement(start, nothing, nothing), jnp.zeros((), int))


@partial(jax.jit, static_argnames="constants")
def step(
    state: State,
    features: Features,
    above: Above | None = None,
    *,
    constants: Constants | None = None,
) -> tuple[State, Float[Array, ""]]:
    """One iteration, and the log-likelihood before it.

    The first one, and all of a layer with none above, take nodes for where they are in
    the mean.
    """
    constants = constants or Constants()
    if above is None:
        return _iterate(state, features, None, constants)
    return jax.lax.cond(
        state.iteration == 0,
        lambda: _iterate(state, features, None, constants),
        lambda: _iterate(
            _connected(state, features, above, constants), features, above, constants
        ),
    )


def _connected(
    state: State, features: Features, above: Above, constants: Constants
) -> State:
    """With edges by where all nodes were in the last iteration."""
    if constants.frozen:
        return state
    height, width = features.levels.shape[1:3]
    own, grid = side_of(features), (above.height, above.width)
    parents = choose_parents(
        state.placement,
        above.placement,
        strides=(1 / own, 1 / sqrt(above.height * above.width)),
        border=(height, width) if constants.compat == "matlab" else grid,
        num_parents=state.layer.parents.shape[1],
        num_candidates=constants.num_candidates,
    )
    return state._replace(layer=state.layer._replace(parents=parents))


def _iterate(
    state: State, features: Features, above: Above | None, constants: Constants
) -> tuple[State, Float[Array, ""]]:
    layer, iteration = state.layer, state.iteration + 1
    stddevs, found, placement = _swept(layer, features, above, constants)
    if constants.update == "exact":
        means = exact_means(layer.means, found)
    else:
        means = moved_means(layer.means, stddevs, found, iteration, constants.eta)
    scales = layer.scales
    if not constants.frozen:
        height, width, channels = features.levels.shape[1:]
        density = scales.size / (channels * height * width)
        scales = learnt_scales(scales, found, density, constants.compat)
    layer, placement = rested(layer, placement)
    layer = layer._replace(means=means, scales=scales)
    return State(layer, placement, iteration), found.log_likelihood


def _swept(
    layer: Layer, features: Features, above: Above | None, constants: Constants
) -> tuple[Float[Array, " v"], Explained, Placement]:
    return sweep(
        layer,
        features,
        above,
        tau=constants.tau,
        candidates=constants.candidates,
        ratio=ratio_of(features, above, constants.compat),
    )


@partial(jax.jit, static_argnames=("nodes_per_channel", "num_iterations", "constants"))
def fit_layer(
    features: Features,
    above: Above | None = None,
    *,
    nodes_per_channel: int,
    num_iterations: int = 20,
    constants: Constants | None = None,
    key: PRNGKeyArray,
) -> Fitted:
    """Learn the nodes of a layer; all iterations are one program.

    Args:
      features: of the images.
      above: the layer above in the same images; None for the top layer.
      nodes_per_channel: how many nodes look at each channel.
      num_iterations: how many there are.
      constants: what learning goes by.
      key: of the cells at which nodes begin.

    Raises:
      TypeError: if a count is no whole number.
      ValueError: if there are more nodes per channel than cells, fewer nodes above than
        parents, or no iterations; or if edges are to be kept, of which a new layer has
        none.

    References:
      [zhang2018interpreting].
    """
    constants = constants or Constants()
    check_count("num_iterations", num_iterations)
    if above is not None and constants.frozen:
        raise ValueError(
            "`frozen`=True keeps edges, of which a layer that is yet to be learnt has "
            "none: begin with `Constants()`, and go on from its state by `step(state, "
            "features, above, constants=Constants(frozen=True))`."
        )
    parents = 0 if above is None else constants.num_parents
    if above is not None and above.layer.means.shape[0] < parents:
        raise ValueError(
            f"`num_parents`={parents}; the layer above has "
            f"{above.layer.means.shape[0]} nodes: `Constants(num_parents=...)` of at "
            "most these."
        )
    state = init(
        key, features, nodes_per_channel=nodes_per_channel, num_parents=parents
    )
    state, first = _iterate(state, features, None, constants)

    def more(state: State, _: None) -> tuple[State, Array]:
        if above is not None:
            state = _connected(state, features, above, constants)
        return _iterate(state, features, above, constants)

    state, rest = jax.lax.scan(more, state, length=num_iterations - 1)
    if above is not None and num_iterations == 1:
        # Whoever infers goes by the edges, however few iterations there were.
        state = _connected(state, features, above, constants)
    _, found, placement = _swept(state.layer, features, above, constants)
    layer, placement = rested(state.layer, placement)
    curve = jnp.concatenate([first[None], rest, found.log_likelihood[None]])
    return Fitted(layer, placement, curve)


@partial(jax.jit, static_argnames="constants")
def place(
    layer: Layer,
    features: Features,
    above: Above | None = None,
    *,
    constants: Constants | None = None,
) -> Placement:
    """Where the nodes of a layer are in images, which need not be those it is from."""
    _, _, found = _swept(layer, features, above, constants or Constants())
    return found._replace(scores=found.scores / layer.strength)
