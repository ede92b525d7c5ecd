"""Average gain: how much of what the score lacks is won behind the map."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._scores import probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._masked import Sign, clean_and_seen, masked, unit_masks
from xattr.paths._baselines import Baseline


@compiled
def average_gain(
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
    r"""Share of the doubt that is gone where only what the map shows is seen.

    With $p$ the score of the image and $o$ that of what its map leaves of it,
    $o = f(m \odot x + (1 - m) \odot b)$, where $m$ is the map moved and scaled to
    [0, 1]:

    $$ \mathrm{AG} = \frac{\max(0, o - p)}{1 - p} $$

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
      One number per image, in [0, 1]; larger is better. The mean over images is the
      published number, mostly printed in percent. 0 where $p$ is 1; not a number where
      the map holds one that is none.

    Raises:
      ValueError: if `mute` is not in [0, 1), `sign` is neither of the two, the maps are
        not one number for each pixel of the images, or the baseline does not
        broadcast to them.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[-0.5], [0.75]]]])
      >>> maps = jnp.array([[[0.0, 7.0]]])
      >>> average_gain(model, x, maps, score=xattr.logit)
      Array([0.6666667], dtype=float32)

    References:
      [zhang2024opti].

    Notes:
      Needs a score of at most 1, such as a probability. A map of ones but for one
      pixel, which `average_drop` and `average_increase` take for a good one, gains next
      to nothing. Masks as for `average_drop`.
    """
    del key
    masks = unit_masks(maps, images, mute, sign)
    seen = masked(images, masks, baseline)
    clean, left = clean_and_seen(model, images, seen, targets, score, chunk_size)
    won, lacked = jnp.maximum(left - clean, 0), 1 - clean
    return jnp.where(lacked == 0, 0, won / jnp.where(lacked == 0, 1, lacked))
