"""SS-CAM: Score-CAM with scores averaged over noisy masks."""

import jax
from jaxtyping import PyTree

from xattr._checks import check_count, check_not_negative
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import fold
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._masked_scores import masked_scores, softmax_over_channels
from xattr.cams._site_gradient import Map, finish, weighted
from xattr.images import Resize
from xattr.paths._baselines import Baseline


@compiled
def ss_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    num_samples: int = 35,
    stddev: float = 2.0,
    num_channels: int | None = None,
    baseline: Baseline = 0.0,
    resize: Resize = "bilinear",
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""Which cells speak for the target, by noisy views through each channel.

    With $A^d$ the site's channels, $m_d$ the same enlarged to the image, then moved and
    scaled to [0, 1], and $\varepsilon$ noise of spread $\sigma$ = `stddev`, one draw
    per pixel, channel and sample, of $S$ = `num_samples`:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d w_d A^d_{ij}\Big), \qquad
       w = \mathrm{softmax}_d\Big(\tfrac1S \sum_{s=1}^S
       f\big((m_d + \varepsilon_{ds}) \odot x
       + (1 - m_d - \varepsilon_{ds}) \odot b\big)\Big) $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, `n h w c`, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      site: exact name or module path of the activation: usually the last one that has
        a spatial grid. Each of its channels costs $S$ evaluations per image.
      num_samples: $S$, noisy masks per channel.
      stddev: $\sigma$, spread of the noise, where masks reach from 0 to 1; with 0 it is
        `score_cam` with this score.
      num_channels: at most how many channels are used, those that vary most over the
        cells of the image; all when None. The others are left out of the sums.
      baseline: $b$, what stands where a mask hides the image, in the units of the
        images: a number, a color, or images that broadcast to `images`.
      resize: how channels are enlarged, `bilinear`, `align_corners` or `nearest`; see
        `xattr.images.resize`.
      relu: keep only evidence for the target, as published; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: masked images held in memory at once; chosen to fit when None.
      key: one key, or one per image.

    Returns:
      A map on the site's grid, in units of its activations.

    Raises:
      TypeError: if `num_samples` or `num_channels` is no whole number.
      ValueError: if `key` is None, `num_samples` or `num_channels` < 1, `stddev` < 0,
        the images are not `n h w c`, the baseline does not broadcast to them, the site
        is unknown, ambiguous or inside a loop, or its axes can't be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x = jnp.array([[[[0.0], [3.0]]]])
      >>> options = dict(site="relu:0", axes="nhwc", num_samples=2)
      >>> ss_cam(model, x, **options, key=jax.random.key(0))
      Array([[[0., 3.]]], dtype=float32)

    References:
      [wang2020sscam]; [fernandez2020torchcam].

    Notes:
      The number of samples, the spread and the score are torch-cam's. The score of the
      image itself, which is taken away before the softmax, is not seen by it, and left
      out. Masks are scaled after they are enlarged, as in Score-CAM; torch-cam scales
      before. The paper's second form, noise on the image, is not offered.
    """
    check_count("num_samples", num_samples)
    check_not_negative("stddev", stddev, 2.0)

    def noisy(masks, keys, index):
        noise = jax.vmap(
            lambda key: jax.random.normal(key, masks.shape[1:], masks.dtype)
        )(fold(keys, index))
        return masks + stddev * noise

    found = masked_scores(
        model,
        images,
        targets,
        site=site,
        axes=axes,
        baseline=baseline,
        resize=resize,
        score=score,
        num_channels=num_channels,
        chunk_size=chunk_size,
        num_copies=num_samples,
        alter=noisy,
        keys=per_image(key, images.shape[0]),
    )
    maps = weighted(found.activations, softmax_over_channels(found))
    return finish(maps, relu, images)
