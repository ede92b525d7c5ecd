"""Average drop: how much of the score is lost behind the map."""

import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._scores import probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.metrics._masked import (
    Sign,
    clean_and_seen,
    masked,
    share_lost,
    unit_masks,
)
from xattr.paths._baselines import Baseline


@compiled
def average_drop(
    model: Predictor,
    images: Images,
    maps: Float[Array, "n *shape"],
    targets: PyTree = None,
    *,
    mute: float = 0.0,
    sign: Sign = "signed",
    baseline: Baseline = 0.0,
    relative: bool = True,
    score: Score = probability,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Float[Array, " n"]:
    r"""Share of the score that is lost where only what the map shows is seen.

    With $p$ the score of the image and $o$ that of what its map leaves of it,
    $o = f(m \odot x + (1 - m) \odot b)$, where $m$ is the map moved and scaled to
    [0, 1]:

    $$ \mathrm{AD} = \frac{\max(0, p - o)}{p} $$

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
      relative: whether the drop is a share of $p$, as published; False for the drop
        itself.
      score: scalar that is watched; the published one is a probability.
      chunk_size: pairs of images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all metrics share one signature.

    Returns:
      One number per image, in [0, 1] for a probability; smaller is better. The mean
      over images is the published number, which is mostly printed in percent. 0 where
      $p$ is 0; not a number where the map holds one that is none.

    Raises:
      ValueError: if `mute` is not in [0, 1), `sign` is neither of the two, the maps are
        not one number for each pixel of the images, or the baseline does not
        broadcast to them.

    Example:
      >>> import jax.numpy as jnp, xattr
      >>> model = lambda x: x.sum((1, 2, 3))[:, None]
      >>> x = jnp.array([[[[3.0], [1.0]]]])
      >>> maps = jnp.array([[[0.0, 7.0]]])
      >>> average_drop(model, x, maps, score=xattr.logit)
      Array([0.75], dtype=float32)

    References:
      [chattopadhay2018grad]; [wang2020score].

    Notes:
      pytorch-grad-cam's `DropInConfidence` does not divide by $p$: `relative=False`.
      torch-cam adds 1e-7 to $p$. Both take maps as they come, which their methods
      scale to [0, 1]; here they are scaled inside, so that any map can be compared. A
      constant map, which has no largest value, hides all of the image.

      All of them mask normalized images, where 0 is the mean color of the training
      data: for a model that takes RGB, `baseline=` that color is the same.

      A map of ones but for one pixel loses nearly nothing: see `average_gain`. So
      does a signed map whose values scatter about 0, half hidden everywhere, against
      which `sign="positive"` helps.
    """
    del key
    masks = unit_masks(maps, images, mute, sign)
    seen = masked(images, masks, baseline)
    clean, left = clean_and_seen(model, images, seen, targets, score, chunk_size)
    return share_lost(clean, left) if relative else jnp.maximum(clean - left, 0)
