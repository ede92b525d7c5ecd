"""Does a trained mask lie on what the class depends on?

    python experiments/planted_patch/run.py

A small network learns to tell the patterns of patches planted into noise; a decoder
learns to mask its images. On fresh images the masks are compared with the patches.
Minutes on two CPU cores. Exit code 1 where a goal is missed.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jaxtyping import Array
from network import SITES
from network import trained as train_network
from pictures import PATTERNS, SIZE, pictures

import xattr
from xattr.decoder import (
    Batch,
    Settings,
    Trained,
    architecture,
    decode,
    init,
    keep,
    step,
    trained,
)

HERE = Path(__file__).parent
# Accuracy of the network; overlap of the mask above 0.5 with the patch; mean of the
# mask against the patch's area; probability of the class from what is kept, against
# that from the whole image.
GOALS = {"accuracy": 0.97, "overlap": 0.6, "mask / area": 2.0, "kept / clean": 0.9}
AT_MOST = ("mask / area",)
NETWORK_STEPS, FRESH = 500, 512
SETTINGS = Settings(
    weights={
        "cross_entropy": 1.0,
        "divergence": 0.5,
        "hidden_entropy": 1.0,
        "area": 2.0,
        "total_variation": 0.05,
        "binary": 0.02,
    },
    num_steps=600,
    batch_size=32,
    learning_rate=5e-3,
    average=0.99,
)


def decoded(model: xattr.Model, settings: Settings) -> tuple[Trained, dict[str, float]]:
    """A decoder of the network, trained on pictures drawn anew, and its last report."""
    images = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), "float32")
    chosen = architecture(model, images, SITES, channels=(32, 16))

    @partial(jax.jit, donate_argnums=1)
    def one(model, state, key):
        images, labels, _ = pictures(key, settings.batch_size)
        batch = Batch(images, labels)
        return step(model, state, batch, architecture=chosen, settings=settings)

    state, report = init(model, chosen, settings), {}
    keys = jax.random.split(jax.random.key(1 + settings.seed), settings.num_steps)
    for number, key in enumerate(keys, start=1):
        state, report = one(model, state, key)
        if number % 100 == 0:
            kept = {name: round(float(value), 3) for name, value in report.items()}
            print(number, kept, flush=True)
    return trained(state, chosen, settings), jax.tree.map(float, report)


@jax.jit
def measured(model: xattr.Model, decoder: Trained, key: Array) -> dict[str, Array]:
    """What the goals are about, image by image."""
    images, labels, inside = pictures(key, FRESH)
    logits = model(images)
    targets = logits.argmax(1)
    mask = decode(model, images, targets, decoder=decoder)
    sharp = mask[..., 0] > 0.5
    found = {
        "accuracy": targets == labels,
        "overlap": (sharp & inside).sum((1, 2)) / (sharp | inside).sum((1, 2)),
        "mean mask": mask.mean((1, 2, 3)),
        "patch": inside.mean((1, 2)),
        "clean": xattr.probability(logits, targets),
    }
    for name, background in backgrounds(images).items():
        kept = xattr.probability(model(keep(images, mask, background)), targets)
        found[f"kept, {name}"] = kept
    even = jnp.full_like(mask, inside.mean())
    found["kept, blur, even mask of the same area"] = xattr.probability(
        model(keep(images, even, backgrounds(images)["blur"])), targets
    )
    return found


def backgrounds(images: Array) -> dict[str, Array]:
    """What is seen where the mask hides the image."""
    mean = images.mean((1, 2), keepdims=True)
    return {
        "mean": jnp.broadcast_to(mean, images.shape),
        "blur": xattr.images.gaussian_blur(images, 11.0),
    }


def summary(found: dict[str, Array]) -> dict[str, float]:
    """Means over images, and the ratios of them that the goals are about."""
    means = {name: float(values.mean()) for name, values in found.items()}
    worst = min(means["kept, mean"], means["kept, blur"])
    return {
        **means,
        "mask / area": means["mean mask"] / means["patch"],
        "kept / clean": worst / means["clean"],
    }


def draw(model: xattr.Model, decoder: Trained, out: Path) -> None:
    """An image of each pattern, its mask, and what the mask keeps."""
    images, labels, inside = pictures(jax.random.key(12), 64)
    chosen = jnp.stack([jnp.argmax(labels == k) for k in range(len(PATTERNS))])
    images, inside = images[chosen], inside[chosen]
    mask = decode(model, images, decoder=decoder)
    kept = keep(images, mask, backgrounds(images)["mean"])
    figure, axes = plt.subplots(3, len(PATTERNS), figsize=(9, 4.8))
    for column, name in enumerate(PATTERNS):
        axes[0, column].set_title(name)
        axes[0, column].imshow(images[column])
        axes[1, column].imshow(mask[column], cmap="gray", vmin=0, vmax=1)
        axes[1, column].contour(inside[column], [0.5], colors="tab:green")
        axes[2, column].imshow(kept[column])
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    for ax, text in zip(axes[:, 0], ("image", "mask", "kept"), strict=True):
        ax.set_ylabel(text)
    figure.tight_layout()
    figure.savefig(out / "masks.png", dpi=100)
    plt.close(figure)


def main() -> int:
    """Train both, measure, draw, and write the results beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--network-steps", type=int, default=NETWORK_STEPS)
    parser.add_argument("--steps", type=int, default=SETTINGS.num_steps)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter(), time.process_time()
    rows = []
    for seed in range(arguments.seeds):
        model = train_network(jax.random.key(seed), steps=arguments.network_steps)
        settings = Settings(
            **{**vars(SETTINGS), "seed": seed, "num_steps": arguments.steps}
        )
        decoder, report = decoded(model, settings)
        row = summary(measured(model, decoder, jax.random.key(1000 + seed)))
        rows.append({"found": row, "last batch": report})
        print(seed, {name: round(value, 3) for name, value in row.items()}, flush=True)
        if seed == 0:
            draw(model, decoder, arguments.out)
    reached = {
        name: all(
            row["found"][name] <= goal
            if name in AT_MOST
            else row["found"][name] >= goal
            for row in rows
        )
        for name, goal in GOALS.items()
    }
    results = {
        "date": datetime.date.today().isoformat(),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}; "
        f"JAX {jax.__version__} on {jax.devices()[0].device_kind}",
        "seconds": round(time.perf_counter() - started[0]),
        "CPU seconds": round(time.process_time() - started[1]),
        "weights": dict(SETTINGS.weights),
        "steps": [arguments.network_steps, arguments.steps],
        "goals": GOALS,
        "reached by every seed": reached,
        "seeds": rows,
    }
    path = arguments.out / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(reached.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
