"""A page to look at: one file, nothing fetched."""

import base64
import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from xattr.render._colormap import color_bar, color_table
from xattr.render._names import plain_name
from xattr.render._summary import Summary
from xattr.render._template import template

EMBED_SIDE = 288


@dataclass(frozen=True)
class Layer:
    """One method's map of one photograph.

    Attributes:
      method: the method's name in the library.
      data: the map, as `embed` encodes it, or None where there is nothing to draw.
      note: why there is nothing to draw.
    """

    method: str
    data: str | None
    note: str = ""

    @property
    def title(self) -> str:
        """The method's published name."""
        return plain_name(self.method)


@dataclass(frozen=True)
class Explanation:
    """One photograph: what the model says of it, and each method's map.

    Attributes:
      name: the file's name, shown as text.
      photo: what the model saw, as `embed` encodes it.
      predictions: class names and probabilities, most probable first.
      target: name of the class that the maps explain.
      probability: that class's probability.
      layers: maps, one per method.
      rank: place of that class in `predictions`, or None if it is not there; names
        do not tell, since two classes may share one.
      note: why `photo` is not the photograph, if it is not.
    """

    name: str
    photo: str
    predictions: Sequence[tuple[str, float]]
    target: str
    probability: float
    layers: Sequence[Layer]
    rank: int | None
    note: str = ""


@dataclass(frozen=True)
class Skipped:
    """A file without an explanation, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Turn:
    """Which page this is of several.

    Attributes:
      number: of this page, from 1.
      count: how many pages there are.
      first: address of the first.
      pattern: address of each other one, `{}` for its number.
    """

    number: int
    count: int
    first: str
    pattern: str

    def address(self, number: int) -> str:
        """Where a page is.

        Example:
          >>> turn = Turn(2, 9, "index.html", "index-{}.html")
          >>> turn.address(1), turn.address(3)
          ('index.html', 'index-3.html')
        """
        return self.first if number == 1 else self.pattern.format(number)


@dataclass(frozen=True)
class PageHead:
    """What stands above the photographs.

    Attributes:
      model: the model's name.
      methods: names of the methods, in the order of the layers.
      facts: further facts as label and text, such as the target.
      notice: a warning, such as that the run was interrupted.
      position: such as "images 101 to 200 of 1,234".
      turn: where the other pages are; None if this is the only one.
      summary: figures of the whole run; None for none.
    """

    model: str
    methods: Sequence[str]
    facts: Sequence[tuple[str, str]] = ()
    notice: str = ""
    position: str = ""
    turn: Turn | None = None
    summary: Summary | None = None


def page(
    head: PageHead,
    explanations: Sequence[Explanation],
    skipped: Sequence[Skipped] = (),
) -> str:
    """An HTML page with photographs, predictions and every method side by side.

    Opacity, signed or absolute, and light or dark are chosen on the page. A map is
    embedded once, in gray; the browser colors it by an SVG filter that holds the
    same table as `colorize`, so that one picture serves signed and absolute.

    Args:
      head: what stands above.
      explanations: photographs with their maps, encoded by `embed`.
      skipped: files that are listed with their reasons.

    Returns:
      The page: styles, script and pictures inside, all text escaped, and a content
      security policy that lets it fetch nothing.
    """
    return template("gallery.html").render(
        head=head,
        titles={name: plain_name(name) for name in head.methods},
        share=_share,
        explanations=explanations,
        skipped=skipped,
        filters={
            "signed": _filter_tables(signed=True),
            "absolute": _filter_tables(signed=False),
        },
        bars={
            "signed": color_bar(signed=True),
            "absolute": color_bar(signed=False),
        },
    )


def embed(
    picture: UInt8[np.ndarray, "h w 3"] | Float[np.ndarray, "h w"],
    *,
    side: int = EMBED_SIDE,
) -> str:
    """A photograph, or a map in [-1, 1], as a data address of a small JPEG.

    Args:
      picture: a photograph, or a map of which -1 becomes black and 1 white.
      side: the longer side is made this long, if it is longer.

    Returns:
      Text that begins with `data:image/jpeg;base64,`.
    """
    from PIL import Image

    if picture.ndim == 2:
        gray = np.rint(np.clip(picture, -1, 1) * 127.5 + 127.5 + 1e-3)
        image = Image.fromarray(gray.astype(np.uint8))
    else:
        image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _share(count: int, total: int) -> str:
    """A part in percent; 100% and 0% only for all and none.

    Example:
      >>> _share(3, 3), _share(99_999, 100_000), _share(1, 3)
      ('100%', '99.9%', '33.3%')
    """
    if count in (0, total):
        return f"{100 * count // total}%"
    return f"{min(max(100 * count / total, 0.1), 99.9):.1f}%"


@functools.cache
def _filter_tables(*, signed: bool, steps: int = 64) -> dict[str, str]:
    """Values of red, green, blue and opacity for evenly spaced levels of gray."""
    table = color_table(signed) / 255
    index = np.rint(np.linspace(0, len(table) - 1, steps + 1)).astype(int)
    columns = {name: table[index, k] for k, name in enumerate("rgb")}
    # The filter passes opacity as 1/2 + gray/2: its table's first half is unused.
    columns["a"] = np.concatenate([np.zeros(steps), table[index, 3]])
    return {
        name: " ".join(f"{value:.3g}" for value in column)
        for name, column in columns.items()
    }
