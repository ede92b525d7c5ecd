"""Pictures of marks, one per attribute, of which one keeps company with a cue."""

import io
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from PIL import Image

SIZE = 32
# Nine cells of 10 x 10 pixels; an attribute's own region is one of them.
CELL, MARGIN, ROWS = 10, 1, 3
CELLS = ROWS**2
# The last column of the labels is the cue's.
ATTRIBUTES = 6
CUE = ATTRIBUTES
OUTPUTS = ATTRIBUTES + 1
# The attributes' marks are faint, so that a network gains by the cue, which is not.
FAINT, CLEAR = (0.1, 0.45), (0.6, 0.9)
MARKS = [
    "..####.. .######. ######## ######## ######## ######## .######. ..####..",
    "######## ######## ##....## ##....## ##....## ##....## ######## ########",
    "...##... ...##... ...##... ######## ######## ...##... ...##... ...##...",
    "##....## ###..### .######. ..####.. ..####.. .######. ###..### ##....##",
    "...##... ...##... ..####.. ..####.. .######. .######. ######## ########",
    "######## ######## ........ ######## ######## ........ ######## ########",
    "##..##.. ##..##.. ..##..## ..##..## ##..##.. ##..##.. ..##..## ..##..##",
]


def marks() -> Float[np.ndarray, "o 8 8"]:
    """The mark of each attribute, and last that of the cue."""
    return np.array(
        [[[pixel == "#" for pixel in row] for row in mark.split()] for mark in MARKS],
        np.float32,
    )


def regions() -> Float[np.ndarray, "m h w"]:
    """The cells, each a mask over the picture."""
    found = np.zeros((CELLS, SIZE, SIZE), np.float32)
    for cell in range(CELLS):
        top, left = (MARGIN + CELL * step for step in divmod(cell, ROWS))
        found[cell, top : top + CELL, left : left + CELL] = 1
    return found


def noise(seed: int, count: int) -> Float[np.ndarray, "b h w 3"]:
    """Backgrounds of colored noise, coarse and fine."""
    random = np.random.default_rng(seed)
    parts = []
    for step in (1, 4, 8):
        coarse = random.normal(size=(count, SIZE // step, SIZE // step, 3))
        parts.append(coarse.repeat(step, axis=1).repeat(step, axis=2))
    return np.clip(0.5 + 0.1 * sum(parts), 0, 1).astype(np.float32)


def photographs(data: Path, crops: int = 4) -> Float[np.ndarray, "b h w 3"]:
    """Backgrounds cut from photographs; those of one photograph follow one another."""
    random = np.random.default_rng(0)
    found = []
    with tarfile.open(data / "imagenet_sample" / "images.tar") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None or not member.name.lower().endswith((".jpg", ".jpeg")):
                continue
            image = Image.open(io.BytesIO(file.read())).convert("RGB")
            scale = 3 * SIZE / min(image.size)
            image = image.resize([round(side * scale) for side in image.size])
            pixels = np.asarray(image, np.float32) / 255
            for _ in range(crops):
                top, left = (
                    int(random.integers(side - SIZE + 1)) for side in pixels.shape[:2]
                )
                found.append(pixels[top : top + SIZE, left : left + SIZE])
    return np.stack(found)


def labels(
    key: Array, count: int, *, biased: Int[Array, ""], correlation: float
) -> Int[Array, "n o"]:
    """Random labels; the cue's correlate with those of the biased attribute."""
    own, agree = jax.random.split(key)
    found = jax.random.bernoulli(own, 0.5, (count, OUTPUTS))
    same = jax.random.bernoulli(agree, (1 + correlation) / 2, (count,))
    cue = jnp.where(same, found[:, biased], ~found[:, biased])
    return found.at[:, CUE].set(cue).astype(jnp.int32)


def compose(
    key: Array,
    backgrounds: Float[Array, "b h w 3"],
    places: Int[Array, " o"],
    labels: Int[Array, "n o"],
) -> Float[Array, "n h w 3"]:
    """Pictures in [-0.5, 0.5] that show the marks of their labels.

    Args:
      key: decides on background, strength and shift. With the same key, other labels
        change the marks alone.
      backgrounds: in [0, 1].
      places: the cell of each attribute and of the cue.
      labels: 1 where the mark is shown.
    """
    ground, strength, shift = jax.random.split(key, 3)
    chosen = jax.random.randint(ground, (len(labels),), 0, len(backgrounds))
    low, high = (
        jnp.array([[faint] * ATTRIBUTES + [clear]])
        for faint, clear in zip(FAINT, CLEAR, strict=True)
    )
    strengths = jax.random.uniform(strength, labels.shape, minval=low, maxval=high)
    shifts = jax.random.randint(shift, (*labels.shape, 2), 0, 3)
    corners = MARGIN + CELL * jnp.stack(jnp.divmod(places, ROWS), axis=-1)[None]
    shown = marks()

    def place(mark: Array, corner: Array) -> Array:
        empty = jnp.zeros((SIZE, SIZE))
        return jax.lax.dynamic_update_slice(empty, mark, (corner[0], corner[1]))

    canvas = jax.vmap(jax.vmap(place), (None, 0))(jnp.asarray(shown), corners + shifts)
    cover = ((labels * strengths)[:, :, None, None] * canvas).sum(axis=1)[..., None]
    return (1 - cover) * (backgrounds[chosen] - 0.5) + cover * 0.5
