"""A page that compares methods: a table, charts, and where they disagree."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xattr.render._names import plain_name
from xattr.render._page import Layer
from xattr.render._template import template


@dataclass(frozen=True)
class Column:
    """A number that methods are compared by.

    Attributes:
      name: key of the cells.
      title: what stands above the column.
      better: which values are better; empty where neither is.
      unit: of the values.
      about: what the number means, in a sentence.
    """

    name: str
    title: str
    better: Literal["higher", "lower", ""] = ""
    unit: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        """Raise if `better` is another word."""
        if self.better not in ("higher", "lower", ""):
            raise ValueError(
                f"`better` must be 'higher', 'lower' or '', got {self.better!r}."
            )


@dataclass(frozen=True)
class Cell:
    """A method's mean in a column.

    Attributes:
      mean: over the images; None where there is none.
      low: lower end of the mean's interval; None without an interval.
      high: upper end.
      count: how many images the mean is of.
      reason: why there is no mean.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        """Raise if neither a number nor a reason is given, or half an interval."""
        ends = [end for end in (self.low, self.high) if end is not None]
        if len(ends) == 1 or not all(map(math.isfinite, ends)):
            raise ValueError(
                f"`low`={self.low} and `high`={self.high}; give two numbers, or None "
                "for both where there is no interval."
            )
        if not self.known and not self.reason:
            raise ValueError(
                f"`mean`={self.mean} without a `reason`; say why it is missing: "
                "`Cell(None, reason='no gradient')`."
            )

    @property
    def known(self) -> bool:
        """Whether there is a number."""
        return self.mean is not None and math.isfinite(self.mean)


@dataclass(frozen=True)
class Row:
    """A method and its numbers.

    Attributes:
      method: the method's name in the library.
      family: such as "cams".
      seconds_per_image: time; None where it was not measured.
      cells: by column's name.
      control: whether it is no method but a control, such as a random map: never the
        best of a column.
    """

    method: str
    family: str
    seconds_per_image: float | None
    cells: Mapping[str, Cell]
    control: bool = False

    @property
    def title(self) -> str:
        """The method's published name."""
        return plain_name(self.method)


@dataclass(frozen=True)
class Chart:
    """A figure on the page.

    Attributes:
      title: what stands above.
      address: of the picture: a file's name beside the page, or a data address.
      text: what it shows, for those who do not see it too.
    """

    title: str
    address: str
    text: str


@dataclass(frozen=True)
class Example:
    """An image, and what the methods say of it.

    Attributes:
      file: the file's name, shown as text.
      photograph: what the model saw, as `embed` encodes it.
      overlays: one per method: the overlay, as `embed` encodes it, or a note.
      disagreement: how much the methods differ.
      target: name of the explained class.
    """

    file: str
    photograph: str
    overlays: Sequence[Layer]
    disagreement: float
    target: str = ""


@dataclass(frozen=True)
class ComparisonHead:
    """What stands above the table, and how the numbers came about.

    Attributes:
      model: the model's name.
      data: what the images are.
      num_images: how many.
      facts: further settings as label and text: budget, seed, versions.
      hyperparameters: of each method and metric, as name and text.
      confidence: of the intervals.
      disagreement: how the examples' disagreement is computed, in a sentence.
      notice: a warning, such as that the comparison was interrupted.
    """

    model: str
    data: str
    num_images: int
    facts: Sequence[tuple[str, str]] = ()
    hyperparameters: Sequence[tuple[str, str]] = ()
    confidence: float = 0.95
    disagreement: str = ""
    notice: str = ""


def comparison_page(
    head: ComparisonHead,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    charts: Sequence[Chart] = (),
    examples: Sequence[Example] = (),
) -> str:
    """An HTML page with methods by metrics, charts and the most disputed images.

    Each number has its interval as text and as a bar on the column's range; the best
    of a column is marked, controls apart. A click on a column's head sorts by it, the
    best first; missing numbers stay last, and a note under the table says why they
    are missing.

    Args:
      head: what stands above.
      columns: metrics, in the order of the table.
      rows: methods, in the order in which they are shown first.
      charts: figures, already written or encoded.
      examples: images, the most disputed first.

    Returns:
      The page: styles and script inside, all text escaped, and a content security
      policy that lets it load nothing but pictures: those inside, and those beside it.

    Raises:
      ValueError: if a row's cells are not those of the columns.

    Example:
      >>> columns = [Column("deletion", "Deletion", "lower")]
      >>> row = Row("rise", "perturbations", 2.0, {"deletion": Cell(0.125)})
      >>> text = comparison_page(ComparisonHead("vgg", "photos", 1), columns, [row])
      >>> "RISE" in text, "0.125" in text
      (True, True)
    """
    for row in rows:
        if set(row.cells) != {column.name for column in columns}:
            raise ValueError(
                f"The row of {row.method!r} has the cells {sorted(row.cells)}; the "
                f"columns are {[column.name for column in columns]}. Where there is "
                "no number, give `Cell(None, reason=...)`."
            )
    time = Column("", "Time", "lower", "s / image", "Seconds per image, once compiled.")
    timed = [Cell(row.seconds_per_image, reason="not measured") for row in rows]
    table = [
        (time, timed),
        *((c, [row.cells[c.name] for row in rows]) for c in columns),
    ]
    controls = [row.control for row in rows]
    shown = [_column(column, cells, controls) for column, cells in table]
    by_row = list(zip(*shown, strict=True))
    missing = (view["cell"] for views in by_row for view in views if not view["text"])
    reasons = dict.fromkeys(cell.reason for cell in missing)
    return template("comparison.html").render(
        head=head,
        columns=[time, *columns],
        rows=list(zip(rows, by_row, strict=True)),
        notes={reason: number for number, reason in enumerate(reasons, 1)},
        charts=charts,
        examples=examples,
    )


def _column(
    column: Column, cells: Sequence[Cell], controls: Sequence[bool]
) -> list[dict[str, Any]]:
    """Each cell as text, whether it is the best, and its interval on the range."""
    means = [cell.mean for cell in cells if cell.known and cell.mean is not None]
    decimals = _decimals(means)
    ends = [
        x for c in cells if c.known for x in (c.mean, c.low, c.high) if x is not None
    ]
    start, length = min(ends, default=0), max(ends, default=0) - min(ends, default=0)
    rivals = [
        cell.mean
        for cell, control in zip(cells, controls, strict=True)
        if cell.known and cell.mean is not None and not control
    ]
    pick = {"higher": max, "lower": min}.get(column.better)
    best = pick(rivals) if pick and rivals else None
    out = []
    for cell, control in zip(cells, controls, strict=True):
        view: dict[str, Any] = {"cell": cell, "text": "", "interval": "", "best": False}
        mean, low, high = cell.mean, cell.low, cell.high
        if cell.known and mean is not None:
            # Times span decades: each has its own digits, the others the column's.
            digits = decimals if column.name else _decimals([mean])
            view["text"] = f"{mean:.{digits}f}"
            view["best"] = mean == best and not control
            if low is not None and high is not None:
                view["interval"] = f"{low:.{digits}f} to {high:.{digits}f}"
                view["bar"] = [(x - start) / (length or 1) for x in (low, mean, high)]
        out.append(view)
    return out


def _decimals(values: Sequence[float]) -> int:
    """Decimals that give the median magnitude three digits, 0 to 6.

    Example:
      >>> _decimals([0.4, -0.65, 1.0]), _decimals([12.0]), _decimals([])
      (3, 1, 2)
    """
    middle = statistics.median(map(abs, values)) if values else 0
    return min(max(2 - math.floor(math.log10(middle)), 0), 6) if middle else 2
