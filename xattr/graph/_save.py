"""Graphs on disk, by Orbax."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import numpy as np

from xattr.graph._constants import Constants
from xattr.graph._graph import Graph, Layer, Site


def save(
    graph: Graph, path: str | os.PathLike, *, about: Mapping[str, Any] | None = None
) -> None:
    """Write a graph, and what it is of.

    Args:
      graph: what is written.
      path: a folder that is not there yet.
      about: what else is kept, as JSON: the model's name, its preprocessing.

    Raises:
      ValueError: if the folder is there.
    """
    import orbax.checkpoint as ocp

    folder = Path(path).absolute()
    if folder.exists():
        raise ValueError(f"`path`={str(path)!r} is there; a new folder is needed.")
    facts = {
        "about": dict(about or {}),
        "sites": [asdict(site) for site in graph.sites],
        "constants": asdict(graph.constants),
        "shapes": jax.tree.map(lambda x: [list(x.shape), str(x.dtype)], _arrays(graph)),
    }
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        checkpointer.save(
            folder,
            args=ocp.args.Composite(
                arrays=ocp.args.StandardSave(_arrays(graph)),
                facts=ocp.args.JsonSave(facts),
            ),
        )


def load(path: str | os.PathLike) -> tuple[Graph, dict[str, Any]]:
    """A graph that was written, and what it is of.

    Raises:
      FileNotFoundError: if there is none.
    """
    import orbax.checkpoint as ocp

    folder = Path(path).absolute()
    if not (folder / "facts").is_dir():
        raise FileNotFoundError(f"{str(path)!r} holds no explanatory graph.")
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        facts = checkpointer.restore(
            folder, args=ocp.args.Composite(facts=ocp.args.JsonRestore())
        )["facts"]
        like = jax.tree.map(
            lambda x: np.empty(x[0], x[1]),
            facts["shapes"],
            is_leaf=lambda x: isinstance(x, list) and len(x) == 2,
        )
        arrays = checkpointer.restore(
            folder, args=ocp.args.Composite(arrays=ocp.args.StandardRestore(like))
        )["arrays"]
    names = [site["name"] for site in facts["sites"]]
    graph = Graph(
        tuple(Site(**site) for site in facts["sites"]),
        tuple(_layer(arrays["layers"][name]) for name in names),
        tuple(arrays["stds"][name] for name in names if name in arrays["stds"]),
        Constants(**facts["constants"]),
    )
    return graph, facts["about"]


def _arrays(graph: Graph) -> dict[str, dict[str, Any]]:
    names = [site.name for site in graph.sites]
    layers = zip(names, graph.layers, strict=True)
    return {
        "layers": {name: _kept(layer) for name, layer in layers},
        "stds": dict(zip(names, graph.stds, strict=False)),
    }


def _kept(layer: Layer) -> dict[str, Any]:
    # Orbax refuses arrays without entries: the top layer has no parents.
    return {name: x for name, x in layer._asdict().items() if x.size}


def _layer(arrays: dict[str, Any]) -> Layer:
    none = np.zeros((arrays["means"].shape[0], 0), np.int32)
    return Layer(**{"parents": none, **arrays})
