"""How well a mask lies on what the class depends on, and keeps and hides it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from pictures import PATTERNS, pictures

import xattr
from xattr import metrics
from xattr.decoder import (
    Trainable,
    Trained,
    collapsed,
    decode,
    evaluated,
    hide,
    keep,
)
from xattr.images import gaussian_blur, mean_color

FRESH = 512
# In the order of the table.
MEASURES = (
    "overlap",
    "mask / area",
    "energy in patch",
    "kept / clean, mean",
    "kept / clean, blur",
    "hidden / clean, mean",
    "hidden / clean, blur",
    "average drop",
    "average gain",
    "accuracy",
    "accuracy alone",
    "collapsed",
)


@jax.jit
def accuracy(network: Trainable, key: PRNGKeyArray) -> Array:
    """Share of fresh pictures that are classified right."""
    images, labels, _ = pictures(key, FRESH)
    return (evaluated(network)(images).argmax(1) == labels).mean()


@jax.jit
def _means(network: Trainable, decoder: Trained, key: Array) -> dict[str, Array]:
    """Means over fresh pictures."""
    model = evaluated(network)
    images, labels, inside = pictures(key, FRESH)
    logits = model(images)
    targets = logits.argmax(1)
    mask = decode(model, images, targets, decoder=decoder)
    sharp = mask[..., 0] > 0.5
    mean, blur = backgrounds(images)
    found = {
        "overlap": (sharp & inside).sum((1, 2)) / (sharp | inside).sum((1, 2)),
        "mask": mask.mean((1, 2, 3)),
        "spread": mask.std((1, 2, 3)),
        "area": inside.mean((1, 2)),
        "energy in patch": metrics.energy_pointing_game(mask, inside),
        "clean": xattr.probability(logits, targets),
        "average drop": metrics.average_drop(
            model, images, mask, targets, baseline=mean
        ),
        "average gain": metrics.average_gain(
            model, images, mask, targets, baseline=mean
        ),
        "accuracy": targets == labels,
    }
    for name, background in (("mean", mean), ("blur", blur)):
        for verb, seen in (("kept", keep), ("hidden", hide)):
            outputs = model(seen(images, mask, background))
            found[f"{verb}, {name}"] = xattr.probability(outputs, targets)
    return {name: values.mean() for name, values in found.items()}


def measured(
    network: Trainable, decoder: Trained, key: PRNGKeyArray
) -> dict[str, float]:
    """The measures of one decoder, but for the accuracy alone."""
    found = {k: float(v) for k, v in _means(network, decoder, key).items()}
    ratios = {"mask / area": found["mask"] / found["area"]}
    for verb in ("kept", "hidden"):
        for name in ("mean", "blur"):
            share = found[f"{verb}, {name}"] / found["clean"]
            ratios[f"{verb} / clean, {name}"] = share
    about = {"mask_mean": found["mask"], "mask_std": found["spread"]}
    return found | ratios | {"collapsed": float(bool(collapsed(about)))}


def backgrounds(
    images: Float[Array, "n h w 3"],
) -> tuple[Float[Array, "n h w 3"], Float[Array, "n h w 3"]]:
    """What is seen where the mask hides the image: its mean colour, or a blur."""
    return mean_color(images), gaussian_blur(images, 11.0)


def examples() -> tuple[Float[Array, "n h w 3"], np.ndarray]:
    """A picture of each pattern, and where its patch is."""
    images, labels, inside = pictures(jax.random.key(12), 64)
    chosen = jnp.stack([jnp.argmax(labels == k) for k in range(len(PATTERNS))])
    return images[chosen], np.asarray(inside[chosen])
