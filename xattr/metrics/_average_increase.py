"""Average increase: whether the score rises behind the map."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._scores import probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._masked import Sign, clean_and_seen, masked, unit_masks
from xattr.paths._baselines import Baseline


@compiled
def average_increase(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    mute: float = 0.0,
    sign: Sign = "signed",
    baseline: Baseline = 0.0,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""Whether the score is higher where only what the map shows is seen.

    With $p$ the score of the image and $o$ that of what its map leaves of it,
    $o = f(m \odot x + (1 - m) \odot b)$, where $m$ is the map moved and scaled to
    [0, 1]:

    $$ \mathrm{AI} = [\, o > p \,] $$

    Args:
      model: function from a batch of images to outputs; it need not be differentiable.
      images: images that are explained, `n h w c`, in the units that the model takes.
      maps: one number per pixel, `n h w` or `n h w 1`; the larger, the more evidence.
      targets: what `score` selects; when None, the classes predicted on the images.
      mute: share of the pixels that is hidden in full, those of the smallest values;
        0.5 is the protocol of Score-CAM.
      sign: what is scaled: all of the map, whose most negative value then hides in
        full, or what is `positive`, as CAMs are made, so that 0 does.
      baseline: $b$, what stands where the map hides the image, in the units of the
        images: a number, a color, or images that broadcast to `images`.
      score: scalar that is watched; the published one is a probability.
      chunk_size: pairs of images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all metrics share one signature.

    Returns:
      1 or 0 for each image; larger is better. The mean over images is the published
      number, also known as the increase in confidence, mostly printed in percent. Not a
      number where the map holds one that is none.

    Raises:
      ValueError: if `mute` is not in [0, 1), `sign` is neither of the two, the maps are
        not one number for each pixel of the images, or the baseline does not
        broadcast to them.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[-3.0], [1.0]]]])
      >>> maps = jnp.array([[[0.0, 7.0]]])
      >>> average_increase(model, x, maps, score=xattr.logit)
      Array([1.], dtype=float32)

    References:
      [chattopadhay2018grad]; [wang2020score].

    Notes:
      As for `average_drop`. How much the score rises is not counted: see
      `average_gain`.
    """
    del key
    masks = unit_masks(maps, images, mute, sign)
    seen = masked(images, masks, baseline)
    clean, left = clean_and_seen(model, images, seen, targets, score, chunk_size)
    # A comparison with what is no number is false, and would pass for an answer.
    risen = (left > clean).astype(clean.dtype)
    return jnp.where(jnp.isnan(left) | jnp.isnan(clean), jnp.nan, risen)
