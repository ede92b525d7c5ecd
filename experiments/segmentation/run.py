"""How well ESPNet segments CamVid's test frames, and what it says of its reasons.

    python experiments/segmentation/run.py --data ../data

A minute on two busy cores of an AMD EPYC. Expected: a mean intersection over union of
57.05 % and 85.74 % of the pixels right, each within half a point; exit code 1
otherwise. `explanations.png` shows three of the frames, see README.md.
"""

import argparse
import datetime
import io
import json
import os
import platform
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from drawing import draw
from PIL import Image

from xattr import models

TOLERANCE = 0.005
HERE = Path(__file__).parent


def frames(data: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Names, photographs and labels of the test frames."""
    with tarfile.open(data / "camvid" / "test.tar") as archive:

        def read(name: str) -> Image.Image:
            file = archive.extractfile(name)
            assert file is not None
            return Image.open(io.BytesIO(file.read()))

        for name in archive.getnames():
            if name.startswith("images/"):
                label = name.replace("images/", "labels/").replace(".jpg", ".png")
                image = np.asarray(read(name).convert("RGB"))
                yield Path(name).stem, image, np.asarray(read(label))


def confusion(pretrained: models.Pretrained, data: Path) -> np.ndarray:
    """Pixels by label and prediction."""
    predict = jax.jit(lambda model, images: model(images).argmax(axis=3))
    count = len(pretrained.classes)
    found = np.zeros((count, count), np.int64)
    for _, image, label in frames(data):
        images = jnp.asarray(pretrained.preprocess(image))[None]
        predicted = np.asarray(predict(pretrained.model, images))[0]
        pairs = count * label.astype(np.int64) + predicted
        found += np.bincount(pairs.ravel(), minlength=count**2).reshape(count, count)
    return found


def measured(counts: np.ndarray, ignored: int) -> dict:
    """Intersection over union of each class, their mean, and the share of right pixels.

    Pixels whose label is `ignored` count nowhere.
    """
    counts = np.where(np.arange(len(counts))[:, None] == ignored, 0, counts)
    right = np.diag(counts)
    overlap = right / np.maximum(counts.sum(axis=0) + counts.sum(axis=1) - right, 1)
    kept = np.delete(overlap, ignored)
    return {
        "pixel_accuracy": round(float(right.sum() / counts.sum()), 4),
        "mIoU": round(float(kept.mean()), 4),
        "IoU": [round(float(value), 3) for value in kept],
    }


def main() -> int:
    """Measure, print a table, write the results beside this file, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--draw-only", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    weights = arguments.data / "weights" / "espnet_camvid.safetensors"
    pretrained = models.load("espnet_camvid", weights=weights)
    picture = arguments.out / "explanations.png"
    inside = draw(pretrained, frames(arguments.data), picture)
    if arguments.draw_only:
        return 0
    notes = json.loads((arguments.data / "camvid" / "camvid.json").read_text())
    stated = json.loads(weights.with_suffix(".json").read_text())["verified"]
    stated = stated["camvid test 233"]
    counts = confusion(pretrained, arguments.data)
    found = measured(counts, notes["ignore_index"])
    for name, here, there in zip(
        pretrained.classes, found["IoU"], stated["IoU"], strict=False
    ):
        print(f"{name:16} {here:7.3f} {there:7.3f}")
    keys = ("mIoU", "pixel_accuracy")
    for key in keys:
        print(f"{key:16} {found[key]:7.4f} {stated[key]:7.4f}")
    within = all(abs(found[key] - stated[key]) <= TOLERANCE for key in keys)
    results = {
        "date": datetime.date.today().isoformat(),
        "hardware": f"{os.cpu_count()} CPU cores, {platform.machine()}; "
        f"JAX {jax.__version__} on {jax.devices()[0].device_kind}",
        "frames": 233,
        "tolerance": TOLERANCE,
        "found": found,
        "stated": stated,
        "within": within,
        "share_of_map_inside": inside,
    }
    path = arguments.out / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
