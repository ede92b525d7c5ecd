"""Learning an explanatory graph, and finding its nodes in other images."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, sqrt
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from xattr.graph._constants import Constants
from xattr.graph._graph import Features, Graph, Layer, Placement, Site
from xattr.graph._layer import Fitted, fit_layer, place
from xattr.graph._sweep import above_next


class Fit(NamedTuple):
    """A graph, and what it was learnt from.

    Attributes:
      graph: the nodes and edges.
      placements: of each layer's nodes in the images.
      log_likelihoods: of each layer, before each iteration and at the end.
    """

    graph: Graph
    placements: tuple[Placement, ...]
    log_likelihoods: tuple[Float[Array, " t"], ...]


def default_nodes(height: int, width: int) -> int:
    """How many nodes look at a channel, as published for maps of 28, 14 and 7 cells.

    Example:
      >>> [default_nodes(side, side) for side in (28, 14, 7)]
      [40, 20, 10]
    """
    return ceil(1.4 * sqrt(height * width))


def fit(
    features: Mapping[str, Features],
    *,
    nodes_per_channel: Mapping[str, int] | None = None,
    num_iterations: int = 20,
    constants: Constants | None = None,
    key: PRNGKeyArray,
    known: Mapping[str, Fitted] | None = None,
    report: Callable[[str, Fitted], None] | None = None,
) -> Fit:
    """Learn an explanatory graph from many images of one category, without labels.

    From the top layer down each channel gets nodes, parts that it tells of, of which
    each has edges to the nodes above that move as it does.

    Args:
      features: of the images at each site, the top layer first: see `extract`.
      nodes_per_channel: how many nodes look at each channel of a site; by default 1.4
        times the side of its map, as published.
      num_iterations: of each layer.
      constants: what else learning goes by.
      key: of the cells at which nodes begin.
      known: layers that were learnt before, which are not learnt again.
      report: called with the name of a site and its layer, once that is learnt.

    Raises:
      ValueError: if there are no sites or images, sites differ in their images, a site
        is coarser than the one before it, `nodes_per_channel` or `known` names another
        site, or as `fit_layer`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> blob = jnp.zeros((2, 7, 7, 1)).at[:, 3, 3].set(1)
      >>> found = fit({"top": Features(blob, jnp.ones(1))}, key=jax.random.key(0))
      >>> best = found.placements[0].scores[0].argmax()
      >>> found.placements[0].positions[0, best].round().tolist()
      [3.0, 3.0]

    References:
      [zhang2018interpreting]; constants and order of steps are those of the authors'
      code, four of whose faults are mended: see `Constants.compat`.
    """
    constants = constants or Constants()
    for name, given in (("nodes_per_channel", nodes_per_channel), ("known", known)):
        if others := [site for site in given or {} if site not in features]:
            raise ValueError(
                f"`{name}` has {others[0]!r}; the sites of `features` are "
                f"{', '.join(map(repr, features))}."
            )
    sites = _sites(features, nodes_per_channel or {})
    keys = jax.random.split(key, len(sites))
    layers: list[Layer] = []
    placements: list[Placement] = []
    curves: list[Float[Array, " t"]] = []
    for site, own in zip(sites, keys, strict=True):
        found = (known or {}).get(site.name)
        if found is None:
            found = fit_layer(
                features[site.name],
                above_next(sites, layers, placements),
                nodes_per_channel=site.nodes_per_channel,
                num_iterations=num_iterations,
                constants=constants,
                key=own,
            )
            if report is not None:
                report(site.name, found)
        layers.append(found.layer)
        placements.append(found.placement)
        curves.append(found.log_likelihood)
    graph = Graph(sites, tuple(layers), constants=constants)
    return Fit(graph, tuple(placements), tuple(curves))


def infer(graph: Graph, features: Mapping[str, Features]) -> tuple[Placement, ...]:
    """Where the nodes of a graph are in images, layer by layer.

    Args:
      graph: as it was learnt.
      features: of the images at the graph's sites, in the units it was learnt in.

    Raises:
      ValueError: if a site is missing or has another shape than in the graph.
    """
    placements: list[Placement] = []
    for site, layer in zip(graph.sites, graph.layers, strict=True):
        if site.name not in features:
            raise ValueError(
                f"`features` has the sites {list(features)}; the graph's are "
                f"{[s.name for s in graph.sites]}."
            )
        own = features[site.name]
        shape = site.height, site.width, site.channels
        if own.levels.shape[1:] != shape:
            raise ValueError(
                f"`features`[{site.name!r}] has maps of {own.levels.shape[1:]}; the "
                f"graph was learnt from {shape}."
            )
        above = above_next(graph.sites, graph.layers, placements)
        placements.append(place(layer, own, above, constants=graph.constants))
    return tuple(placements)


def with_stds(
    graph: Graph, stds: Mapping[str, Float[Array | np.ndarray, "h w d"]]
) -> Graph:
    """The graph, with the units of its features.

    Raises:
      ValueError: if those of a site are missing.
    """
    if missing := [site.name for site in graph.sites if site.name not in stds]:
        raise ValueError(
            f"`stds` has no {missing[0]!r}; it must hold each site of the graph: "
            "`unit_std(model, batches, [site.name for site in graph.sites])`."
        )
    return replace(graph, stds=tuple(np.asarray(stds[s.name]) for s in graph.sites))


def _sites(
    features: Mapping[str, Features], nodes_per_channel: Mapping[str, int]
) -> tuple[Site, ...]:
    if not features:
        raise ValueError("`features` is empty; at least one site is needed.")
    sites = []
    for name, own in features.items():
        _, height, width, channels = own.levels.shape
        count = nodes_per_channel.get(name, default_nodes(height, width))
        sites.append(Site(name, height, width, channels, count))
    for upper, lower in zip(sites, sites[1:], strict=False):
        if lower.height * lower.width < upper.height * upper.width:
            raise ValueError(
                f"`features` has {upper.name!r} ({upper.height} by {upper.width}) "
                f"before {lower.name!r} ({lower.height} by {lower.width}); the top "
                "layer, which is the coarsest, comes first."
            )
    counts = {name: own.levels.shape[0] for name, own in features.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(
            f"`features` has images {counts}; all sites need the same, at least one."
        )
    return tuple(sites)
