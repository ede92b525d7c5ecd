"""Figures and a page of an explanatory graph."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xattr.cli._console import say
from xattr.cli._folder import write_whole
from xattr.cli._graph_folder import GRAPH, GraphFolder, Photographs, preprocess_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BATCH, _ROWS, _NODES = 16, 3, 10


def show_graph(path: Path, num_top: int) -> None:
    """Write the page and the figures of a graph beside it.

    Raises:
      FileNotFoundError: if there is no graph.
      ValueError: if its photographs are not those it was learnt from.
    """
    from xattr import render
    from xattr.graph import load, top_nodes

    folder = GraphFolder(path)
    settings = folder.settings()
    graph, about = load(path / GRAPH)
    placements = []
    for number in range(len(graph.sites)):
        fitted = folder.fitted(number)
        if fitted is None:
            raise FileNotFoundError(f"{path} lacks a layer; call `graph fit` again.")
        placements.append(fitted.placement)
    photographs = Photographs(settings["data"], preprocess_of(settings), _BATCH, path)
    images = np.concatenate(list(photographs.batches()))
    if len(images) != placements[0].scores.shape[0]:
        raise ValueError(
            f"{len(images)} photographs are where the graph's "
            f"{placements[0].scores.shape[0]} were; put those back."
        )
    head = render.GraphHead(
        model=about["model"],
        data=f"{len(images)} photographs",
        facts=[
            ("Nodes", ", ".join(f"{p.scores.shape[1]:,}" for p in placements)),
            ("Iterations", str(settings["iterations"])),
            ("Edges of a node", str(settings["parents"])),
        ],
    )
    page = render.graph_page(head, images, graph, placements, num_top=num_top)
    write_whole(path / "index.html", lambda file: file.write(page.encode()))
    strongest = [top_nodes(p.scores, num_nodes=_NODES) for p in placements]
    rows = [
        render.node_patches(images, site, placement, nodes)
        for site, placement, nodes in zip(
            graph.sites, placements, strongest, strict=True
        )
    ]
    _keep(path / "patches.png", render.patches_figure(rows))
    few = [p._replace(**_first(p._asdict())) for p in placements]
    _keep(path / "heat.png", render.heat_figure(images[:_ROWS], graph.sites, few))
    middle = min(1, len(graph.sites) - 1)
    node = int(strongest[middle][0])
    figure = render.subgraph_figure(images, graph, placements, middle, node)
    _keep(path / "subgraph.png", figure)
    say(f"Page: {path / 'index.html'}")


def _first(arrays: dict) -> dict:
    return {name: x[:_ROWS] for name, x in arrays.items()}


def _keep(path: Path, figure: "Figure") -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, lambda file: file.write(buffer.getvalue()))
