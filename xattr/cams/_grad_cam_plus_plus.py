"""Grad-CAM++: channels weighted by their positive gradients, few or many."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from xattr._compile import compiled
from xattr._scores import logit
from xattr._types import Images, Keys, Predictor, Score
from xattr.cams._site_gradient import (
    Grid,
    Map,
    SiteGradient,
    map_of,
    ratio,
    weighted,
)

Weights = Float[Array, "n d"]
_CELLS = (1, 2)


def _paper(a: Grid, g: Grid) -> Weights:
    return _by_alpha(_alpha(a.sum(_CELLS, keepdims=True), g), g)


def _authors(a: Grid, g: Grid) -> Weights:
    alpha = _alpha(a.sum(_CELLS, keepdims=True), g) * (g > 0)
    return _by_alpha(ratio(alpha, alpha.sum(_CELLS, keepdims=True)), g)


def _pytorch_grad_cam(a: Grid, g: Grid) -> Weights:
    denominator = 2 * g**2 + a.sum(_CELLS, keepdims=True) * g**3 + 1e-6
    return _by_alpha(ratio(g**2, denominator), g)


def _torch_cam(a: Grid, g: Grid) -> Weights:
    denominator = 2 * g**2 + (a * g**3).sum(_CELLS, keepdims=True)
    return _by_alpha(ratio(g**2, denominator), g)


def _xplique(a: Grid, g: Grid) -> Weights:
    cells = a.shape[1] * a.shape[2]
    return _by_alpha(_alpha(a.mean(_CELLS, keepdims=True), g), g) / cells


def _alpha(total: Float[Array, "n 1 1 d"], g: Grid) -> Grid:
    # g² / (2 g² + g³ total), with g² cancelled: small gradients don't underflow.
    return ratio(jnp.ones_like(g), 2 + g * total)


def _by_alpha(alpha: Grid, g: Grid) -> Weights:
    return (alpha * jax.nn.relu(g)).sum(_CELLS)


_VARIANTS: dict[str, Callable[[Grid, Grid], Weights]] = {
    "paper": _paper,
    "authors": _authors,
    "pytorch-grad-cam": _pytorch_grad_cam,
    "torch-cam": _torch_cam,
    "xplique": _xplique,
}


def grad_cam_plus_plus_formula(found: SiteGradient, variant: str = "paper") -> Map:
    """Sum over channels of activation times weighted positive gradients."""
    if variant not in _VARIANTS:
        known = ", ".join(repr(name) for name in _VARIANTS)
        raise ValueError(
            f"`variant`={variant!r} is none of the published ones: {known}. "
            f"`variant='paper'` is the default."
        )
    return weighted(found.activations, _VARIANTS[variant](*found))


@compiled
def grad_cam_plus_plus(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    site: str,
    variant: str = "paper",
    relu: bool = True,
    axes: str | None = None,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""Which cells speak for the target, small and repeated objects included.

    With $A^d$ the site's channels and $g = \partial f / \partial A$:

    $$ L_{ij} = \mathrm{ReLU}\Big(\sum_d w_d A^d_{ij}\Big), \qquad
       w_d = \sum_{ij} \alpha^d_{ij} \mathrm{ReLU}(g^d_{ij}) $$

    The published $\alpha$ differ, and so do the maps. With $g$ for $g^d_{ij}$:

    - `paper`: $g^2 / (2 g^2 + g^3 \sum_{ab} A^d_{ab})$, the score being the logarithm
      of what is differentiated three times.
    - `authors`: their code, which scales that to sum to 1 over the cells of each
      channel where $g > 0$.
    - `pytorch-grad-cam`: as `paper`, with 1e-6 added to the denominator, which small
      gradients do not outweigh: the map depends on their scale.
    - `torch-cam`: $g^2 / (2 g^2 + \sum_{ab} g_{ab}^3 A_{ab})$.
    - `xplique`: as `paper`, with means over cells in the place of both sums.

    Args:
      model: function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      site: exact name or module path of the activation.
      variant: whose $\alpha$: `paper`, `authors`, `pytorch-grad-cam`, `torch-cam` or
        `xplique`.
      relu: keep only evidence for the target; False keeps the sign.
      axes: which axis of the site is which, as a permutation of `nhwc`, or of `ntc`
        for tokens; read from the model when None.
      score: scalar being explained: the paper's is a logit.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the site's grid. All variants but `pytorch-grad-cam` keep it when the
      site's activations are scaled and the weights above them divided by as much.

    Raises:
      ValueError: if the site is unknown, ambiguous or inside a loop, its axes can't be
        read, or `variant` is not one of the above.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(x).sum((1, 2))
      >>> x = jnp.array([[[[3.0], [-1.0]]]])
      >>> grad_cam_plus_plus(model, x, jnp.array([0]), site="relu:0", axes="nhwc")
      Array([[[1.2, 0. ]]], dtype=float32)

    References:
      [chattopadhay2018grad], eq. 7 and 19; [gildenblat2021pytorch];
      [fernandez2020torchcam]; [fel2022xplique].

    Notes:
      The authors' code multiplies the gradients by the exponential of the score. That
      factor is positive and the same for all of a map, and overflows: it is left out.

      Where $g^2$ cancels, it is cancelled, so that small gradients do not underflow.
      A denominator of zero gives $\alpha = 0$; the authors' code replaces it by 1.

      Releases of torch-cam that guard against underflow write the quotient to a copy,
      and use $\alpha = g^2$: the variant here is the formula of its documentation.
    """
    del key

    def formula(found: SiteGradient) -> Map:
        return grad_cam_plus_plus_formula(found, variant)

    return map_of(formula, model, images, targets, site, relu, axes, score, chunk_size)
