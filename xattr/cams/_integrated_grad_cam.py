"""Integrated Grad-CAM: Grad-CAM averaged along a path from a baseline."""

from jaxtyping import PyTree

from xattr._checks import check_count
from xattr._chunking import evaluate_all, sum_all
from xattr._compile import compiled
from xattr._scores import logit
from xattr._targets import resolve_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import (
    Grid,
    Map,
    SiteGradient,
    finish,
    site_and_outputs,
    site_gradient,
    weighted,
)
from xattr.paths._baselines import Baseline, one_baseline


def integrated_grad_cam_formula(found: SiteGradient, start: Grid) -> Map:
    """One step: channels' changes since the start of the path, by mean gradient."""
    weights = found.gradients.mean(axis=(1, 2))
    return weighted(found.activations - start, weights)


@compiled
def integrated_grad_cam(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    baseline: Baseline | None = None,
    num_steps: int = 20,
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""How much each cell speaks for the target, on the way from a baseline.

    With $x_t = b + t (x - b)$, $A^d(t)$ the site's channels on $x_t$ and $g^d(t)$ the
    gradient with respect to them, by the midpoint rule with $S$ = `num_steps`:

    $$ L_{ij} = \frac1S \sum_{s=0}^{S-1} \mathrm{ReLU}\Big(\sum_d \alpha_d(t_s)
       \big(A^d_{ij}(t_s) - A^d_{ij}(0)\big)\Big), \quad
       \alpha_d(t) = \tfrac1{IJ} \sum_{ij} g^d_{ij}(t), \quad t_s = \tfrac{s + 1/2}S $$

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; when None, the classes predicted on the images,
        along all of the path.
      site: exact name or module path of the activation.
      baseline: where the path begins, in the units of the images: a number, a color, or
        images that broadcast to `images`; zeros when None.
      num_steps: gradients per image.
      relu: keep only evidence for the target, at each step; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained.
      chunk_size: steps held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid, in units of the score (per cell, up to a factor $IJ$).

    Raises:
      ValueError: if `num_steps` is less than 1, `baseline` does not broadcast to the
        images, the site is unknown, ambiguous or inside a loop, or its axes can't be
        read.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).mean((1, 2))
      >>> x = jnp.array([[[[4.0], [-8.0]]]])
      >>> integrated_grad_cam(model, x, site="relu:0", axes="nhwc", num_steps=2)
      Array([[[1., 0.]]], dtype=float32)

    References:
      [sattarzadeh2021integrated].

    Notes:
      The authors' code sums left endpoints, takes no difference to the baseline's
      activations, and sums over steps. The midpoint rule costs the same and converges
      one order faster.
    """
    del key
    check_count("num_steps", num_steps)
    starts = one_baseline(images, baseline)
    targets = resolve_targets(model, images, targets, chunk_size)

    def begin(images, _):
        return site_and_outputs(model, images, site, axes)[0]

    activations = evaluate_all(begin, starts, chunk_size=chunk_size)[:, 0]

    def step(rows, index):
        images, targets, starts, activations = rows
        t = (index.astype(images.dtype) + 0.5) / num_steps
        t = t.reshape(-1, *[1] * (images.ndim - 1))
        path = starts + t * (images - starts)
        found = site_gradient(model, path, targets, site, score, axes)
        return finish(integrated_grad_cam_formula(found, activations), relu, images)

    rows = (images, targets, starts, activations)
    return sum_all(step, rows, num=num_steps, chunk_size=chunk_size) / num_steps
