"""What a method costs, and what one gets for it."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from xattr.render._curve_charts import INK, QUIET, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS = (
    *(("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#c4609a", "D")),
    *(("#e69f00", "v"), ("#4aa8e0", "P"), ("#6a3d9a", "X"), ("#8c564b", "p")),
)
_ANGLES = np.deg2rad(np.arange(0, 360, 22.5))
_DISTANCES = (6.0, 11.0, 18.0, 27.0, 38.0, 52.0, 70.0)


def speed_faithfulness_chart(
    names: Sequence[str],
    families: Sequence[str],
    seconds_per_image: Sequence[float] | Float[np.ndarray, " m"],
    faithfulness: Sequence[float] | Float[np.ndarray, " m"],
    intervals: Sequence[tuple[float, float]] | Float[np.ndarray, "m 2"],
    *,
    better: Literal["higher", "lower"] = "higher",
    measure: str = "Faithfulness",
    controls: Collection[str] = (),
) -> "Figure":
    """Faithfulness over time, with the methods that no other beats in both.

    Args:
      names: methods.
      families: the family of each, which gives color and marker.
      seconds_per_image: time of each, above 0.
      faithfulness: mean of each.
      intervals: lower and upper end of each mean's interval.
      better: whether higher or lower values are more faithful.
      measure: what the vertical axis shows.
      controls: names that are no methods: they take no part in the front.

    Returns:
      The figure. The line is the Pareto front: its methods are at least as faithful as
      all that are as fast, and are labeled in bold. Methods with a value that is not
      finite are left out, and a note says so.

    Raises:
      ValueError: if the arguments differ in length, a time is not above 0, `better` is
        another word, or there are more than eight families.

    Example:
      >>> chart = speed_faithfulness_chart(
      ...     *(["grad_cam", "rise"], ["cams", "perturbations"]),
      ...     *([0.01, 2.0], [0.4, 0.6], [(0.3, 0.5), (0.5, 0.7)]),
      ... )
      >>> [text.get_text() for text in chart.axes[0].texts]
      ['Grad-CAM', 'RISE']
    """
    from matplotlib.figure import Figure

    times = np.asarray(seconds_per_image, float)
    values = np.asarray(faithfulness, float)
    ends = np.asarray(intervals, float).reshape(-1, 2)
    looks = _check(names, families, times, values, ends, better)
    shown = np.isfinite(values) & np.isfinite(times)
    ranked = shown & ~np.isin(np.asarray(names, object), list(controls))
    front = pareto_front(times, values if better == "higher" else -values, ranked)
    chart = Figure(figsize=(10.5, 6.6), layout="constrained", dpi=120)
    axis = chart.subplots()
    axis.set_xscale("log")
    if shown.any() and times[shown].max() < 2 * times[shown].min():
        # Equal times, or one alone, span nothing that an axis could show.
        axis.set_xlim(times[shown].min() / 2, times[shown].max() * 2)
    for index in np.flatnonzero(shown).tolist():
        color, marker = looks[families[index]]
        mark = {"markersize": 6, "markeredgecolor": color, "markeredgewidth": 1.2}
        face = color if names[index] not in controls else "white"
        axis.plot(
            *(times[index], values[index], marker),
            **{"markerfacecolor": face, "zorder": 3, **mark},
        )
        axis.vlines(times[index], *ends[index], color=color, alpha=0.4, linewidth=1.2)
    if front:
        axis.plot(
            *(times[front], values[front]),
            drawstyle="steps-post",
            color=QUIET,
            linewidth=1,
            linestyle="--",
            zorder=1,
            label="no other is faster and better",
        )
    for family, (color, marker) in looks.items():
        axis.plot([], [], marker, color=color, label=family.replace("$", r"\$"))
    axis.legend(
        *axis.get_legend_handles_labels(),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(looks) + 1,
        fontsize=9,
        frameon=False,
        handletextpad=0.4,
    )
    left_out = [label(names[index]) for index in np.flatnonzero(~shown).tolist()]
    note = f"\nwithout a finite value: {', '.join(left_out)}" if left_out else ""
    axis.set_xlabel(f"Seconds per image{note}")
    axis.set_ylabel(f"{measure} ({better} is better)")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#ebe8e0", linewidth=0.8)
    axis.margins(0.08)
    first = [*front, *(k for k in np.flatnonzero(shown).tolist() if k not in front)]
    _write_labels(chart, axis, names, times, values, first, front, ends)
    return chart


def pareto_front(
    times: Float[np.ndarray, " m"],
    values: Float[np.ndarray, " m"],
    among: Sequence[bool] | np.ndarray | None = None,
) -> list[int]:
    """Those with a higher value than all that take no longer, fastest first.

    Args:
      times: smaller is better.
      values: larger is better.
      among: which take part; all by default.

    Example:
      >>> pareto_front(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.6]))
      [0, 2]
    """
    taken = np.arange(len(times)) if among is None else np.flatnonzero(among)
    front, best = [], -np.inf
    for index in sorted(taken.tolist(), key=lambda k: (times[k], -values[k])):
        if values[index] > best:
            front.append(index)
            best = values[index]
    return front


def _check(
    names: Sequence[str],
    families: Sequence[str],
    times: np.ndarray,
    values: np.ndarray,
    ends: np.ndarray,
    better: str,
) -> Mapping[str, tuple[str, str]]:
    """Raise unless the arguments fit; color and marker of each family."""
    lengths = [len(part) for part in (names, families, times, values, ends)]
    if len(set(lengths)) > 1:
        raise ValueError(
            "`names`, `families`, `seconds_per_image`, `faithfulness` and `intervals` "
            f"have the lengths {lengths}; one of each for every method is needed."
        )
    if (times <= 0).any():
        raise ValueError(
            f"`seconds_per_image` holds {times.min():g}; times are above 0."
        )
    if better not in ("higher", "lower"):
        raise ValueError(f"`better` must be 'higher' or 'lower', got {better!r}.")
    different = list(dict.fromkeys(families))
    if len(different) > len(_LOOKS):
        raise ValueError(
            f"`families` names {len(different)}; {len(_LOOKS)} can be told apart."
        )
    return dict(zip(different, _LOOKS, strict=False))


def _write_labels(
    chart: "Figure",
    axis: "Axes",
    names: Sequence[str],
    times: np.ndarray,
    values: np.ndarray,
    order: Sequence[int],
    front: Sequence[int],
    ends: np.ndarray,
) -> None:
    """Write each name where it covers the least, the front's first and in bold.

    Places are tried around each point, nearer ones first; a name that is not beside
    its point is tied to it by a line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patheffects import withStroke

    renderer = FigureCanvasAgg(chart).get_renderer()
    chart.draw_without_rendering()
    scale = chart.dpi / 72
    to_pixels = axis.transData.transform
    places = to_pixels(np.column_stack([times, values]))
    low, high = (to_pixels(np.column_stack([times, end])) for end in ends.T)
    frame = axis.get_window_extent(renderer)
    occupied = [_box(places[k], places[k], 5 * scale) for k in order]
    occupied += [_box(low[k], high[k], scale) for k in order]
    for left, right in zip(front, front[1:], strict=False):
        corner = np.array([places[right][0], places[left][1]])
        occupied += [_box(places[left], corner, 3 * scale)]
        occupied += [_box(corner, places[right], 3 * scale)]
    size = 9 if len(order) <= 15 else 7.5
    for index in order:
        text = axis.annotate(
            *(label(names[index]), (times[index], values[index])),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=size,
            color=INK,
            fontweight="bold" if index in front else "normal",
            path_effects=[withStroke(linewidth=2, foreground="white")],
            zorder=4,
        )
        extent = text.get_window_extent(renderer)
        place = places[index]
        boxes, distances = _candidates(
            place, np.array([extent.width, extent.height]), scale
        )
        covered = _overlaps(boxes, np.array(occupied)).sum(1)
        outside = extent.width * extent.height - _overlaps(
            boxes, np.array([[frame.x0, frame.y0, frame.x1, frame.y1]])
        ).sum(1)
        # An overlap weighs as much as going further does, from a few pixels on.
        best = int(np.argmin(covered + 4 * outside + 2 * scale * distances))
        corner = boxes[best, :2]
        text.set_position(tuple((corner - place) / scale))
        if distances[best] > _DISTANCES[1]:
            nearest = np.clip(place, boxes[best, :2], boxes[best, 2:])
            axis.annotate(
                "",
                (times[index], values[index]),
                xytext=tuple((nearest - place) / scale),
                textcoords="offset points",
                arrowprops={
                    **{"arrowstyle": "-", "color": QUIET, "linewidth": 0.5},
                    **{"shrinkA": 0, "shrinkB": 3},
                },
            )
        occupied.append(boxes[best])


def _box(start: np.ndarray, end: np.ndarray, margin: float) -> np.ndarray:
    """Left, bottom, right, top of a line with a margin; ends that are no number: none.

    A box of no size covers nothing.
    """
    corners = np.stack([start, end])
    box = np.concatenate([corners.min(0) - margin, corners.max(0) + margin])
    return box if np.isfinite(box).all() else np.zeros(4)


def _candidates(
    point: np.ndarray, size: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes around a point, as left, bottom, right, top, and how far they are."""
    distances = np.repeat(_DISTANCES, len(_ANGLES))
    angles = np.tile(_ANGLES, len(_DISTANCES))
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    # The box's side or corner that faces the point is what keeps the distance.
    centers = point + directions * (distances[:, None] * scale + size / 2)
    return np.concatenate([centers - size / 2, centers + size / 2], 1), distances


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area shared by each box with each other one."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0).prod(-1)
