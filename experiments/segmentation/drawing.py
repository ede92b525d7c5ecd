"""Seg-Grad-CAM of a pixel, a region and a class, beside the prediction.

And HiResCAM of the region: it weighs each cell by its own gradient, where Seg-Grad-CAM
weighs a channel alike everywhere, so that it shows other objects of the class as well.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import xattr
from xattr import models, render

# Frames of the test split, and a pixel of each: a car, pavement, traffic lights.
POINTED = {
    "Seq05VD_f04140": (220, 105),
    "Seq05VD_f00540": (290, 80),
    "Seq05VD_f02340": (65, 145),
}
KINDS = ("pixel", "region", "class")
LOCAL = "region, by HiResCAM"


@partial(jax.jit, static_argnames="site")
def explained(model, images, pixels, *, site: str) -> tuple:
    """The prediction, and a region and a map for each kind of target."""
    outputs = model(images)
    of_region = xattr.region_target(outputs, pixels)
    targets = {
        "pixel": xattr.pixel_target(outputs, pixels),
        "region": of_region,
        "class": xattr.class_target(outputs, of_region[0]),
    }
    maps = {
        name: xattr.grad_cam(model, images, target, site=site, score=xattr.segment)
        for name, target in targets.items()
    }
    maps[LOCAL] = xattr.hires_cam(
        model, images, of_region, site=site, score=xattr.segment
    )
    regions = {name: region for name, (_, region) in targets.items()}
    regions[LOCAL] = of_region[1]
    return outputs.argmax(axis=3), of_region[0], regions, maps


def draw(
    pretrained: models.Pretrained, frames: Iterable[tuple], path: Path
) -> dict[str, dict[str, float]]:
    """Write the picture; return how much of each map lies in what it explains."""
    chosen = {name: image for name, image, _ in frames if name in POINTED}
    figure, axes = plt.subplots(len(POINTED), 6, figsize=(19, 8.2))
    shares = {}
    for row, (name, pixel) in zip(axes, POINTED.items(), strict=True):
        images = jnp.asarray(pretrained.preprocess(chosen[name]))[None]
        predicted, classes, regions, maps = explained(
            pretrained.model, images, jnp.array([pixel]), site=pretrained.site
        )
        title = pretrained.classes[int(classes[0])]
        _photograph(row[0], chosen[name], f"{name}: {title}", pixel)
        row[1].imshow(predicted[0], cmap="tab20", vmin=0, vmax=19)
        row[1].set_title("prediction")
        for axis, kind in zip(row[2:], (*KINDS, LOCAL), strict=True):
            picture = render.overlay(
                chosen[name], np.asarray(maps[kind][0]), signed=False
            )
            _photograph(axis, picture, f"this {kind}", pixel)
            if kind != "pixel":
                axis.contour(regions[kind][0], [0.5], colors="cyan", linewidths=0.7)
        shares[name] = {
            kind: _inside(maps[kind], regions[kind])
            for kind in ("region", "class", LOCAL)
        }
    for axis in axes.ravel():
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)
    return shares


def _photograph(axis, picture: np.ndarray, title: str, pixel: tuple[int, int]) -> None:
    axis.imshow(picture)
    axis.set_title(title)
    axis.plot(pixel[1], pixel[0], "+", color="cyan", markersize=11)


def _inside(maps, regions) -> float:
    """Share of a map that lies in a region."""
    enlarged = xattr.images.resize(maps, regions.shape[1:])
    return round(float((enlarged * regions).sum() / enlarged.sum()), 3)
