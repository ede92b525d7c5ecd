"""Transformer attribution: relevance of attention, where its gradient agrees."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from xattr._chunking import evaluate_all
from xattr._compile import compiled
from xattr._scores import logit, score_and_targets
from xattr._types import Images, Keys, Predictor, Score
from xattr.program import Composite, Where, perturb, ruled
from xattr.relevance._attention_rows import Heads, Layers, Map, Mixing, layers_of
from xattr.relevance._rules import (
    halves,
    keep,
    numerator,
    proportional,
    z_plus,
)
from xattr.relevance._start import gradient_start

_EPSILON = 1e-9


def _positive(operation, inputs, output, relevance):
    """What adds to a layer's output counts, its bias left out."""
    layer = operation.layer
    without = layer._replace(bias=jnp.zeros_like(layer.bias))
    operation = operation._replace(layer=without)
    return z_plus(operation, inputs, output, relevance, epsilon=_EPSILON)


def _balanced(operation, inputs, output, relevance):
    """Of a sum, each part in proportion; all of a part by its total's magnitude."""
    parts = proportional(operation, inputs, output, relevance, epsilon=_EPSILON)
    totals = [part.sum() for part in parts]
    size = sum(jnp.abs(total) for total in totals)
    scale = jnp.where(size > 0, relevance.sum() / jnp.where(size > 0, size, 1), 0)
    return tuple(
        part * jnp.sign(total) * scale
        for part, total in zip(parts, totals, strict=True)
    )


RULES = Composite(
    (
        (Where(("conv", "dense")), _positive),
        (Where(("sum",)), _balanced),
        (Where(("pool",)), proportional),
        (Where(("product",)), halves),
        (Where(("quotient",)), numerator),
        (
            Where(("relu", "rectifier", "activation", "affine", "norm", "softmax")),
            keep,
        ),
    )
)


@compiled
def transformer_attribution(
    model: Predictor,
    images: Images,
    targets: PyTree = None,
    *,
    sites: Sequence[str] | None = None,
    grid: tuple[int, int] | None = None,
    start_layer: int = 0,
    score: Score = logit,
    chunk_size: int | None = None,
    key: Keys | None = None,
) -> Map:
    r"""How much each patch speaks for the target, through relevance of attention.

    With $A_l$ the attention of layer $l$, all heads, $f$ the score and $R_{A_l}$ the
    relevance that layer-wise propagation gives to $A_l$:

    $$ R = \bar A_L \cdots \bar A_1, \qquad
       \bar A_l = I + \mathbb{E}_h\big[(\nabla_{A_l} f \odot R_{A_l})^+\big] $$

    Relevance starts as the score's derivative by the outputs, and is passed on by
    z-plus without biases in layers; by half to each factor of a product, in proportion
    to its part; unchanged through activations, normalizers and softmaxes; in a sum in
    proportion, each summand's whole then being scaled to its magnitude's share.

    The map is the row of $R$ of the class token, the first one; where there is none,
    the mean of all rows, which averages of tokens read.

    Args:
      model: function from a batch of images to outputs, logits rather than
        probabilities.
      images: images to explain, in the units that the model takes.
      targets: what `score` selects; the predicted classes when None.
      sites: names of softmaxes, first layer first; every self-attention by default, see
        `xattr.program.attentions`.
      grid: rows and columns of patches; read from the model when None. Tokens beyond
        them come first and are left out.
      start_layer: layers before it are left out; negative ones count from the last.
      score: scalar being explained.
      chunk_size: images held in memory at once; chosen to fit when None.
      key: ignored; accepted so that all methods share one signature.

    Returns:
      A map on the grid of patches, never negative, without a unit.

    Raises:
      ValueError: if the model has no self-attention that can be read, its grid can't be
        read, an argument is none of the above, or relevance reaches an operation
        without a rule, such as a softmax at the end.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = lambda x: (jax.nn.softmax(0 * x @ x.swapaxes(1, 2)) @ x).sum(1)
      >>> x = jnp.array([[[8.0], [0.0], [-8.0], [16.0]]])
      >>> transformer_attribution(model, x, grid=(2, 2)).round(2)
      Array([[[0.75, 0.25],
              [0.75, 2.25]]], dtype=float32)

    References:
      [chefer2021transformer].

    Notes:
      As the authors' code, not as the paper: there, relevance is scaled by magnitudes
      after products, too, and only what is positive in it is passed on.
    """
    del key

    def one(image: Array, target: PyTree) -> Map:
        image, target = jax.tree.map(lambda part: part[None], (image, target))
        layers = layers_of(model, image, sites, grid, start_layer)
        gradients = _gradients(model, image, target, layers, score)
        relevance = _relevance(model, image, target, layers, score)
        mixings = [
            _mixing(attention.heads(gradients[name]), attention.heads(relevance[name]))
            for name, attention in layers.found.items()
        ]
        return layers.map_of(mixings).astype(images.dtype)[0]

    # Image by image: a sum's parts are scaled by what they are of one image.
    def evaluate(rows, _):
        return jax.vmap(one)(*rows)

    return evaluate_all(evaluate, (images, targets), chunk_size=chunk_size)[:, 0]


def _gradients(
    model: Predictor, images: Images, targets: PyTree, layers: Layers, score: Score
) -> dict[str, Array]:
    """The score's derivative by each layer's attention."""
    perturbed = perturb(model, images, list(layers.found))

    def total(perturbations: dict[str, Array]) -> Array:
        outputs, _ = perturbed.call(perturbations)
        return score_and_targets(score, outputs, targets)[0].sum()

    return jax.grad(total)(perturbed.zeros)


def _relevance(
    model: Predictor, images: Images, targets: PyTree, layers: Layers, score: Score
) -> dict[str, Array]:
    """The relevance of each layer's attention."""
    found = ruled(model, images, RULES)
    names = {name: attention.site.name for name, attention in layers.found.items()}
    zeros = {
        site: jnp.zeros(found.shapes[site].shape, found.shapes[site].dtype)
        for site in names.values()
    }
    outputs, pull_back = jax.vjp(lambda taps: found.run(images, taps=taps), zeros)
    (relevance,) = pull_back(gradient_start(outputs, targets, score))
    return {name: relevance[site] for name, site in names.items()}


def _mixing(gradients: Heads, relevance: Heads) -> Mixing:
    """What a layer passes on: relevant attention that is for the target, and itself."""
    helpful = jax.nn.relu(gradients * relevance).mean(axis=1)
    return helpful + jnp.eye(helpful.shape[-1], dtype=helpful.dtype)[None]
