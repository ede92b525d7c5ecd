"""Smooth Grad-CAM++: Grad-CAM++ with derivatives averaged over noisy images."""

import jax
from jaxtyping import PyTree

from xattr._chunking import evaluate_all, sum_all
from xattr._compile import compiled
from xattr._keys import per_image
from xattr._noise import check_noise, fold, with_noise
from xattr._scores import logit
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import (
    Grid,
    Map,
    finish,
    ratio,
    site_and_outputs,
    site_gradient,
    weighted,
)


def smooth_grad_cam_plus_plus_formula(
    activations: Grid, first: Grid, second: Grid, third: Grid
) -> Map:
    """Grad-CAM++ from the means of the gradient, of its square and of its cube."""
    total = activations.sum(axis=(1, 2), keepdims=True)
    alpha = ratio(second, 2 * second + total * third)
    return weighted(activations, (alpha * jax.nn.relu(first)).sum(axis=(1, 2)))


@compiled
def smooth_grad_cam_plus_plus(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    num_samples: int = 4,
    stddev: float = 0.1,
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""Which cells speak for the target, with gradients that noise has smoothed.

    With $A^d$ the site's channels on the image, $g$ their gradient on a noisy copy of
    it and $\overline{\,\cdot\,}$ the mean over `num_samples` copies:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d A^d_{ij} \sum_{ab} \alpha^d_{ab}
       \mathrm{ReLU}\big(\overline{g}^d_{ab}\big)\Big), \qquad
       \alpha = \frac{\overline{g^2}}
                     {2\,\overline{g^2} + \overline{g^3} \sum_{ij} A_{ij}} $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images
        without noise.
      site: exact name or module path of the activation.
      num_samples: noisy copies of each image.
      stddev: standard deviation of the noise, as a share of the image's own range of
        values; 0 for none.
      relu: keep only evidence for the target; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: noisy images held in memory at once; chosen to fit when None.
      key: one key, or one per image.

    Returns:
      A map on the site's grid. Without noise it is that of `grad_cam_plus_plus`.

    Raises:
      ValueError: if `key` is None, `num_samples` is less than 1, `stddev` is negative,
        the site is unknown, ambiguous or inside a loop, or its axes can't be read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x, key = jnp.array([[[[3.0], [-1.0]]]]), jax.random.key(0)
      >>> smooth_grad_cam_plus_plus(
      ...     model, x, site="relu:0", axes="nhwc", stddev=0.0, key=key
      ... )
      Array([[[1.2, 0. ]]], dtype=float32)

    References:
      [omeiza2019smooth]; [fernandez2020torchcam].

    Notes:
      The numerator of the paper's $\alpha$ is printed as a first derivative; this is
      the second, as in Grad-CAM++ and in torch-cam.

      torch-cam takes the gradient of the last copy in the place of $\overline{g}$, and
      $\sum_{ij} \overline{g^3_{ij}} A_{ij}$ in the denominator.

      torch-cam's noise has a standard deviation of 0.3 in the units of normalized
      images, whose range is near 5. Here it is a share of the range, as in
      `smoothgrad`, so that it does not depend on the units: `0.3 / (max - min)` is
      torch-cam's.
    """
    check_noise(num_samples, stddev)
    targets = resolve_targets(model, images, targets, chunk_size)
    keys = per_image(key, images.shape[0])

    def derivatives(rows, sample):
        images, targets, keys = rows
        noisy = with_noise(images, fold(keys, sample), stddev)
        g = site_gradient(model, noisy, targets, site, score, axes).gradients
        return g, g**2, g**3

    rows = (images, targets, keys)
    sums = sum_all(derivatives, rows, num=num_samples, chunk_size=chunk_size)

    def evaluate(rows, _):
        images, sums = rows
        activations, _ = site_and_outputs(model, images, site, axes)
        means = [total / num_samples for total in sums]
        return finish(
            smooth_grad_cam_plus_plus_formula(activations, *means), relu, images
        )

    return evaluate_all(evaluate, (images, sums), chunk_size=chunk_size)[:, 0]
