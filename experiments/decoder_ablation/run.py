"""Which part of a saliency decoder's recipe does what? One factor at a time.

    python experiments/decoder_ablation/run.py [--row NAME ...]

Small networks learn to tell patterns of planted patches apart; decoders learn to mask
their images, each row of the table with one thing changed, for three seeds. What is in
`results.json` already is not computed again.
"""

import argparse
import csv
import datetime
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from measures import MEASURES, accuracy, examples, measured
from network import Network, alone, draws
from pictures import SIZE, pictures
from rows import Row, rows

from xattr.decoder import (
    Architecture,
    Batch,
    Report,
    State,
    Trainable,
    Trained,
    architecture,
    decode,
    evaluated,
    init,
    step,
    trainable,
    trained,
)

HERE = Path(__file__).parent
STEPS, SEEDS = 3000, 3
Program = Callable[[Trainable, State, Any, Any], tuple[State, Report]]


def compiled(row: Row, form: Architecture) -> Program:
    """A step of a row, for all its seeds: the seed is data.

    One step, not a loop of them: convolutions in JAX's loops are slow on CPUs.
    """

    @partial(jax.jit, donate_argnums=1)
    def one(network, state, key, seed):
        settings = replace(row.settings, seed=seed)
        images, labels, _ = pictures(key, settings.batch_size)
        batch = Batch(images, labels)
        return step(network, state, batch, architecture=form, settings=settings)

    return one


def one_seed(
    row: Row, seed: int, form: Architecture, program: Program, networks: "Networks"
) -> tuple[dict[str, Any], np.ndarray]:
    """What is measured of a row's decoder, and its masks of the examples."""
    begun, frozen = networks(seed)
    started = time.perf_counter(), time.process_time()
    settings = replace(row.settings, seed=seed)
    network = frozen if settings.mode == "frozen" else begun
    # A copy: the step takes the buffers of the state, and some are the network's.
    state = jax.tree.map(lambda x: x.copy(), init(network, form, settings))
    report = {}
    for key in draws(settings):
        state, report = program(network, state, key, seed)
    report = {name: float(value) for name, value in report.items()}
    if state.classifier is not None:
        learnt = state.classifier
        network = replace(network, params=learnt.params, statistics=learnt.statistics)
    decoder = trained(state, form, settings)
    fresh = jax.random.key(1000 + seed)
    found = {
        **measured(network, decoder, fresh),
        "accuracy alone": float(accuracy(frozen, fresh)),
        # A step that is not finite is not taken.
        "steps": int(state.step),
        "last batch": report,
        "seconds": round(time.perf_counter() - started[0], 1),
        "CPU seconds": round(time.process_time() - started[1], 1),
    }
    return found, masks(network, decoder)


class Networks:
    """The network of each seed before training, and trained alone; made when asked."""

    def __init__(self, row: Row) -> None:
        self._settings = row.settings
        self._made: dict[int, tuple[Trainable, Trainable]] = {}

    def __call__(self, seed: int) -> tuple[Trainable, Trainable]:
        """Both of a seed."""
        if seed not in self._made:
            begun = trainable(Network(nnx.Rngs(seed)))
            self._made[seed] = begun, alone(begun, replace(self._settings, seed=seed))
        return self._made[seed]


def masks(network: Trainable, decoder: Trained) -> np.ndarray:
    """The masks of the examples side by side, in bytes."""
    found = decode(evaluated(network), examples()[0], decoder=decoder)
    return np.concatenate(np.asarray(255 * found[..., 0]).astype(np.uint8), axis=1)


