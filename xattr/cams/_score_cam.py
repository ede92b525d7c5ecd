"""Score-CAM: channels weighted by the score of the image seen through them."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import PyTree

from xattr._compile import compiled
from xattr._scores import logit, probability
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._masked_scores import (
    Channels,
    MaskedScores,
    masked_scores,
    softmax_over_channels,
)
from xattr.cams._site_gradient import Map, finish, weighted
from xattr.images import Resize
from xattr.paths._baselines import Baseline


class _Variant(NamedTuple):
    score: Score
    resize: Resize
    weights: Callable[[MaskedScores], Channels]


def _of_varying_channels(found: MaskedScores) -> Channels:
    a = found.activations
    constant = a.max(axis=(1, 2)) == a.min(axis=(1, 2))
    return jnp.where(constant, 0, found.scores)


_VARIANTS = {
    "paper": _Variant(probability, "bilinear", softmax_over_channels),
    "authors": _Variant(probability, "bilinear", _of_varying_channels),
    "pytorch-grad-cam": _Variant(logit, "align_corners", softmax_over_channels),
}


@compiled
def score_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    variant: str = "paper",
    num_channels: int | None = None,
    baseline: Baseline = 0.0,
    resize: Resize | None = None,
    relu: bool = True,
    axes: str | None = None,
    score: Score | None = None,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""Which cells speak for the target, by what the model sees through each channel.

    With $A^d$ the site's channels and $m_d$ the same enlarged to the image, then moved
    and scaled to [0, 1], the image is masked by each of them in turn:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d w_d A^d_{ij}\Big), \qquad
       s_d = f\big(m_d \odot x + (1 - m_d) \odot b\big) $$

    The published weights differ, and so do the maps:

    - `paper`: $w = \mathrm{softmax}_d(s)$ with $f$ the probability.
    - `authors`: the authors' code, $w = s$ with $f$ the probability, and 0 where a
      channel is constant.
    - `pytorch-grad-cam`: $w = \mathrm{softmax}_d(s)$ with $f$ the logit, and the corner
      cells' centers enlarged onto the corner pixels.

    Among many channels the softmax of probabilities is nearly uniform, that of logits
    often nearly one channel alone. No gradient is needed.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, `n h w c`, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      site: exact name or module path of the activation: usually the last one that has
        a spatial grid. Each of its channels costs one evaluation per image.
      variant: whose weights: `paper`, `authors` or `pytorch-grad-cam`.
      num_channels: at most how many channels are used, those that vary most over the
        cells of the image; all when None. The others are left out of the sums.
      baseline: $b$, what stands where a mask hides the image, in the units of the
        images: a number, a color, or images that broadcast to `images`.
      resize: how channels are enlarged, `bilinear`, `align_corners` or `nearest` (see
        `xattr.images.resize`); the variant's own when None.
      relu: keep only evidence for the target, as published; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained; the variant's own when None.
      chunk_size: masked images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of its activations.

    Raises:
      TypeError: if `num_channels` is no whole number.
      ValueError: if `variant` is not one of the above, `num_channels` < 1, the images
        are not `n h w c`, the baseline does not broadcast to them, the site is unknown,
        ambiguous or inside a loop, or its axes can't be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x = jnp.array([[[[0.0, 3.0], [1.0, 3.0]]]])
      >>> options = dict(site="relu:0", axes="nhwc", variant="authors")
      >>> score_cam(model, x, jnp.array([1]), **options, score=logit)
      Array([[[0., 3.]]], dtype=float32)

    References:
      [wang2020score], algorithm 1; [gildenblat2021pytorch]; [tabayashi2020faster], for
      `num_channels`.

    Notes:
      The paper takes the score of the baseline away before the softmax, which a softmax
      does not see: that evaluation is left out.

      The paper and both codes mask normalized images, where 0 is the mean color of the
      training data: for a model that takes RGB, `baseline=` that color is the same.

      Channels that are constant have no mask in the formula; theirs is 0 here, and in
      pytorch-grad-cam, so that they stand for the baseline. The authors' code enlarges
      the channels before it adds them: with `relu=False`, enlarging the map, then
      `jax.nn.relu`, is the same. pytorch-grad-cam adds 1e-8 to the range of a channel.
    """
    del key
    if variant not in _VARIANTS:
        known = ", ".join(repr(name) for name in _VARIANTS)
        raise ValueError(
            f"`variant`={variant!r} is none of the published ones: {known}. "
            f"`variant='paper'` is the default."
        )
    own = _VARIANTS[variant]
    found = masked_scores(
        model,
        images,
        targets,
        site=site,
        axes=axes,
        baseline=baseline,
        resize=own.resize if resize is None else resize,
        score=own.score if score is None else score,
        num_channels=num_channels,
        chunk_size=chunk_size,
    )
    return finish(weighted(found.activations, own.weights(found)), relu, images)
