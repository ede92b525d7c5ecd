"""Opti-CAM: channel weights found by gradient ascent, for each image."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._checks import check_pictures
from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._descent import adam
from xattr._scores import logit, score_and_targets
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import Grid, Map, finish, site_and_outputs, weighted
from xattr.images import Resize, min_max
from xattr.images import resize as resized
from xattr.paths._baselines import Baseline, one_baseline


@compiled
def opti_cam(
    model: Predictor,
    images: Float[Array, "n h w c"],
    targets: PyTree = None,
    *,
    site: str,
    num_steps: int = 100,
    learning_rate: float = 0.1,
    baseline: Baseline = 0.0,
    resize: Resize = "bilinear",
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""Which cells of a site to keep, so that what stays visible scores highest.

    With $A^d$ the site's channels, $b$ the baseline and $u$ one number per channel and
    image, found by $S$ = `num_steps` steps of Adam from $u_d = 1/2$ on:

    $$ L(u) = \sum_d \mathrm{softmax}(u)_d\, \mathrm{ReLU}(A^d), \qquad
       u^\ast = \arg\max_u f\big(b + m(u) \odot (x - b)\big) $$

    where $m(u)$ is $L(u)$ at the size of the image, scaled to [0, 1] by its own
    extremes. The map is $L(u^\ast)$.

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images.
      site: exact name or module path of the activation: usually the last one that has
        a spatial grid.
      num_steps: $S$, gradients per image; 0 gives the mean of the channels.
      learning_rate: of Adam, whose other settings are the usual ones.
      baseline: what is seen where the mask is 0, in the units of the images: a number,
        a color, or images that broadcast to `images`. Zero, black for models that take
        RGB in [0, 1], is the authors' choice.
      resize: how the map is enlarged, `bilinear`, `align_corners` or `nearest`; see
        `xattr.images.resize`.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being maximized.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, never negative, in units of the activations.
      `xattr.images.min_max` of it at the size of the image is the optimized mask.

    Raises:
      TypeError: if `num_steps` is no whole number.
      ValueError: if `images` are not `n h w c`, `num_steps` < 0, `learning_rate` <= 0,
        `baseline` does not broadcast to the images, the site is unknown, ambiguous or
        inside a loop, or its axes can't be read.

    Example:
      Two channels show the left and the right pixel, and the model likes the first
      alone: the weight moves there.

      >>> import jax, jax.numpy as jnp
      >>> sides = jnp.array([[2.0, 0.0], [0.0, 0.0], [0.0, 2.0]])[None, None]
      >>> model = lambda x: jax.nn.relu(x * sides).sum((1, 2)) @ jnp.array([[1], [-1]])
      >>> x = jnp.ones((1, 1, 3, 1))
      >>> opti_cam(model, x, site="relu:0", axes="nhwc", num_steps=0)
      Array([[[1., 0., 1.]]], dtype=float32)
      >>> opti_cam(model, x, site="relu:0", axes="nhwc").round(1)
      Array([[[2., 0., 0.]]], dtype=float32)

    References:
      [zhang2024opti].

    Notes:
      Every image takes all steps. The authors' code stops a whole batch at the first of
      ten checks at which the sum of its losses has risen, so that its maps depend on
      the batch. Its script takes 50 steps at the rate 0.1, its class 100 at 0.01.
      A mask of one value, on which theirs divides by zero, hides the whole image here.
    """
    del key
    check_pictures(images)
    fills = one_baseline(images, baseline)
    targets = resolve_targets(model, images, targets, chunk_size)

    def evaluate(rows, _):
        images, targets, fills = rows
        channels = _channels(model, images, site, axes)

        def loss(u: Float[Array, "n d"], _: Array) -> Array:
            maps = resized(_combined(channels, u), images.shape[1:3], method=resize)
            mask = min_max(maps)[..., None].astype(images.dtype)
            outputs = model(fills + mask * (images - fills))
            return -score_and_targets(score, outputs, targets)[0].sum()

        start = jnp.full_like(channels[:, 0, 0], 0.5)
        found = adam(loss, start, num_steps=num_steps, learning_rate=learning_rate)
        return finish(_combined(channels, found), True, images)

    rows = images, targets, fills
    return evaluate_all(evaluate, rows, chunk_size=chunk_size)[:, 0]


def _channels(model: Predictor, images: Images, site: str, axes: str | None) -> Grid:
    """The site's channels without their negative part, at least in single precision."""
    activations, _ = site_and_outputs(model, images, site, axes)
    wide = jnp.promote_types(activations.dtype, jnp.float32)
    return jax.nn.relu(activations).astype(wide)


def _combined(channels: Grid, u: Float[Array, "n d"]) -> Map:
    """The map of the softmax of `u`.

    Its scale cancels in the mask. Left to rounding, channels that are zero would take
    steps of Adam's full length, and change the scale of the map with them.
    """
    scale = jax.nn.logsumexp(u, axis=1, keepdims=True)
    return weighted(channels, jnp.exp(u - jax.lax.stop_gradient(scale)))