def table(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each row the mean of each measure over seeds, and their deviation."""
    lines = []
    for name, row in results["rows"].items():
        line: dict[str, Any] = {"row": name, "seeds": len(row["seeds"])}
        for measure in MEASURES:
            values = np.array([found[measure] for found in row["seeds"].values()])
            line[measure] = round(float(values.mean()), 4)
            if measure != "collapsed":
                deviation = (
                    float(values.std(ddof=1)) if len(values) > 1 else float("nan")
                )
                line[f"{measure}, deviation"] = round(deviation, 4)
        lines.append(line)
    return lines


def show(lines: list[dict[str, Any]]) -> None:
    """The table on the console: means, and deviations in brackets."""
    for number, measure in enumerate(MEASURES, start=1):
        print(f"({number}) {measure}", end="  ")
    print(
        "\n" + " " * 33 + "".join(f"({k + 1})".rjust(12) for k in range(len(MEASURES)))
    )
    for line in lines:
        cells = []
        for measure in MEASURES:
            deviation = line.get(f"{measure}, deviation")
            spread = "" if deviation is None else f" ({deviation:.2f})"
            cells.append(f"{line[measure]:.2f}{spread}".rjust(12))
        print(f"{line['row']:33}" + "".join(cells))


def draw(strips: dict[str, np.ndarray], names: list[str], path: Path) -> None:
    """Masks of the examples by each row, with the patches' outlines."""
    images, inside = examples()
    across = 3
    outlines = np.concatenate(inside, axis=1)
    first = np.concatenate(np.asarray(images), axis=1)
    shown = [("images", first), *((k, strips[k]) for k in names if k in strips)]
    down = -(-len(shown) // across)
    figure, axes = plt.subplots(down, across, figsize=(4 * across, 1.25 * down))
    for ax in axes.flat:
        ax.axis("off")
    for ax, (name, strip) in zip(axes.T.flat, shown, strict=False):
        ax.imshow(strip, cmap="gray", vmin=0, vmax=255)
        ax.contour(outlines, [0.5], colors="tab:green", linewidths=0.8)
        ax.set_title(name, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Compute the rows that are missing; write results, table and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", nargs="+", metavar="NAME", help="only these rows")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    arguments = parser.parse_args()
    every = rows(steps=arguments.steps)
    chosen = arguments.row or list(every)
    if unknown := [name for name in chosen if name not in every]:
        parser.error(f"--row: {unknown[0]!r} is none of {', '.join(every)}.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    results_path, masks_path = (
        arguments.out / name for name in ("results.json", "masks.npz")
    )
    results = json.loads(results_path.read_text()) if results_path.exists() else {}
    done = results.get("rows", {})
    strips = dict(np.load(masks_path)) if masks_path.exists() else {}
    networks = Networks(every["base"])
    images = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), "float32")
    for name in chosen:
        row = every[name]
        described = json.loads(json.dumps(row.described()))
        if done.get(name, {}).get("described") != described:
            done[name] = {"described": described, "seeds": {}}
        missing = [
            seed
            for seed in range(arguments.seeds)
            if str(seed) not in done[name]["seeds"]
        ]
        if not missing:
            continue
        model = evaluated(networks(missing[0])[0])
        form = architecture(
            model, images, row.sites, channels=row.channels, output=row.output
        )
        program = compiled(row, form)
        for seed in missing:
            found, strip = one_seed(row, seed, form, program, networks)
            done[name]["seeds"][str(seed)] = found
            done[name] |= {
                "date": datetime.date.today().isoformat(),
                "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}; "
                f"JAX {jax.__version__} on {jax.devices()[0].device_kind}",
            }
            if seed == 0:
                strips[name] = strip
                np.savez_compressed(masks_path, **strips)
            ordered = {k: done[k] for k in every if k in done and done[k]["seeds"]}
            results_path.write_text(json.dumps({"rows": ordered}, indent=1) + "\n")
            few = {k: round(found[k], 3) for k in (*MEASURES, "seconds")}
            print(name, seed, few, flush=True)
    results = json.loads(results_path.read_text())
    lines = table(results)
    show(lines)
    with (arguments.out / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    draw(strips, list(results["rows"]), arguments.out / "masks.png")


if __name__ == "__main__":
    main()
