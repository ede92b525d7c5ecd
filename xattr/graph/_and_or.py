"""Multi-shot part localization: nodes vote for a part, as in a few annotated images."""

from collections.abc import Sequence
from functools import partial
from math import ceil, floor, sqrt
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from xattr._checks import check_count, check_not_negative, check_positive
from xattr.graph._graph import Placement, Site


class PartTemplates(NamedTuple):
    """An And-Or graph of one part: any template (or), made of all nodes (and).

    Attributes:
      nodes: numbers of the nodes that vote.
      displacements: from each node to the part, one row per annotation, as (row,
        column) shares of the image.
    """

    nodes: Int[np.ndarray, " m"]
    displacements: Float[np.ndarray, "t m 2"]


class PartLocation(NamedTuple):
    """Where a part is in images.

    Attributes:
      positions: (row, column) as shares of the image's height and width; not a number
        where no vote falls into the image.
      scores: mean over the nodes of what they give to that place.
      templates: the annotation whose template fits best.
    """

    positions: Float[Array, "i 2"]
    scores: Float[Array, " i"]
    templates: Int[Array, " i"]


def joined_nodes(
    placements: Sequence[Placement], sites: Sequence[Site]
) -> tuple[Float[np.ndarray, "i v 2"], Float[np.ndarray, "i v"]]:
    """The nodes of several layers as if of one: their positions and scores.

    Args:
      placements: of each layer's nodes, in the same images.
      sites: of the layers.

    Returns:
      Positions as (row, column) shares of the image, and scores, layer after layer.

    Raises:
      ValueError: if there are not as many sites as placements.

    Example:
      >>> there = Placement(jnp.zeros((1, 1, 2)), jnp.ones((1, 1)), jnp.ones((1, 1)))
      >>> sites = [Site("conv:1", 1, 1, 1, 1), Site("conv:0", 2, 2, 1, 1)]
      >>> joined_nodes([there, there], sites)[0].tolist()
      [[[0.5, 0.5], [0.25, 0.25]]]
    """
    if len(placements) != len(sites):
        raise ValueError(
            f"`placements` are of {len(placements)} layers and `sites` of {len(sites)};"
            " pass the site of each layer: `joined_nodes(placements, graph.sites)`."
        )
    positions = [
        site.fractions(np.asarray(placement.positions))
        for placement, site in zip(placements, sites, strict=True)
    ]
    scores = [np.asarray(placement.scores) for placement in placements]
    return np.concatenate(positions, axis=1), np.concatenate(scores, axis=1)


