"""The figures of a comparison: what the measured metrics allow."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xattr.cli._folder import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xattr.compare import Comparison, Results
    from xattr.render import Chart

    Drawn = tuple[str, Figure] | None

# What stands for faithfulness beside the cost: the first of these that was measured.
_FAITHFULNESS = (
    "insertion",
    "road",
    "deletion",
    "average_drop",
    "faithfulness_correlation",
    "mu_fidelity",
)


def draw_charts(
    comparison: "Comparison",
    results: "Results",
    seconds: Mapping[str, float],
    folder: Path,
) -> list["Chart"]:
    """Write the figures into a folder; what each is called and shows."""
    from xattr.render import Chart

    drawn = {
        ("curves.png", "Deletion and insertion"): _curves(comparison, results),
        ("randomization.png", "Randomized weights"): _randomization(
            comparison, results
        ),
        ("agreement.png", "Agreement of methods"): _agreement(comparison, results),
        ("speed.png", "Speed and faithfulness"): _speed(comparison, results, seconds),
    }
    charts = []
    for (name, title), found in drawn.items():
        if found is None:
            continue
        text, figure = found
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        content = buffer.getvalue()
        write_whole(folder / name, lambda file, content=content: file.write(content))
        charts.append(Chart(title, name, text))
    return charts


def _curves(comparison: "Comparison", results: "Results") -> "Drawn":
    from xattr.render import deletion_insertion_chart

    curves = results.curves
    if not (curves.get("deletion") or curves.get("insertion")):
        return None
    both = [
        {
            name: (_fractions(comparison, metric), curve)
            for name, curve in curves.get(metric, {}).items()
        }
        for metric in ("deletion", "insertion")
    ]
    text = "Mean score while the most relevant pixels are deleted, or inserted."
    return text, deletion_insertion_chart(*both, score="Probability of the class")


def _randomization(comparison: "Comparison", results: "Results") -> "Drawn":
    import jax.numpy as jnp

    from xattr.metrics import randomized_layers
    from xattr.render import randomization_chart

    curves = results.curves.get("parameter_randomization")
    if not curves:
        return None
    plan = comparison.plan
    layers = randomized_layers(
        plan.pretrained.model,
        jnp.zeros((1, *plan.preprocess.shape)),
        num_stages=comparison.settings("parameter_randomization").get("num_stages"),
    )
    text = (
        "Rank correlation with the map of the network as it is, while layers are "
        "randomized from the outputs to the pixels."
    )
    return text, randomization_chart(layers, curves)


def _agreement(comparison: "Comparison", results: "Results") -> "Drawn":
    from xattr.render import agreement_chart

    if len(comparison.methods) < 2:
        return None
    text = (
        "Mean rank correlation of the maps of every two methods, on a grid of 14 by "
        "14 cells."
    )
    return text, agreement_chart(comparison.methods, results.agreement)


def _speed(
    comparison: "Comparison", results: "Results", seconds: Mapping[str, float]
) -> "Drawn":
    from xattr.render import speed_faithfulness_chart

    by = next((m for m in _FAITHFULNESS if m in comparison.metrics), None)
    if by is None or not seconds:
        return None
    names = [name for name in comparison.methods if name in seconds]
    found = [results.estimates[name][by] for name in names]
    text = f"{by} over seconds per photograph, measured on the first tile."
    return text, speed_faithfulness_chart(
        names,
        [comparison.plan.methods[name].family for name in names],
        [max(seconds[name], 1e-6) for name in names],
        [e.mean for e in found],
        [(e.low, e.high) for e in found],
        better=comparison.metrics[by].better,
        measure=by,
    )


def _fractions(comparison: "Comparison", metric: str) -> np.ndarray:
    """Shares of the pixels at which a curve was taken."""
    side, settings = comparison.plan.preprocess.size, comparison.settings(metric)
    per_step, steps = settings.get("pixels_per_step", 224), settings.get("num_steps")
    pixels = side * side
    if steps is None:
        return np.array([*range(0, pixels, per_step), pixels]) / pixels
    return np.array([step * pixels // steps for step in range(steps + 1)]) / pixels
