"""Curves of many methods: the telling few in color, the others in grey."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from xattr.render._names import plain_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]

# Told apart by people who do not see red or green, and in print by the dashes.
_COLORS = (
    *("#0072b2", "#d55e00", "#009e73", "#c4609a"),
    *("#e69f00", "#4aa8e0", "#6a3d9a", "#8c564b"),
)
_DASHES = ("-", "-", "-", "-", "--", "--", "--", "--")
_CONTROL = {"color": "#1d1c1a", "linestyle": ":", "linewidth": 1.6, "zorder": 3}
_REST = {"color": "#b4b0a6", "linewidth": 0.7, "alpha": 0.75, "zorder": 1}
INK, QUIET = "#1d1c1a", "#6d6960"


def deletion_insertion_chart(
    deletion: Mapping[str, Points],
    insertion: Mapping[str, Points],
    *,
    controls: Collection[str] = (),
    score: str = "Score of the explained class",
) -> "Figure":
    """Mean score while pixels are deleted or inserted, the strongest evidence first.

    The best four methods of each panel are drawn in color, all if there are no more
    than eight, one color per method in both; the legend is in the order of the area
    under the curve, best first.

    Args:
      deletion: fractions of deleted pixels and mean scores, by method.
      insertion: fractions of inserted pixels and mean scores, by method.
      controls: names that are no methods, such as a random map: drawn dotted and
        never among the best.
      score: what the vertical axis shows.

    Returns:
      The figure. A curve that is not finite is left out, and the legend says so.

    Raises:
      ValueError: if there is no curve, or fractions and scores differ in number.

    Example:
      >>> curves = {"rise": ([0, 0.5, 1], [1, 0.5, 0]), "lime": ([0, 1], [1, 1])}
      >>> chart = deletion_insertion_chart(curves, curves)
      >>> [text.get_text() for text in chart.axes[0].get_legend().get_texts()]
      ['RISE  0.500', 'LIME  1.000']
    """
    from matplotlib.figure import Figure

    panels = [
        (deletion, 1, "Deletion: a smaller area is better", "Fraction deleted"),
        (insertion, -1, "Insertion: a larger area is better", "Fraction inserted"),
    ]
    areas = [{name: _area(name, *c) for name, c in p[0].items()} for p in panels]
    ranked = [
        _ranked(values, sign, controls)
        for values, (_, sign, *_) in zip(areas, panels, strict=True)
    ]
    if not any(areas):
        raise ValueError(
            "`deletion` and `insertion` are empty; at least one curve is needed."
        )
    styles = _styles(ranked, controls)
    chart = Figure(figsize=(10.5, 5.4), layout="constrained", dpi=120)
    axes = chart.subplots(1, 2, sharey=True)
    for axis, values, (curves, sign, title, xlabel) in zip(
        axes, areas, panels, strict=True
    ):
        _draw(axis, curves, values, sign, styles)
        axis.set(title=title, xlabel=xlabel, xlim=(0, 1))
        _legend(axis, loc="upper left", bbox_to_anchor=(0, -0.15), ncols=2)
    axes[0].set_ylabel(score)
    return chart


def randomization_chart(
    layers: Sequence[str],
    similarity: Mapping[str, Sequence[float] | Float[np.ndarray, " s"]],
    *,
    controls: Collection[str] = (),
    measure: str = "Similarity to the original map",
) -> "Figure":
    """How alike a method's map stays while the model's weights are randomized.

    A map that explains the model changes with its weights. Up to eight methods are
    drawn in color; of more, the four that change least and the four that change most.

    Args:
      layers: what is randomized at each stage, in the order of the stages.
      similarity: mean similarity at each stage, by method.
      controls: names that are no methods, such as an edge detector: drawn dotted.
      measure: what the vertical axis shows.

    Returns:
      The figure; the legend gives the mean over the stages, least changed first. A
      stage without a value, of a map that is constant there, is a gap.

    Raises:
      ValueError: if there is no method or a method's stages are not the layers.

    Example:
      >>> chart = randomization_chart(["head", "stem"], {"gradient": [0.5, 0.1]})
      >>> chart.axes[0].get_legend().get_texts()[0].get_text()
      'Gradient  0.300'
    """
    from matplotlib.figure import Figure

    if not similarity:
        raise ValueError("`similarity` is empty; at least one method is needed.")
    for name, values in similarity.items():
        if len(values) != len(layers):
            raise ValueError(
                f"`similarity`[{name!r}] has {len(values)} values for {len(layers)} "
                "`layers`; one for each stage is needed."
            )
    stages = np.arange(len(layers))
    curves = {name: (stages, values) for name, values in similarity.items()}
    means = {name: _mean(values) for name, values in similarity.items()}
    ranked = _ranked(means, -1, controls)
    width = min(max(8.5, 4.5 + 0.3 * len(layers)), 14)
    chart = Figure(figsize=(width, 5), layout="constrained", dpi=120)
    axis = chart.subplots()
    marker = "o" if len(layers) <= 30 else None
    _draw(axis, curves, means, -1, _styles([ranked, ranked[::-1]], controls), marker)
    axis.axhline(0, color=QUIET, linewidth=0.8, zorder=0)
    step = -(-len(layers) // 30)
    texts = [name.replace("$", r"\$") for name in layers[::step]]
    axis.set_xticks(
        *(stages[::step], texts), rotation=45, ha="right", rotation_mode="anchor"
    )
    axis.tick_params(axis="x", labelsize=8)
    axis.set(
        xlabel="Randomized, stage by stage",
        ylabel=measure,
        title="Sensitivity to the weights: a similarity that stays high is a warning",
    )
    _legend(axis, loc="upper left", bbox_to_anchor=(1.01, 1), title="Mean over stages")
    return chart


def label(name: str) -> str:
    """A method's published name, without what would be read as a formula."""
    return plain_name(name).replace("$", r"\$")


