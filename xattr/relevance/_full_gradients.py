"""Full gradients: what the image and every bias contribute to the score."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit, score_and_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.program import Site, biased

Terms = Mapping[str, Inexact[Array, "n ..."]]


@compiled
def full_gradients(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> dict[str, Inexact[Array, "n ..."]]:
    r"""What the image and each bias of the model contribute to the score.

    Every operation $y = g(u)$ of the model is its linear part plus a bias,
    $y = g'(u) u + b$. With $x$ the image, normalized if the model begins with that:

    $$ f(x) = \sum x \odot \nabla_x f
       + \sum_l \sum b_l \odot \frac{\partial f}{\partial y_l} + b_f $$

    where $b_f$ is that of the score as a function of the outputs, zero for a logit.

    Args:
      model: differentiable function from a batch of images to outputs.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      The terms under `input`, the names of the sites that the biases are part of, and
      `score`: signed, of the site's shape with the batch first and channels last. All
      of their values together sum to the score.

    Raises:
      TypeError: if `images` is no array or `model` no function of one.
      ValueError: if `images` is not floating point with a leading batch axis, or
        `targets` has not one row per image.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: jax.nn.relu(3 * x + 1).sum((2, 3)) + 5
      >>> x = jnp.array([[[[2.0]]]])
      >>> {k: v.item() for k, v in full_gradients(model, x).items()}
      {'add:1': 5.0, 'input': 7.0, 'score': 0.0}

    References:
      [srinivas2019full].

    Notes:
      Biases are those of the function, read from its program, not of modules. Batch
      norm has one, and so do activations that are no pieces of lines through the
      origin. The authors' code has a term each for a layer and the batch norm after it,
      and none for activations. Here constants that are added one after the other are
      one bias, so that folding batch norm into its layer changes nothing.
    """
    del key

    def of_one(image: Any, target: PyTree) -> dict[str, Array]:
        return terms_and_sites(model, image, target, score)[0]

    def evaluate(rows: Any, _: Array) -> dict[str, Array]:
        return jax.vmap(of_one)(*rows)

    terms = evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)
    return {name: term[:, 0] for name, term in terms.items()}


def terms_and_sites(
    model: Predictor, image: Array, target: PyTree, score: Score
) -> tuple[dict[str, Array], dict[str, Site]]:
    """The terms of one image, and the values that they are part of.

    Of one at a time: there is no telling which axis is the batch's where a program
    shuffles them, and nowhere to be wrong if it has one entry.
    """
    targets = jax.tree.map(lambda t: t[None], target)
    found = biased(model, image[None])

    def scores_of(outputs: PyTree) -> Array:
        return score_and_targets(score, outputs, targets)[0]

    def total(perturbations: dict[str, Array]) -> tuple[Array, Any]:
        outputs, biases = found.call(perturbations)
        return scores_of(outputs).sum(), (outputs, biases)

    slopes, (outputs, biases) = jax.grad(total, has_aux=True)(found.zeros)
    # An infinite bias hides what it is added to, and contributes nothing.
    products = {
        name: jnp.where(slopes[name] == 0, 0, slopes[name] * biases[name])
        for name in found.sites
    }
    terms = {name: _of_one(products[name], site) for name, site in found.sites.items()}
    scores, line = jax.jvp(scores_of, (outputs,), (jax.tree.map(_along, outputs),))
    return terms | {"score": (scores - line)[0]}, found.sites


def _along(output: Array) -> Any:
    """A direction for a derivative: the output itself, if it has any."""
    if jnp.issubdtype(output.dtype, jnp.inexact):
        return output
    return np.zeros(output.shape, jax.dtypes.float0)


def _of_one(term: Array, site: Site) -> Array:
    """A term without its batch axis, its channels last."""
    letters = site.axes
    if "n" in letters:
        term = jnp.squeeze(term, letters.index("n"))
        letters = letters.replace("n", "")
    if letters.count("c") == 1:
        term = jnp.moveaxis(term, letters.index("c"), -1)
    return term
