"""Patches of a site: what their features are, and where linear detectors fire."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from xattr.graph._graph import Features
from xattr.graph._linear_svm import Hyperplane

# Of the authors' code: the score above which a detector fires.
FIRES = -1.0


class Firings(NamedTuple):
    """Highest score of each detector in each image, where, and how often it fires."""

    scores: Float[Array, "i v"]
    cells: Int[Array, "i v"]
    rate: Float[Array, " v"]


@functools.partial(jax.jit, static_argnames="size")
def fire(
    planes: Hyperplane, features: Features, images: Int[Array, " i"], size: int
) -> Firings:
    """Ask detectors about all patches of some images."""

    def of_image(image: Int[Array, ""]):
        patches = descriptors(features.levels[image], features.step, size)
        found = jnp.matmul(patches, planes.weights.T) + planes.bias[None]
        rate = (found > FIRES).mean(0, dtype=found.dtype)
        return found.max(0), found.argmax(0), rate

    scores, cells, rates = jax.lax.map(of_image, images)
    return Firings(scores, cells, rates.mean(0))


def descriptors(
    levels: Array, step: Float[Array, " d"], size: int
) -> Float[Array, "p e"]:
    """All patches of an image, row by row, each of length 1."""
    cells = levels * jnp.broadcast_to(step, levels.shape)
    height, width = (side - size + 1 for side in levels.shape[:2])
    shifted = [
        cells[i : i + height, j : j + width] for i in range(size) for j in range(size)
    ]
    patches = jnp.concatenate(shifted, axis=-1).reshape(height * width, -1)
    length = jnp.linalg.norm(patches, axis=1, keepdims=True)
    return patches / jnp.where(length > 0, length, 1)


@functools.partial(jax.jit, static_argnames="size")
def patches_at(
    features: Features, images: Int[Array, "*r"], cells: Int[Array, "*r"], size: int
) -> Float[Array, "*r e"]:
    """Some patches."""
    _, _, w, d = features.levels.shape

    def one(image: Int[Array, ""], cell: Int[Array, ""]) -> Float[Array, " e"]:
        row, column = jnp.divmod(cell, w - size + 1)
        start = image, row, column, jnp.zeros_like(row)
        patch = jax.lax.dynamic_slice(features.levels, start, (1, size, size, d))[0]
        return descriptors(patch, features.step, size)[0]

    found = jax.vmap(one)(images.reshape(-1), cells.reshape(-1))
    return found.reshape(*images.shape, -1)


def draw_patches(
    features: Features,
    images: Int[Array, " i"],
    num: int,
    name: str,
    size: int,
    key: PRNGKeyArray,
) -> Float[Array, "n e"]:
    """Patches of some images at random, none of them twice."""
    _, h, w, _ = features.levels.shape
    each = (h - size + 1) * (w - size + 1)
    if num > len(images) * each:
        raise ValueError(
            f"`{name}`={num}, but half of the images, {len(images)}, have "
            f"{len(images) * each} patches: `{name}={len(images) * each}`."
        )
    drawn = jax.random.choice(key, len(images) * each, (num,), replace=False)
    image, cell = jnp.divmod(drawn, each)
    return patches_at(features, images[image], cell, size)


def check_size(features: Features, size: int) -> None:
    """Refuse patches that are larger than the site."""
    if size > min(features.levels.shape[1:3]):
        raise ValueError(
            f"patches have `size`={size}, but the site has only "
            f"{' x '.join(map(str, features.levels.shape[1:3]))} cells: "
            f"`size={min(features.levels.shape[1:3])}`."
        )