def _area(name: str, fractions: Any, scores: Any) -> float:
    """Area under a curve by the trapezoidal rule."""
    if len(fractions) != len(scores):
        raise ValueError(
            f"The curve of {name!r} has {len(fractions)} fractions and {len(scores)} "
            "scores; one score for each fraction is needed."
        )
    return float(np.trapezoid(np.asarray(scores, float), np.asarray(fractions, float)))


def _mean(values: Any) -> float:
    """The mean of what is finite; NaN if nothing is."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")


def _ranked(
    values: Mapping[str, float], sign: int, controls: Collection[str]
) -> list[str]:
    """Methods with a finite value, the smallest of sign × value first."""
    names = [n for n, v in values.items() if np.isfinite(v) and n not in controls]
    return sorted(names, key=lambda name: sign * values[name])


def _styles(
    ranked: Sequence[Sequence[str]], controls: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Lines of the methods at the head of either ranking, and of the controls."""
    count = 8 if len(set().union(*ranked)) <= 8 else 4
    heads = dict.fromkeys(name for names in ranked for name in names[:count])
    lines = {
        name: {"color": color, "linestyle": dash, "linewidth": 1.9, "zorder": 2}
        for name, color, dash in zip(heads, _COLORS, _DASHES, strict=False)
    }
    return lines | dict.fromkeys(controls, _CONTROL)


def _draw(
    axis: "Axes",
    curves: Mapping[str, Points],
    values: Mapping[str, float],
    sign: int,
    styles: Mapping[str, dict[str, Any]],
    marker: str | None = None,
) -> None:
    """Draw curves so that the legend is in the order of sign × value."""
    finite = [name for name in curves if np.isfinite(values[name])]
    for name in sorted(finite, key=lambda name: sign * values[name]):
        if name in styles:
            text = f"{label(name)}  {values[name]:.3f}"
            mark = {"marker": marker, "markersize": 3}
            axis.plot(*curves[name], label=text, **mark, **styles[name])
    rest = [values[name] for name in finite if name not in styles]
    for name in finite:
        if name not in styles:
            axis.plot(*curves[name], **_REST)
    if rest:
        others = f"{len(rest)} other{'s' * (len(rest) > 1)}"
        text = f"{others}  {min(rest):.3f} to {max(rest):.3f}"
        axis.plot([], [], label=text, **_REST)
    if left_out := [label(name) for name in curves if name not in finite]:
        shown = ", ".join(left_out[:3]) + ", …" * (len(left_out) > 3)
        axis.plot([], [], " ", label=f"Not finite, not drawn: {shown}")
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(color="#ebe8e0", linewidth=0.8)
    axis.set_axisbelow(True)


def _legend(axis: "Axes", **place: Any) -> None:
    if not axis.lines:
        axis.text(0.5, 0.5, "no curve", transform=axis.transAxes, ha="center")
        return
    axis.legend(fontsize=8.5, frameon=False, alignment="left", **place)
