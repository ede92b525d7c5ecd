"""What a run leaves in its folder."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from xattr.cli._explaining import Explained, Plan
from xattr.cli._folder import MARK, Names, make_folder, write_whole
from xattr.cli._gallery import Gallery
from xattr.cli._table import TOP, Format, Table
from xattr.data import Problem, display_name
from xattr.images import STATUSES
from xattr.render import Explanation, Layer, blend, drawable, embed, plain_name


class Results:
    """Overlays, raw maps, the table and the pages, written as results come.

    Attributes:
      problems: files that gave nothing, with their reasons.
      faults: names of files and methods whose map cannot be drawn, and why.
      done: how many files of the run are written or listed.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        total: int,
        *,
        table: Format,
        signed: bool,
        facts: Sequence[tuple[str, str]],
    ) -> None:
        make_folder(folder)
        settings = json.dumps(_settings(plan), indent=2)
        write_whole(folder / MARK, lambda file: file.write(settings.encode()))
        self.problems: list[Problem] = []
        self.faults: list[tuple[str, str, str]] = []
        self.done = 0
        self._folder, self._plan, self._signed = folder, plan, signed
        self._names = Names()
        self._table = Table(folder, table)
        self._gallery = Gallery(
            folder, plan.pretrained.name, tuple(plan.methods), total, facts
        )

    @property
    def page(self) -> Path:
        """The first page."""
        return self._folder / "index.html"

    @property
    def spoiled(self) -> bool:
        """Whether a file was skipped or a map is not finite."""
        return bool(self.problems) or any(f[2] == "not finite" for f in self.faults)

    def skip(self, problems: Sequence[Problem]) -> None:
        """List files that gave nothing."""
        for problem in problems:
            self.problems.append(problem)
            file = display_name(problem.path)
            self._table.add(
                {"file": file, "status": "skipped", "reason": problem.reason}
            )
            self._gallery.skip(file, problem.reason)

    def add(self, batch: Explained, *, check: Callable[[], None]) -> None:
        """Write all that there is of a batch; `check` may end it between files."""
        self.skip(batch.problems)
        self._turn(len(batch.problems))
        size = batch.images.shape[1:3]
        drawn = {name: drawable(maps, size) for name, maps in batch.maps.items()}
        values = {name: np.asarray(pair[0]) for name, pair in drawn.items()}
        states = {name: np.asarray(pair[1]) for name, pair in drawn.items()}
        for place, path in enumerate(batch.paths):
            check()
            self._write(
                batch,
                place,
                path,
                {name: stack[place] for name, stack in values.items()},
                {name: STATUSES[state[place]] for name, state in states.items()},
            )
            self._turn(1)

    def finish(self, notice: str = "") -> Path:
        """Write the last page and the table; the table's path."""
        try:
            self._gallery.finish(notice)
        finally:
            table = self._table.close()
        return table

    def _turn(self, count: int) -> None:
        """Count files that are done."""
        self.done += count
        self._gallery.turn(count)

    def _write(
        self,
        batch: Explained,
        place: int,
        path: Path,
        values: dict[str, np.ndarray],
        states: dict[str, str],
    ) -> None:
        """Write one photograph's files, its row and its entry on the page."""
        name, file = self._names.take(path), display_name(path)
        photo = np.rint(batch.images[place] * 255).astype(np.uint8)
        for method, state in states.items():
            if state != "ok":
                self.faults.append((file, method, state))
                continue
            picture = blend(
                photo, values[method], alpha=0.85, signed=self._signed, gray=True
            )
            _write_png(self._folder / "overlays" / method / f"{name}.png", picture)
        top = np.argsort(-batch.probabilities[place], kind="stable")[:TOP]
        self._write_maps(batch, place, name, int(top[0]))
        self._table.add(self._row(batch, place, file, name, top, states))
        self._gallery.add(self._entry(batch, place, file, photo, top, values, states))

    def _write_maps(self, batch: Explained, place: int, name: str, best: int) -> None:
        """One archive with every method's raw map."""
        probabilities, target = batch.probabilities[place], batch.targets[place]
        arrays = {method: stack[place] for method, stack in batch.maps.items()}
        arrays |= {
            "target": np.int64(target),
            "target_probability": probabilities[target],
            "predicted": np.int64(best),
            "probability": probabilities[best],
        }
        write_whole(
            self._folder / "maps" / f"{name}.npz",
            lambda file: np.savez_compressed(file, **arrays),
        )

    def _row(
        self,
        batch: Explained,
        place: int,
        file: str,
        name: str,
        top: np.ndarray,
        states: dict[str, str],
    ) -> dict[str, object]:
        """The photograph's row of the table."""
        classes = self._plan.pretrained.classes
        probabilities, target = batch.probabilities[place], int(batch.targets[place])
        faults = [f"{method}: {state}" for method, state in states.items()]
        row: dict[str, object] = {
            "file": file,
            "name": name,
            "status": "; ".join(f for f in faults if not f.endswith(": ok")) or "ok",
            "target": target,
            "target_label": classes[target],
            "target_probability": float(probabilities[target]),
        }
        for rank, index in enumerate(map(int, top), 1):
            row[f"class_{rank}"] = index
            row[f"label_{rank}"] = classes[index]
            row[f"probability_{rank}"] = float(probabilities[index])
        return row

    def _entry(
        self,
        batch: Explained,
        place: int,
        file: str,
        photo: np.ndarray,
        top: np.ndarray,
        values: dict[str, np.ndarray],
        states: dict[str, str],
    ) -> Explanation:
        """The photograph's place on the page."""
        classes = self._plan.pretrained.classes
        probabilities, target = batch.probabilities[place], int(batch.targets[place])
        return Explanation(
            name=file,
            photo=embed(photo),
            predictions=[(classes[k], float(probabilities[k])) for k in top],
            target=classes[target],
            probability=float(probabilities[target]),
            layers=[
                Layer(method, embed(values[method]))
                if state == "ok"
                else Layer(method, None, f"Nothing to draw: the map is {state}")
                for method, state in states.items()
            ],
            rank=list(top).index(target) if target in top else None,
        )


def describe(plan: Plan, target: str) -> list[tuple[str, str]]:
    """Facts for the head of the page."""
    sited = [plain_name(name) for name, row in plan.methods.items() if row.site]
    facts = [("Explained class", target)]
    if sited:
        facts.append(("Site", plan.site))
    return facts


def _settings(plan: Plan) -> dict[str, object]:
    """What the results depend on."""
    from xattr._version import __version__

    return {
        "xattr": __version__,
        "model": plan.pretrained.name,
        "methods": list(plan.methods),
        "target": plan.target,
        "site": plan.site,
        "batch_size": plan.batch_size,
        "seed": plan.seed,
        "precision": plan.precision,
    }


def _write_png(path: Path, picture: np.ndarray) -> None:
    """One picture, whole or not at all."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    write_whole(path, lambda file: file.write(buffer.getvalue()))
