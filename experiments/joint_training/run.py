"""Does training a saliency decoder along cost the classifier its accuracy?

    python experiments/joint_training/run.py --data ../data --work DIR

A small residual network learns CIFAR-10 photographs alone, and jointly with a decoder,
from the same parameters on the same batches. Exit code 1 where the goal is missed.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from jaxtyping import Bool
from network import SITES, Network, alone
from photographs import SIZE, Photographs, batches, read

from xattr.decoder import (
    Settings,
    Trainable,
    Trained,
    architecture,
    decode,
    evaluated,
    fit,
    keep,
    trainable,
)
from xattr.images import mean_color

HERE = Path(__file__).parent
EPOCHS, SEEDS, BATCH = 10, 3, 64
# Points of accuracy that training along may cost, in the mean over seeds.
GOAL = 1.0
# By what the classifier sees beside whole images: what masks keep as well, or nothing.
# In the latter the decoder only reads it: a control, which must come out even.
JOINT = {"joint": 0.5, "joint, whole images alone": 0.0}
SETTINGS = Settings(
    mode="joint",
    batch_size=BATCH,
    learning_rate=2e-3,
    average=0.99,
    classifier_learning_rate=0.05,
    classifier_weight_decay=5e-4,
)


@jax.jit
def _right(network: Trainable, images: jax.Array, labels: jax.Array) -> jax.Array:
    return evaluated(network)(images).argmax(1) == labels


def right(network: Trainable, test: Photographs) -> Bool[np.ndarray, " n"]:
    """Which of the test photographs are classified right."""
    images, labels = test.images(), test.labels
    return np.asarray(_right(network, jnp.asarray(images), jnp.asarray(labels)))


def jointly(
    network: Trainable, train: Photographs, settings: Settings, folder: Path
) -> tuple[Trainable, Trained]:
    """The classifier and the decoder that were trained along with each other."""
    images = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), "float32")
    form = architecture(evaluated(network), images, SITES, channels=(32, 16))
    data = batches(train, settings.batch_size, seed=settings.seed)
    every = max(settings.num_steps // 10, 1)

    def watch(number: int, report: Any) -> None:
        if number % every == 0:
            few = ("total", "mask_mean", "mask_std", "kept_accuracy", "accuracy")
            print(number, {k: round(float(report[k]), 3) for k in few}, flush=True)

    decoder, state = fit(
        network,
        data,
        architecture=form,
        settings=settings,
        folder=folder,
        watch=watch,
    )
    learnt = state.classifier
    assert learnt is not None
    after = replace(network, params=learnt.params, statistics=learnt.statistics)
    return after, decoder


@partial(jax.jit, static_argnames="size")
def masks_of(
    network: Trainable, images: jax.Array, decoder: Trained, *, size: int
) -> dict[str, jax.Array]:
    """What masks are like on test photographs, lest they be empty."""
    model = evaluated(network)
    images = images[:size]
    targets = model(images).argmax(1)
    mask = decode(model, images, targets, decoder=decoder)
    kept = model(keep(images, mask, mean_color(images))).argmax(1)
    return {
        "mean of the mask": mask.mean(),
        "deviation within a mask": mask.std((1, 2, 3)).mean(),
        "share decided alike by what is kept": (kept == targets).mean(),
    }


def compared(
    before: Bool[np.ndarray, "s n"], after: Bool[np.ndarray, "s n"]
) -> dict[str, Any]:
    """Accuracies in percent, their difference, and its interval over photographs.

    Photographs are drawn anew, each with all its seeds, 10,000 times.
    """
    difference = 100 * (after.astype(float) - before.astype(float)).mean(0)
    drawn = np.random.default_rng(0).integers(
        0, len(difference), (10_000, len(difference)), dtype=np.int32
    )
    low, high = np.percentile(difference[drawn].mean(1), (2.5, 97.5))
    return {
        "accuracy": [round(float(v), 2) for v in 100 * after.mean(1)],
        "accuracy alone": [round(float(v), 2) for v in 100 * before.mean(1)],
        "difference": round(float(difference.mean()), 3),
        "95 % interval": [round(float(low), 3), round(float(high), 3)],
        # What McNemar's test counts, for each seed.
        "right alone only": (before & ~after).sum(1).tolist(),
        "right jointly only": (after & ~before).sum(1).tolist(),
    }


def draw(network: Trainable, decoder: Trained, test: Photographs, path: Path) -> None:
    """A photograph of each class, its mask, and what the mask keeps."""
    first = [int(np.argmax(test.labels == k)) for k in range(test.labels.max() + 1)]
    images = jnp.asarray(test.images()[first])
    mask = decode(evaluated(network), images, decoder=decoder)
    rows = images, mask, keep(images, mask, mean_color(images))
    figure, axes = plt.subplots(3, len(first), figsize=(len(first), 3.2))
    for row, pictures in enumerate(rows):
        for ax, picture in zip(axes[row], np.asarray(pictures), strict=True):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
            ax.axis("off")
    figure.tight_layout(pad=0.2)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a file holds; made and written where there is none."""
    if not path.exists():
        started = time.perf_counter(), time.process_time()
        made = make()
        made["seconds"] = round(time.perf_counter() - started[0])
        made["CPU seconds"] = round(time.process_time() - started[1])
        path.write_text(json.dumps(made) + "\n")
    return json.loads(path.read_text())