def fit_part(
    positions: Float[np.ndarray | Array, "a v 2"],
    scores: Float[np.ndarray | Array, "a v"],
    annotations: Float[np.ndarray | Array, "a 2"],
    *,
    share: float = 0.1,
    penalty: float = 100.0,
) -> PartTemplates:
    r"""Learn from a few annotated images which nodes tell where a part is.

    With $p_V$ a node's position, $S_V$ its score and $\Delta_V = p^* - p_V$ the way to
    the part, nodes are ranked by

    $$ \operatorname{mean} S_V - \lambda \operatorname{var} \Delta_V $$

    over the annotated images. Each image makes one template: its own $\Delta_V$.

    Args:
      positions: (row, column) of the nodes in the annotated images, as shares of the
        image's height and width; of several layers, those of `joined_nodes`.
      scores: of the nodes.
      annotations: (row, column) of the part in each, as shares; one image is enough.
      share: of the nodes, those that rank highest and vote, rounded up.
      penalty: $\lambda$. At 100, a way whose standard deviation is a tenth of the image
        costs 1, as much as nodes of the layer score on average. With one annotation,
        every way has a variance of 0.

    Returns:
      The templates.

    Raises:
      ValueError: if shapes do not fit, an annotation is no place in the image, `share`
        is not in (0, 1], or `penalty` is negative.

    Example:
      >>> positions = np.array([[[0.2, 0.2], [0.9, 0.1]], [[0.4, 0.4], [0.1, 0.3]]])
      >>> part = np.array([[0.3, 0.3], [0.5, 0.5]])
      >>> found = fit_part(positions, np.ones((2, 2)), part, share=0.5)
      >>> found.nodes.tolist(), found.displacements.round(4).tolist()
      ([0], [[[0.1, 0.1]], [[0.1, 0.1]]])

    References:
      [zhang2017growing]; [zhang2018interpreting].

    Notes:
      The code of the part graph makes nodes of a network's units, and ranks them by six
      terms. The nodes of an explanatory graph are where they are by inference: of the
      six, what is left is how sure a node is, and how it agrees with the annotations;
      how much the one weighs against the other is not published.
      The variance is the sum of that of rows and that of columns.
    """
    positions, scores, part = map(np.asarray, (positions, scores, annotations))
    if positions.shape != (*scores.shape, 2) or part.shape != (len(scores), 2):
        raise ValueError(
            f"`positions`, `scores` and `annotations` have the shapes "
            f"{positions.shape}, {scores.shape} and {part.shape}; they must be of the "
            "same images and nodes: a v 2, a v and a 2."
        )
    _check_places("annotations", part)
    check_not_negative("penalty", penalty, 100.0)
    if not 0 < share <= 1:
        raise ValueError(f"`share`={share} must be in (0, 1]: `share=0.1`.")
    ways = part[:, None] - positions
    values = scores.mean(0) - penalty * ways.var(0).sum(-1)
    count = max(1, ceil(round(share * len(values), 6)))
    nodes = np.argsort(-values, kind="stable")[:count]
    return PartTemplates(nodes, ways[:, nodes])


def locate_part(
    templates: PartTemplates,
    positions: Float[np.ndarray | Array, "i v 2"],
    scores: Float[np.ndarray | Array, "i v"],
    *,
    grid: int = 112,
    decay: float = 35 * sqrt(2) / 224,
    reach: float = 11 / 224,
) -> PartLocation:
    r"""Where a part is in images, by the votes of its nodes.

    A template's vote map, of which the highest value is its score, is

    $$ S(p) = \operatorname{mean}_V S_V\, e^{-\|p - p_V - \Delta_V\| / \delta},
       \qquad \|p - p_V - \Delta_V\|_\infty \le r $$

    and the part is at the peak of the template with the highest score.

    Args:
      templates: of the part.
      positions: (row, column) of all nodes in the images, as shares, as for `fit_part`.
      scores: of the nodes.
      grid: cells of the vote map along each axis; votes and peak are at their middles.
      decay: $\delta$, as a share of the image's side.
      reach: $r$, likewise: no vote is heard beyond it.

    Returns:
      Positions, scores and templates.

    Raises:
      TypeError: if `grid` is no whole number.
      ValueError: if shapes do not fit, or a hyperparameter is out of range.

    Example:
      >>> templates = PartTemplates(np.array([0]), np.array([[[0.25, 0.5]]]))
      >>> positions, scores = np.array([[[0.1, 0.1]]]), np.array([[2.0]])
      >>> found = locate_part(templates, positions, scores, grid=4)
      >>> found.positions.tolist(), found.scores.tolist()
      ([[0.375, 0.625]], [2.0])

    References:
      [zhang2017growing]; [zhang2018interpreting].

    Notes:
      The published kernel is five times as high, which changes the unit of the score
      alone. Its constants are pixels of images of 224.
    """
    check_count("grid", grid)
    check_positive("decay", decay, 0.22)
    check_not_negative("reach", reach, 0.05)
    if np.shape(positions) != (*np.shape(scores), 2):
        raise ValueError(
            f"`positions` has shape {np.shape(positions)} and `scores` "
            f"{np.shape(scores)}; they must be of the same images and nodes: i v 2 and "
            "i v."
        )
    num_nodes = np.shape(scores)[1]
    if templates.nodes.max() >= num_nodes:
        raise ValueError(
            f"`templates` vote by node {templates.nodes.max()}, but `scores` are of "
            f"{num_nodes} nodes; they must be those that `fit_part` was given."
        )
    return _located(
        jnp.asarray(templates.displacements, jnp.float32),
        jnp.asarray(positions, jnp.float32)[:, templates.nodes],
        jnp.asarray(scores, jnp.float32)[:, templates.nodes],
        grid,
        decay,
        floor(reach * grid + 1e-6),
    )


