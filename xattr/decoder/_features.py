"""The feature maps that a decoder reads, from the pass that classifies."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Inexact, Int, PyTree

from xattr._scores import logit, predicted
from xattr._types import Images, Predictor
from xattr.images import tokens_to_grid
from xattr.program import Site, arranged, perturb, token_grid
from xattr.program import sites as sites_of

Features = tuple[Inexact[Array, "n _ _ _"], ...]


def features_and_outputs(
    model: Predictor,
    images: Images,
    sites: Sequence[str],
    targets: Int[Array, " n"] | None = None,
    *,
    evidence: bool = False,
) -> tuple[Features, PyTree]:
    r"""Maps of some sites and the outputs of a model, from one pass.

    The evidence for class $c$, with the activation $A$ of the first site and the logit
    $y_c$, is what the cells add to it to first order:

    $$ e_{ij} = \sum_d \frac{\partial y_c}{\partial A_{ijd}} A_{ijd} $$

    Only what the model does above that site is differentiated: where that is a mean and
    a linear layer, as in most CNNs, this looks up the weights of the class. It is zero
    where nothing above reads the cells: of a vision transformer that classifies by one
    token, choose the layer norm before the last attention.

    Args:
      model: function from a batch of images to outputs.
      images: the batch to run it on.
      sites: exact names or module paths of spatial activations, or of tokens that stand
        for a grid of patches.
      targets: one class index per image, for the evidence; the predicted classes when
        None.
      evidence: whether it is wanted.

    Returns:
      The map of each site, `n i j d`, after them the evidence, `n i j 1`, where it is
      wanted, and the outputs.

    Raises:
      ValueError: if a site is unknown, ambiguous, inside a loop, or not spatial; or if
        evidence is wanted and the outputs are not one logit per class.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def model(x):
      ...     cells = jax.lax.conv_general_dilated(
      ...         x, jnp.ones((2, 2, 1, 1)), (2, 2), "VALID",
      ...         dimension_numbers=("NHWC", "HWIO", "NHWC"))
      ...     return jax.nn.relu(cells).mean((1, 2))
      >>> (cells,), logits = features_and_outputs(
      ...     model, jnp.ones((1, 2, 4, 1)), ["relu:0"])
      >>> cells.ravel(), logits
      (Array([4., 4.], dtype=float32), Array([[4.]], dtype=float32))

      Of a mean over two cells, each adds half of its activation to the logit:

      >>> (_, cells), _ = features_and_outputs(
      ...     model, jnp.ones((1, 2, 4, 1)), ["relu:0"], evidence=True)
      >>> cells.ravel()
      Array([2., 2.], dtype=float32)

    References:
      [draelos2020hirescam] for the evidence.
    """
    perturbed = perturb(model, images, sites)

    def grid(name: str, activation: Array) -> Array:
        return _to_grid(model, images, name, perturbed.sites[name], activation)

    if not evidence:
        outputs, activations = perturbed.call(perturbed.zeros)
        return tuple(grid(name, activations[name]) for name in sites), outputs

    first = sites[0]

    def above(change: Array) -> tuple[PyTree, dict[str, Array]]:
        return perturbed.call({**perturbed.zeros, first: change})

    outputs, pull, activations = jax.vjp(above, perturbed.zeros[first], has_aux=True)
    check_logits(outputs)
    targets = predicted(outputs) if targets is None else targets
    scores, of_outputs = jax.vjp(lambda outputs: logit(outputs, targets), outputs)
    (gradient,) = pull(*of_outputs(jnp.ones_like(scores)))
    cells = grid(first, gradient * activations[first]).sum(axis=3, keepdims=True)
    return (*(grid(name, activations[name]) for name in sites), cells), outputs


def check_logits(outputs: PyTree) -> None:
    """Refuse outputs that are not one logit per class."""
    if getattr(outputs, "ndim", None) != 2:
        shapes = [leaf.shape for leaf in jax.tree.leaves(outputs)]
        raise ValueError(
            f"the model gives arrays of shapes {shapes}; a decoder needs one array of "
            f"logits, images by classes. Give a model that returns it: "
            f"`Model(lambda params, images: apply(params, images)[0], params)`."
        )


def _to_grid(
    model: Predictor, images: Images, name: str, site: Site, activation: Array
) -> Array:
    letters = sorted(site.axes)
    grid = None
    if letters == ["c", "h", "n", "w"]:
        grid = site.shape[site.axes.index("h")], site.shape[site.axes.index("w")]
    elif letters == ["?", "c", "n"]:
        num_tokens = site.shape[site.axes.index("?")]
        grid = token_grid(sites_of(model, images), num_tokens)
    if grid is None or grid == (1, 1):
        raise ValueError(
            f"`sites` has {name!r}, of shape {site.shape} and axes {site.axes!r} (read "
            f"from the model); a decoder needs one batch, one row, one column and one "
            f"channel axis, and more than one cell, or tokens of such a grid. Choose "
            f"with `xattr.sites(model, images)`."
        )
    ordered = arranged(activation, site)
    return ordered if ordered.ndim == 4 else tokens_to_grid(ordered, grid)
