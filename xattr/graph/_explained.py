"""What nodes explain of a prediction: the score with, and without, their units."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._model import Model
from xattr._scores import logit, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Predictor, Score
from xattr.graph._graph import Placement, Site
from xattr.program import Site as Activation
from xattr.program import split_at

Units = Bool[Array, "i h w d"]


def node_units(
    placement: Placement,
    site: Site,
    *,
    keep: Bool[Array, " v"] | Bool[Array, "i v"] | None = None,
) -> Units:
    """The units that belong to nodes: the nearest to each one, in its channel.

    Args:
      placement: of the site's nodes in images.
      site: of the nodes.
      keep: True for the nodes that are meant, in all images or in each; all when None.

    Returns:
      True for the units of these nodes. Several nodes may share a unit; a node outside
      the map has the nearest one at its border.

    Raises:
      ValueError: if the placement is not of the site, or `keep` not of the placement.

    Example:
      >>> positions = jnp.array([[[0.2, 0.0], [0.9, 1.0]]])
      >>> there = Placement(positions, jnp.ones((1, 2)), jnp.ones((1, 2)))
      >>> units = node_units(there, Site("conv", 2, 2, 2, 1))
      >>> units[0, ..., 0].astype(int).tolist(), units[0, ..., 1].astype(int).tolist()
      ([[1, 0], [0, 0]], [[0, 0], [0, 1]])

    References:
      [zhang2018interpreting].
    """
    i, v = placement.scores.shape
    if v != site.channels * site.nodes_per_channel:
        raise ValueError(
            f"`placement` is of {v} nodes, but `site`={site.name!r} has "
            f"{site.channels} x {site.nodes_per_channel}; pass the site of its layer."
        )
    kept = np.ones(v, bool) if keep is None else np.asarray(keep)
    if kept.shape not in ((v,), (i, v)):
        raise ValueError(
            f"`keep` has shape {kept.shape}; it must say of {v} nodes, or of {i} x {v} "
            "in images, whether they are meant: `keep=placement.scores > 1`."
        )
    images, nodes = np.nonzero(np.broadcast_to(kept, (i, v)))
    # Halves go up, as where nodes are looked for.
    cells = np.floor(np.asarray(placement.positions)[images, nodes] + 0.5).astype(int)
    rows, columns = np.clip(cells, 0, (site.height - 1, site.width - 1)).T
    units = np.zeros((i, site.height, site.width, site.channels), bool)
    units[images, rows, columns, nodes // site.nodes_per_channel] = True
    return jnp.asarray(units)


def ablate(
    model: Predictor, units: Units, *, site: str, axes: str | None = None
) -> Model:
    """The model with some of a site's units set to zero.

    Args:
      model: function from a batch of images to outputs.
      units: True where the activation is set to zero, channels last: for each image of
        the batch that the model is called with, or a single row for any image. The
        units of nodes are `node_units(...)`, all others `~node_units(...)`.
      site: exact name or module path of the activation; may be of tokens.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.

    Returns:
      The ablated model. It may be explained and ablated like any other; with other
      units of the same shape it is the same program. Tokens that are no patches, which
      come first, are left as they are.

    Raises:
      TypeError: if units are not True and False.
      ValueError: when it is called, if the site is unknown, ambiguous or inside a loop,
        its axes can't be read, or the units do not fit it.

    Example:
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x = jnp.array([[[[4.0, 1.0], [3.0, 5.0]]]])
      >>> units = jnp.array([[[[True, False], [False, False]]]])
      >>> ablate(model, units, site="relu:0", axes="nhwc")(x)
      Array([[3., 6.]], dtype=float32)
    """
    _check_kind(units)
    return Model(_Ablated(site, axes), (model, units))


class Effect(NamedTuple):
    """What a score is with and without some units.

    Attributes:
      before: of the model as it is.
      without: with these units set to zero.
      only: with all other units of the site set to zero.
    """

    before: Float[Array, " i"]
    without: Float[Array, " i"]
    only: Float[Array, " i"]


@compiled
def logit_effect(
    model: Predictor,
    images: Images,
    targets: PyTree,
    units: Units,
    *,
    site: str,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
) -> Effect:
    """How a prediction depends on the units of nodes.

    Args:
      model: function from a batch of images to outputs.
      images: images to evaluate, in the units that the model takes.
      targets: what `score` selects; the classes predicted on the images, before
        anything is ablated, when None.
      units: True for the units of each image that are meant, channels last, as
        `node_units` gives them.
      site: exact name or module path of the activation; may be of tokens.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar that is looked at.
      chunk_size: images held in memory at once; chosen to fit when None.

    Returns:
      The score of each image before, without these units, and with these only. Nodes
      that matter make `without` much lower than `before`, nodes that are all that
      matters make `only` as high.

    Raises:
      TypeError: if units are not True and False.
      ValueError: if the site is unknown, ambiguous or inside a loop, its axes can't be
        read, or the units do not fit it or the images.

    Example:
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x = jnp.array([[[[4.0, 1.0], [3.0, 5.0]]]])
      >>> units = jnp.array([[[[True, False], [False, False]]]])
      >>> at = {"site": "relu:0", "axes": "nhwc"}
      >>> before, without, only = logit_effect(model, x, jnp.array([0]), units, **at)
      >>> before.tolist(), without.tolist(), only.tolist()
      ([7.0], [3.0], [4.0])

    References:
      [zhang2018interpreting].

    Notes:
      Setting any units to zero lowers most scores. What is owed to the choice of these
      shows against as many others, such as those of the same nodes where they are in
      other images: `units[::-1]`.
    """
    _check_kind(units)
    if units.shape[0] != images.shape[0]:
        raise ValueError(
            f"`units` are of {units.shape[0]} images, and there are {images.shape[0]}; "
            f"place the nodes in these images."
        )
    targets = resolve_targets(model, images, targets, chunk_size)

    def evaluate(rows: PyTree, _: Array) -> Effect:
        images, targets, units = rows
        without = ablate(model, units, site=site, axes=axes)
        only = ablate(model, ~units, site=site, axes=axes)
        return Effect(
            *(
                score_and_targets(score, each(images), targets)[0]
                for each in (model, without, only)
            )
        )

    rows = images, targets, units
    found = evaluate_all(evaluate, rows, chunk_size=chunk_size)
    return jax.tree.map(lambda x: x[:, 0], found)


class _Ablated(NamedTuple):
    """Calls a model with units set to zero; equal when the sites are."""

    site: str
    axes: str | None

    def __call__(self, params: tuple[Predictor, Units], images: Images) -> PyTree:
        model, units = params
        split = split_at(model, images, self.site)
        zeros = _as_activation(units, split.site, self.axes)
        activation, carried = split.below(images)
        return split.above(jnp.where(zeros, 0, activation), carried)


def _check_kind(units: Units) -> None:
    if units.ndim != 4 or units.dtype != bool:
        raise TypeError(
            f"`units` is {units.dtype}{list(units.shape)}; it must be True and False, "
            "i h w d: `node_units(placement, site)`."
        )


def _as_activation(
    units: Units, site: Activation, axes: str | None
) -> Bool[Array, "..."]:
    """Units in the order of the site's axes; tokens that come first are none."""
    letters = site.axes if axes is None else axes
    order = "nhwc"
    if sorted(letters.replace("?", "t")) == ["c", "n", "t"]:
        letters, order = letters.replace("?", "t"), "ntc"
    if len(letters) != len(site.shape) or sorted(letters) != sorted(order):
        origin = "read from the model" if axes is None else "given"
        raise ValueError(
            f"`site`={site.name!r} has shape {site.shape} and axes {letters!r} "
            f"({origin}); they must be a permutation of `nhwc`, or of `ntc` for "
            "tokens. Say which axis is which: `axes='nhwc'`."
        )
    n, h, w, d = units.shape
    zeros = units
    if order == "ntc":
        others = site.shape[letters.index("t")] - h * w
        patches = units.reshape(n, h * w, d)
        zeros = jnp.pad(patches, ((0, 0), (max(others, 0), 0), (0, 0)))
    zeros = jnp.transpose(zeros, [order.index(letter) for letter in letters])
    batch = site.shape[letters.index("n")]
    sizes = tuple(
        n if letter == "n" else size
        for letter, size in zip(letters, site.shape, strict=True)
    )
    if zeros.shape != sizes or n not in (1, batch):
        raise ValueError(
            f"`units` has shape {units.shape}; `site`={site.name!r} has the axes "
            f"{letters!r} and shape {site.shape}. There must be as many rows, columns "
            f"and channels, for {batch} images or one row for all."
        )
    return zeros
