"""Compute a comparison: what it costs, its first tile, how long, the rest."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xattr.cli._choices import for_command_line
from xattr.cli._console import Bar, fail, say, show_table
from xattr.cli._executing import BROKEN, Note, duration, watched
from xattr.cli._interruption import INTERRUPTED

if TYPE_CHECKING:
    from xattr.compare import Comparison, Scoring
    from xattr.data import Source
    from xattr.run import Place, Progress


def run_comparison(
    comparison: "Comparison",
    source: "Source",
    out: str,
    *,
    data: Sequence[str],
    only_cost: bool = False,
) -> int:
    """Compute what a comparison lacks, and write its report; the exit code.

    Args:
      comparison: what is compared.
      source: the photographs.
      out: folder or bucket.
      data: where the photographs are, for the report to find them again.
      only_cost: end when the evaluations are counted.
    """
    from xattr.cli._compared import report_comparison
    from xattr.compare import Scoring, count_passes, measure_pace
    from xattr.run import Place

    scoring = Scoring(comparison)
    try:
        passes = count_passes(comparison, scoring)
    except (TypeError, ValueError) as error:
        fail(for_command_line(error, comparison.plan.pretrained.name))
    total = _show_passes(comparison, len(source), passes)
    pace = measure_pace(scoring)
    say(
        f"By count, at {1000 * pace:.3g} ms a pass, this takes "
        f"{duration(total * pace)} and compiling. What is no product of the network is "
        "not in it: the first tile will tell."
    )
    if only_cost:
        return 0
    work = _Work(comparison, scoring, source, Place(out), data)
    outcome = watched(
        work, comparison.plan, work.place, unit="seconds of work as foretold"
    )
    if outcome.code:
        if outcome.code == INTERRUPTED:
            say("The same call goes on where this one ended.", error=True)
        return outcome.code
    try:
        return report_comparison(comparison, source, out, work.times, passes)
    except OSError as error:
        why = error.strerror or error
        say(f"Error: Writing the report to {out} failed ({why}).", error=True)
        return BROKEN


def _show_passes(
    comparison: "Comparison", count: int, passes: Mapping[str, Mapping[str, float]]
) -> float:
    """Show the evaluations that each method and metric needs; how many in all."""
    methods = passes["methods"]
    every = sum(methods.values())
    rows = [(n, "method", _number(each), count, each) for n, each in methods.items()]
    for name, each in passes["metrics"].items():
        row = comparison.metrics[name]
        again = comparison.budget.num_reexplained if row.kind == "method" else None
        seen = count if again is None else min(count, again)
        if row.kind == "method":
            text, all_methods = f"{_number(each)} maps", each * every
        elif row.shared:
            text, all_methods = f"{_number(each)} for all methods", each
        else:
            text, all_methods = _number(each), each * len(methods)
        rows.append((name, "metric", text, seen, all_methods))
    table = [(*row[:4], _number(row[3] * row[4])) for row in rows]
    total = sum(row[3] * row[4] for row in rows)
    heads = ("", "", "passes each", "photographs", "passes in all")
    show_table(heads, [*table, ("all", "", "", "", _number(total))])
    return total


def _number(count: float) -> str:
    """A count with as many digits as say something.

    Example:
      >>> [_number(c) for c in (128.02, 3.14, 0.0)]
      ['128', '3.1', '0']
    """
    return f"{count:.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"


class _Work:
    """The whole of a comparison, as `watched` calls it."""

    def __init__(
        self,
        comparison: "Comparison",
        scoring: "Scoring",
        source: "Source",
        place: "Place",
        data: Sequence[str],
    ) -> None:
        from xattr.cli._photographs import describe_source
        from xattr.compare import AGREEMENT, Clock, Times
        from xattr.run import Computation

        self.comparison, self.scoring = comparison, scoring
        self.source, self.place = source, place
        self.clock, self.times = Clock(), Times.load(place)
        self._about = describe_source(data, None)
        self._computations = {
            name: Computation(comparison.plan_of(name)) for name in comparison.methods
        }
        num_tiles = -(-len(source) // comparison.plan.tile_size)
        self._left = dict.fromkeys(comparison.methods, num_tiles)
        self._lacking: Mapping[str, Collection[int]] = {
            name: range(num_tiles) for name in (*comparison.metrics, AGREEMENT)
        }
        self._step: Callable[[], None] = lambda: None

    def __call__(self, bar: Bar, check: Callable[[], None], note: Note) -> "Progress":
        from xattr.run import Progress

        self._step = check
        began = time.monotonic()
        self._first_tile()
        spent, total = time.monotonic() - began, self._seconds()
        bar.say(
            f"The first tile took {duration(spent)}, {duration(self.clock.compiling)} "
            f"of it compiling; the rest will take {duration(total)}: "
            f"{duration(spent + total)} in all."
        )
        self.times.first_tile, self.times.foretold, self.times.rest = spent, total, 0.0
        self.times.save(self.place)
        began = time.monotonic()

        def step() -> None:
            check()
            left = self._seconds()
            done, spent = max(total - left, 0.0), time.monotonic() - began
            progress = Progress(total=round(total), done=round(done))
            note(progress)
            pace = spent / done if done else 1.0
            more = f"{duration(left * pace)} left" if left else ""
            bar.show(progress.done, progress.total, more)

        self._step = step
        for name in self.comparison.methods:
            self._explain(name)
        self._score()
        self.times.rest = time.monotonic() - began
        self.times.save(self.place)
        return Progress(total=round(total), done=round(total))

    def _first_tile(self) -> None:
        """Compute a tile of all whose time is not known; count what is left of all."""
        from xattr.compare import AGREEMENT, open_scores

        open_scores(self.comparison, self.source, self.place, self.scoring.device)
        for name in self.comparison.methods:
            self._explain(name, limit=0)
            if name not in self.times.methods and self._left[name]:
                seconds = self._explain(name, limit=1)
                # Opening the store again: the first time loads packages too.
                opening = self._explain(name, limit=0)
                self.times.methods[name] = max(seconds - opening, 0.0)
                self.times.save(self.place)
        known = {*self.comparison.metrics, AGREEMENT} <= self.times.metrics.keys()
        self._score(limit=0 if known else 1)

    def _explain(self, name: str, limit: int | None = None) -> float:
        """One method's maps; seconds without compiling."""
        from xattr.compare import maps_place
        from xattr.run import execute

        def report(progress: "Progress") -> None:
            self._left[name] = self._tiles(progress)
            self._step()

        times: dict[str, float] = {}
        computation = self._computations[name]
        with self.clock.measure(times, name):
            execute(
                computation.plan,
                self.source,
                maps_place(self.place, name),
                computation=computation,
                about=self._about,
                limit=limit,
                report=report,
            )
        return times[name]

    def _score(self, limit: int | None = None) -> None:
        """All metrics of all maps."""
        from xattr.compare import score

        def report(
            progress: "Progress", lacking: Mapping[str, Collection[int]]
        ) -> None:
            self._lacking = lacking
            self._step()

        times: dict[str, float] = {}

        @contextmanager
        def timing(name: str) -> Iterator[None]:
            with self.clock.measure(times, name):
                yield
            # At once: another call would not compute what this one has.
            if limit == 1 and name not in known:
                self.times.metrics[name] = times[name]
                self.times.save(self.place)

        known = frozenset(self.times.metrics)
        score(
            self.comparison,
            self._computations,
            self.source,
            self.place,
            scoring=self.scoring,
            limit=limit,
            report=report,
            timing=timing,
        )

    def _tiles(self, progress: "Progress") -> int:
        """How many tiles are left."""
        return -(-(progress.total - progress.done) // self.comparison.plan.tile_size)

    def _seconds(self) -> float:
        """What is left, as the first tile foretells it."""
        from xattr.compare import predict_seconds

        return predict_seconds(
            self.comparison,
            self.times,
            methods=self._left,
            metrics=self._lacking,
        )
