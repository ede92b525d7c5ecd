"""Learning an explanatory graph, so that a break costs no more than what is begun."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xattr.cli._console import Bar, progress_bar, say
from xattr.cli._executing import BROKEN, SKIPPED
from xattr.cli._graph_folder import (
    GRAPH,
    GraphFolder,
    Photographs,
    described,
    preprocess_for,
)
from xattr.cli._interruption import INTERRUPTED, interruptible
from xattr.cli._photographs import describe_source

if TYPE_CHECKING:
    from xattr.cli._subject import Subject
    from xattr.graph import Constants, Fitted

LEAST = 10


@dataclass(frozen=True)
class Request:
    """What `graph fit` was asked for; the attributes are its options."""

    data: tuple[str, ...]
    negatives: tuple[str, ...]
    model: str
    weights: Path | None
    size: int | None
    sites: tuple[str, ...] | None
    iterations: int
    parents: int
    tau: float
    cut: bool
    batch_size: int
    seed: int


def fit_graph(request: Request, out: Path) -> int:
    """Compute what the folder lacks; the exit code.

    Raises:
      ValueError: if the request is wrong; nothing is written then.
    """
    import jax.numpy as jnp

    from xattr.cli._subject import find_subject
    from xattr.graph import Constants, default_sites

    constants = Constants(num_parents=request.parents, tau=request.tau)
    subject = find_subject(request.model, request.weights, request.size)
    preprocess = preprocess_for(subject, request.cut)
    one = jnp.zeros((1, *preprocess.shape))
    sites = request.sites or default_sites(subject.model, one)
    _check_sites(subject, one, sites, request.parents)
    photographs = Photographs(request.data, preprocess, request.batch_size, out)
    others = Photographs(request.negatives, subject.preprocess, request.batch_size, out)
    if len(photographs) < LEAST:
        raise ValueError(
            f"`--data` holds {len(photographs)} photographs; a graph needs at least "
            f"{LEAST} of one category, better some hundred."
        )
    if len(others) < 2:
        raise ValueError(
            f"`--negatives` holds {len(others)} photograph; how much units vary shows "
            "in at least 2, better some hundred."
        )
    folder = GraphFolder(out)
    work = _Work(request, constants, subject, tuple(sites), folder, photographs, others)
    folder.begin({**work.settings(), "preprocess": described(preprocess)})
    try:
        with interruptible() as interruption:
            work.run(interruption.check)
    except KeyboardInterrupt:
        say("Interrupted. The same call goes on where this one ended.", error=True)
        return INTERRUPTED
    except OSError as error:
        why = error.strerror or error
        say(f"Error: Reading, or writing to {out}, failed ({why}).", error=True)
        return BROKEN
    for name, reason in (*photographs.skipped, *others.skipped):
        say(f"Skipped: {name}: {reason}", error=True)
    say(f"Graph: {out / GRAPH}")
    return SKIPPED if photographs.skipped or others.skipped else 0


def _check_sites(
    subject: "Subject", one: Any, sites: Sequence[str], parents: int
) -> None:
    """Refuse sites that don't go together, before anything is written."""
    import jax

    from xattr.graph import default_nodes
    from xattr.graph._grids import read_grids

    grids = jax.eval_shape(lambda x: read_grids(subject.model, x, tuple(sites)), one)
    for name in sites[:-1]:
        _, height, width, channels = grids[name].shape
        count = channels * default_nodes(height, width)
        if parents > count:
            raise ValueError(
                f"`--parents` {parents}, but {name!r} has {count} nodes that those of "
                f"the layer below can follow: `--parents {count}` at most."
            )


@dataclass
class _Work:
    """What `graph fit` does, step by step; what a folder has is not done again."""

    request: Request
    constants: "Constants"
    subject: "Subject"
    sites: tuple[str, ...]
    folder: GraphFolder
    photographs: Photographs
    others: Photographs

    def settings(self) -> dict[str, Any]:
        """What decides the graph, and where its photographs are."""
        request, subject = self.request, self.subject
        file = request.weights
        return {
            "model": subject.name,
            "weights": subject.weights,
            "weights_file": None if file is None else str(file.absolute()),
            "size": request.size,
            "sites": list(self.sites),
            "data": _places(request.data),
            "photographs": len(self.photographs),
            "negative_data": _places(request.negatives),
            "negatives": len(self.others),
            "iterations": request.iterations,
            "parents": request.parents,
            "tau": request.tau,
            "seed": request.seed,
        }

    def run(self, check: Callable[[], None]) -> None:
        """Everything that is not there."""
        import jax

        from xattr.graph import extract, fit, save, unit_std, with_stds

        model, sites, folder = self.subject.model, self.sites, self.folder
        stds = folder.stds(sites)
        if stds is None:
            with progress_bar("negatives: ", "reading") as bar:
                stds = unit_std(model, _watched(self.others, bar, check), sites)
            folder.keep_stds(stds)
        features = folder.features(sites)
        if features is None:
            with progress_bar("photographs: ", "reading") as bar:
                batches = _watched(self.photographs, bar, check)
                features = extract(model, batches, sites, stds)
            count = len(self.photographs.names)
            if count < LEAST:
                raise ValueError(
                    f"`--data`: {count} of {len(self.photographs)} photographs could "
                    f"be read; a graph needs at least {LEAST}."
                )
            folder.keep_features(features)
        known = {
            name: fitted
            for number, name in enumerate(sites)
            if (fitted := folder.fitted(number)) is not None
        }
        with progress_bar("layers: ", "learning", unit="layers") as bar:
            bar.show(len(known), len(sites))

            def report(name: str, fitted: "Fitted") -> None:
                folder.keep_fitted(sites.index(name), fitted)
                bar.show(sites.index(name) + 1, len(sites))
                check()

            check()
            found = fit(
                features,
                num_iterations=self.request.iterations,
                constants=self.constants,
                key=jax.random.key(self.request.seed),
                known=known,
                report=report,
            )
        if not (folder.path / GRAPH).exists():
            graph = with_stds(found.graph, stds)
            save(graph, folder.path / GRAPH, about=folder.settings())


def _places(data: Sequence[str]) -> list[str]:
    """Where photographs are, from any working directory."""
    return describe_source(data, None)["source"]["places"]


def _watched(
    photographs: Photographs, bar: Bar, check: Callable[[], None]
) -> Iterator[np.ndarray]:
    """Batches for the network, told on a bar."""
    for batch in photographs.batches():
        check()
        yield batch.astype(np.float32) / 255
        done = len(photographs.names) + len(photographs.skipped)
        bar.show(done, len(photographs))
