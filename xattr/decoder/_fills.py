"""What is seen where a mask hides the image."""

import difflib
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from xattr._keys import per_image
from xattr.images import black, blurred, mean_color

Batch = Float[Array, "n h w c"]


def _blur(images: Batch, key: PRNGKeyArray) -> Batch:
    return blurred(images, stddev=11.0)


def _noise(images: Batch, key: PRNGKeyArray) -> Batch:
    """A color for each image, with noise."""
    h, w, c = images.shape[1:]

    def one(key: PRNGKeyArray) -> Float[Array, "h w c"]:
        color, grain = jax.random.split(key)
        flat = jax.random.uniform(color, (1, 1, c), images.dtype, 0.335, 0.665)
        return flat + 0.055 * jax.random.normal(grain, (h, w, c), images.dtype)

    return jax.vmap(one)(per_image(key, images.shape[0]))


def _dataset(images: Batch, key: PRNGKeyArray) -> Batch:
    return jnp.roll(images, 1, axis=0)


_BY_NAME: dict[str, Callable[[Batch, PRNGKeyArray], Batch]] = {
    "mean": lambda images, key: mean_color(images),
    "black": lambda images, key: black(images),
    "blur": _blur,
    "noise": _noise,
    "dataset": _dataset,
}
FILLS: tuple[str, ...] = tuple(_BY_NAME)


def fill(
    images: Float[Array, "n h w c"], key: PRNGKeyArray, kinds: tuple[str, ...]
) -> Float[Array, "n h w c"]:
    """What takes the place of the hidden part, of a kind drawn for the whole batch.

    - `mean`: the image's mean color.
    - `black`: zeros, what maps that are multiplied with the image leave.
    - `blur`: the image, blurred by a Gaussian of 11 pixels.
    - `noise`: a color drawn for each image, each channel in [0.335, 0.665), with
      normal noise of 0.055 on every value.
    - `dataset`: another image of the batch, the one before it.

    Args:
      images: RGB in [0, 1].
      key: one typed key; the same key gives the same fill.
      kinds: which of `FILLS` to draw from, all equally often.

    Returns:
      The fills, which no gradient goes through.

    Raises:
      TypeError: if `key` is not a typed key.
      ValueError: if `kinds` is empty or names an unknown one, or another image is
        asked for in a batch of one.

    Example:
      >>> images = jnp.array([[[[0.25], [0.75]]]])
      >>> fill(images, jax.random.key(0), ("mean",)).ravel()
      Array([0.5, 0.5], dtype=float32)

    References:
      [dabkowski2017real], the blur and the noise.

    Notes:
      The released code draws between the two for each image, in [-1, 1], where color
      and noise are twice as wide; its kernel ends at 27 pixels, and the images too
      get noise of 0.03. Blurring is the dearest of them, so that one kind for the
      batch costs less.
    """
    check_kinds("kinds", kinds)
    if "dataset" in kinds and len(images) < 2:
        raise ValueError(
            f"`kinds` asks for another image of the batch, but `images` has "
            f"{len(images)}. Give at least two, or leave 'dataset' out: "
            f"`kinds=('mean',)`."
        )
    which, key = jax.random.split(key)
    kind = jax.random.randint(which, (), 0, len(kinds))
    branches = [_BY_NAME[name] for name in kinds]
    return jax.lax.switch(kind, branches, jax.lax.stop_gradient(images), key)


def keep(
    images: Float[Array, "n h w c"],
    mask: Float[Array, "n h w 1"],
    fills: Float[Array, "n h w c"],
) -> Float[Array, "n h w c"]:
    """The images where the mask is 1, the fills where it is 0: $m x + (1 - m) b$.

    Example:
      >>> x, m, b = (jnp.array([[[[v]]]]) for v in (1.0, 0.25, 0.5))
      >>> keep(x, m, b).ravel()
      Array([0.625], dtype=float32)
    """
    return mask * images + (1 - mask) * fills


def hide(
    images: Float[Array, "n h w c"],
    mask: Float[Array, "n h w 1"],
    fills: Float[Array, "n h w c"],
) -> Float[Array, "n h w c"]:
    """The fills where the mask is 1, the images where it is 0: $(1 - m) x + m b$.

    Example:
      >>> x, m, b = (jnp.array([[[[v]]]]) for v in (1.0, 0.25, 0.5))
      >>> hide(x, m, b).ravel()
      Array([0.875], dtype=float32)
    """
    return keep(fills, mask, images)


def check_kinds(argument: str, kinds: tuple[str, ...]) -> None:
    """Refuse none at all, and unknown ones."""
    if not kinds:
        raise ValueError(
            f"`{argument}` is empty; give at least one of {', '.join(FILLS)}: "
            f"`{argument}=('mean',)`."
        )
    for name in kinds:
        if name not in _BY_NAME:
            nearest = difflib.get_close_matches(name, FILLS, n=1, cutoff=0.0)
            raise ValueError(
                f"`{argument}` names {name!r}, which is none of {', '.join(FILLS)}. "
                f"Nearest: `{argument}=({nearest[0]!r},)`."
            )