def main() -> int:
    """Train, compare, draw, and write the results beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the data pack")
    parser.add_argument("--work", type=Path, required=True, help="what is not kept")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--steps", type=int, help="instead of epochs, for a trial")
    arguments = parser.parse_args()
    for folder in (arguments.work, arguments.out):
        folder.mkdir(parents=True, exist_ok=True)
    train, test, classes = read(arguments.data / "cifar10_jpeg")
    steps = arguments.steps or arguments.epochs * len(train.labels) // BATCH
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("alone", *JOINT)}
    for seed in range(arguments.seeds):
        settings = replace(SETTINGS, num_steps=steps, seed=seed)
        network = trainable(Network(len(classes), nnx.Rngs(seed)))

        def trained_alone(
            settings: Settings = settings, network: Trainable = network
        ) -> dict[str, Any]:
            data = batches(train, settings.batch_size, seed=settings.seed)
            after = alone(network, data, settings)
            return {"right": right(after, test).tolist()}

        def trained_along(
            name: str, settings: Settings, folder: Path, network: Trainable = network
        ) -> dict[str, Any]:
            after, decoder = jointly(network, train, settings, folder)
            about = masks_of(after, jnp.asarray(test.images()), decoder, size=500)
            if settings.seed == 0:
                draw(after, decoder, test, arguments.work / f"{name}.png")
            return {
                "right": right(after, test).tolist(),
                "masks": {k: round(float(v), 4) for k, v in about.items()},
            }

        # Steps are part of the name, lest a trial pass for the whole.
        place = arguments.work / f"{steps} steps"
        place.mkdir(exist_ok=True)
        found["alone"].append(kept(place / f"alone {seed}.json", trained_alone))
        for name, share in JOINT.items():
            if not share and seed:
                continue  # Once shows that nothing differs but rounding.
            own = replace(settings, masked_share=share)
            make = partial(trained_along, name, own, place / f"{name} {seed}")
            found[name].append(kept(place / f"{name} {seed}.json", make))
        for name, runs in found.items():
            accuracies = [round(100 * float(np.mean(run["right"])), 2) for run in runs]
            print(name, accuracies, flush=True)
    rights = {k: np.array([run["right"] for run in v]) for k, v in found.items()}
    results = {
        "date": datetime.date.today().isoformat(),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}; "
        f"JAX {jax.__version__} on {jax.devices()[0].device_kind}",
        "settings": asdict(SETTINGS) | {"weights": dict(SETTINGS.weights)},
        "steps": steps,
        "goal": f"joint: at most {GOAL} points below alone, in the mean over seeds",
        "compared with alone": {
            name: compared(rights["alone"][: len(rights[name])], rights[name])
            for name in JOINT
        },
        "runs": {
            name: [{k: v for k, v in run.items() if k != "right"} for run in runs]
            for name, runs in found.items()
        },
    }
    reached = results["compared with alone"]["joint"]["difference"] >= -GOAL
    results["reached"] = bool(reached)
    print(json.dumps(results["compared with alone"], indent=1))
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
