"""Which rule goes where: the composites that the literature compares."""

from functools import partial

from xattr.program import Composite, Where
from xattr.relevance._rules import (
    alpha_beta,
    flat,
    gamma,
    halves,
    keep,
    numerator,
    proportional,
    z_box,
    z_plus,
)

LAYERS = ("conv", "dense")
EPSILON = 1e-6

# What has no weights. Batch norm that follows no layer is affine, and keeps all.
_REST = (
    (Where(("relu", "rectifier", "activation", "affine", "norm")), keep),
    (Where(("sum", "pool", "attend", "softmax")), proportional),
    (Where(("product",)), halves),
    (Where(("quotient",)), numerator),
)


def epsilon(*, epsilon: float = EPSILON) -> Composite:
    """The epsilon rule in all layers.

    Args:
      epsilon: by how much outputs are moved away from zero.
    """
    return Composite(((Where(LAYERS), partial(proportional, epsilon=epsilon)), *_REST))


def epsilon_plus(*, epsilon: float = EPSILON) -> Composite:
    """z-plus in convolutions, epsilon in dense layers.

    Args:
      epsilon: by how much outputs of dense layers are moved away from zero.
    """
    return _with_convolutions(z_plus, epsilon)


def epsilon_plus_flat(*, epsilon: float = EPSILON) -> Composite:
    """As `epsilon_plus`, and flat in the first layer.

    Args:
      epsilon: by how much outputs of dense layers are moved away from zero.
    """
    return _flat_first(epsilon_plus(epsilon=epsilon))


def epsilon_alpha2_beta1(*, epsilon: float = EPSILON) -> Composite:
    """alpha-beta with 2 and 1 in convolutions, epsilon in dense layers.

    Args:
      epsilon: by how much outputs of dense layers are moved away from zero.
    """
    return _with_convolutions(partial(alpha_beta, alpha=2.0, beta=1.0), epsilon)


def epsilon_alpha2_beta1_flat(*, epsilon: float = EPSILON) -> Composite:
    """As `epsilon_alpha2_beta1`, and flat in the first layer.

    Args:
      epsilon: by how much outputs of dense layers are moved away from zero.
    """
    return _flat_first(epsilon_alpha2_beta1(epsilon=epsilon))


def epsilon_gamma_box(
    *,
    low: float = 0.0,
    high: float = 1.0,
    strength: float = 0.25,
    epsilon: float = EPSILON,
) -> Composite:
    """z-box in the first layer, gamma in convolutions, epsilon in dense layers.

    Args:
      low: smallest value of a pixel, in the units of the model's images.
      high: largest value of a pixel.
      strength: how much more counts what adds to an output.
      epsilon: by how much outputs of dense layers are moved away from zero.
    """
    rest = _with_convolutions(partial(gamma, gamma=strength), epsilon)
    first = Where(LAYERS, first=True), partial(z_box, low=low, high=high)
    return rest._replace(rules=(first, *rest.rules))


def _with_convolutions(rule, epsilon: float) -> Composite:
    dense = Where(("dense",)), partial(proportional, epsilon=epsilon)
    return Composite(((Where(("conv",)), rule), dense, *_REST))


def _flat_first(composite: Composite) -> Composite:
    first = Where(LAYERS, first=True), flat
    return composite._replace(rules=(first, *composite.rules))