def mean_position(
    annotations: Float[np.ndarray | Array, "a 2"],
) -> Float[np.ndarray, "2"]:
    """Where a part is if nothing is known of the image: the baseline of locating it.

    Args:
      annotations: (row, column) of the part, as shares of the image.

    Raises:
      ValueError: if an annotation is no place in the image.

    Example:
      >>> mean_position(np.array([[0.0, 0.5], [0.5, 1.0]])).tolist()
      [0.25, 0.75]
    """
    annotations = np.asarray(annotations)
    _check_places("annotations", annotations)
    return annotations.mean(0)


def normalized_distance(
    found: Float[np.ndarray | Array, "*#i 2"], true: Float[np.ndarray | Array, "*#i 2"]
) -> Float[np.ndarray, "*i"]:
    """How far off a part's position is, as a share of the image's diagonal.

    Args:
      found: (row, column), as shares of the image's height and width; images are taken
        for squares.
      true: likewise; not a number where invisible, and so is the distance then.

    Returns:
      0 for the place itself, 1 from corner to corner.

    Example:
      >>> normalized_distance(np.zeros(2), np.array([[1.0, 1.0], [0.0, 0.5]])).round(4)
      array([1.    , 0.3536])

    References:
      [zhang2017growing].
    """
    apart = np.asarray(found) - np.asarray(true)
    return np.hypot(apart[..., 0], apart[..., 1]) / sqrt(2)


def _check_places(name: str, places: Float[np.ndarray, "a 2"]) -> None:
    if not len(places) or not ((places >= 0) & (places <= 1)).all():
        raise ValueError(
            f"`{name}`={places.tolist()}; there must be at least one, and each a (row, "
            "column) of shares of the image's height and width, in [0, 1]. Leave out "
            "images where the part is invisible."
        )


@partial(jax.jit, static_argnums=(3, 4, 5))
def _located(
    displacements: Float[Array, "t m 2"],
    positions: Float[Array, "i m 2"],
    scores: Float[Array, "i m"],
    grid: int,
    decay: float,
    reach: int,
) -> PartLocation:
    steps = jnp.arange(-reach, reach + 1) / grid
    kernel = jnp.exp(-jnp.hypot(steps[:, None], steps[None]) / decay)
    each = jnp.arange(len(displacements))[:, None]

    def of_image(image: tuple[Array, Array]) -> PartLocation:
        places, weights = image
        cells = jnp.floor((places[None] + displacements) * grid).astype(int)
        inside = ((cells >= 0) & (cells < grid)).all(-1)
        rows, columns = jnp.moveaxis(jnp.where(inside[..., None], cells, 0), -1, 0)
        votes = jnp.zeros((len(displacements), grid, grid))
        votes = votes.at[each, rows, columns].add(jnp.where(inside, weights[None], 0))
        maps = jax.lax.conv_general_dilated(
            votes[:, None], kernel[None, None], (1, 1), "SAME"
        )
        maps = maps.reshape(len(displacements), -1) / weights.size
        best = maps.max(1).argmax()
        score = maps[best].max()
        peak = jnp.stack(jnp.divmod(maps[best].argmax(), grid))
        position = jnp.where(score > 0, (peak + 0.5) / grid, jnp.nan)
        return PartLocation(position, score, best)

    return jax.lax.map(of_image, (positions, scores))
