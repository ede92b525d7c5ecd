r"""How one operation passes relevance on to its inputs.

A rule takes the operation, its inputs $x_i$, its output $z$ and the relevance $R$ of
the output, and gives the relevance of each input. With $z = \sum_i x_i w_i + b$:

$$ R_i = x_i \sum_j w_{ij} \frac{R_j}{z_j} $$

and the rules differ in what they put in the place of $x$, $w$ and $z$. Write your own
in the same way: `xattr.program.Operation` says what is known of the operation.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from xattr.program import Operation

Value = Float[Array, "..."]
Inputs = tuple[Value, ...]


def stabilized(values: Value, epsilon: float) -> Value:
    """Values moved away from zero by `epsilon`, zero to the positive side.

    Example:
      >>> stabilized(jnp.array([-1.0, 0.0, 2.0]), 0.5)
      Array([-1.5,  0.5,  2.5], dtype=float32)
    """
    return values + jnp.where(values < 0, -epsilon, epsilon).astype(values.dtype)


def keep(
    operation: Operation, inputs: Inputs, output: Value, relevance: Value
) -> Inputs:
    """All relevance to the one input, entry by entry: for activations."""
    del operation, output
    (x,) = inputs
    return (jnp.broadcast_to(relevance, x.shape),)


def proportional(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    relevance: Value,
    *,
    epsilon: float = 1e-6,
) -> Inputs:
    r"""Each input's part in the output, to first order.

    $$ R_i = x_i \frac{\partial z}{\partial x_i}
       \frac{R}{z + \epsilon\,\mathrm{sign} z} $$

    The epsilon rule of layers, of sums and of pooling.
    """
    _, pull_back = jax.vjp(operation.run, *inputs)
    passed = pull_back(relevance / stabilized(output, epsilon))
    return tuple(x * part for x, part in zip(inputs, passed, strict=True))


def halves(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    relevance: Value,
    *,
    epsilon: float = 1e-6,
) -> Inputs:
    """Of a product, half to each factor, in proportion to its part in the sum."""
    passed = proportional(operation, inputs, output, relevance, epsilon=epsilon)
    return tuple(part / 2 for part in passed)


def numerator(
    operation: Operation, inputs: Inputs, output: Value, relevance: Value
) -> Inputs:
    """Of a quotient, all to what is divided, as if the divisor were a constant."""
    divided, divisor = inputs
    passed = proportional(operation, inputs, output, relevance)
    return passed[0], jnp.zeros_like(divisor)


def z_plus(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    relevance: Value,
    *,
    epsilon: float = 1e-6,
) -> Inputs:
    r"""Only what adds to the output counts.

    $$ R_i = \frac{(x_i w_i)^+}{\sum_i (x_i w_i)^+ + b^+} R $$
    """
    return alpha_beta(
        operation, inputs, output, relevance, alpha=1.0, beta=0.0, epsilon=epsilon
    )


def alpha_beta(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    relevance: Value,
    *,
    alpha: float = 2.0,
    beta: float = 1.0,
    epsilon: float = 1e-6,
) -> Inputs:
    r"""What adds to the output, and what takes away from it, each by itself.

    $$ R_i = \left(\alpha \frac{(x_i w_i)^+}{\sum (x_i w_i)^+ + b^+}
       - \beta \frac{(x_i w_i)^-}{\sum (x_i w_i)^- + b^-}\right) R $$
    """
    del output
    (x,) = inputs
    layer = _layer(operation)
    weights, bias = layer.weights, layer.bias
    adds, takes = jnp.maximum(weights, 0), jnp.minimum(weights, 0)
    passed = jnp.zeros_like(x)
    for factor, same, other, part in (
        (alpha, adds, takes, jnp.maximum(bias, 0)),
        (-beta, takes, adds, jnp.minimum(bias, 0)),
    ):
        if factor:
            terms = [(jnp.maximum(x, 0), same)]
            if not operation.nonnegative:
                terms.append((jnp.minimum(x, 0), other))
            passed += factor * _shared(layer.linear, terms, part, relevance, epsilon)
    return (passed,)


def gamma(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    relevance: Value,
    *,
    gamma: float = 0.25,
    epsilon: float = 1e-6,
) -> Inputs:
    r"""What adds to the output counts more.

    $$ R_i = \frac{x_i (w_i + \gamma w_i^+)}
       {\sum_i x_i (w_i + \gamma w_i^+) + b + \gamma b^+} R $$

    for outputs above zero; of one below, $\gamma$ favours the products below zero.
    """
    (x,) = inputs
    layer = _layer(operation)
    weights, bias = layer.weights, layer.bias
    passed = jnp.zeros_like(x)
    for favoured, other, sign in (
        (jnp.maximum, jnp.minimum, output > 0),
        (jnp.minimum, jnp.maximum, output < 0),
    ):
        terms = [(jnp.maximum(x, 0), weights + gamma * favoured(weights, 0))]
        if not operation.nonnegative:
            terms.append((jnp.minimum(x, 0), weights + gamma * other(weights, 0)))
        part = bias + gamma * favoured(bias, 0)
        chosen = jnp.where(sign, relevance, 0)
        passed += _shared(layer.linear, terms, part, chosen, epsilon)
    return (passed,)


def flat(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    relevance: Value,
    *,
    epsilon: float = 1e-6,
) -> Inputs:
    """The same to every input that the output reads."""
    del output
    (x,) = inputs
    layer = _layer(operation)
    terms = [(jnp.ones_like(x), jnp.ones_like(layer.weights))]
    return (_shared(layer.linear, terms, 0.0, relevance, epsilon),)


def w_square(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    relevance: Value,
    *,
    epsilon: float = 1e-6,
) -> Inputs:
    r"""By the squares of the weights alone: $R_i = w_i^2 R / \sum_i w_i^2$."""
    del output
    (x,) = inputs
    layer = _layer(operation)
    terms = [(jnp.ones_like(x), jnp.square(layer.weights))]
    return (_shared(layer.linear, terms, 0.0, relevance, epsilon),)


def z_box(
    operation: Operation,
    inputs: Inputs,
    output: Value,
    relevance: Value,
    *,
    low: float = 0.0,
    high: float = 1.0,
    epsilon: float = 1e-6,
) -> Inputs:
    r"""For pixels between two bounds, in the units of the model's images.

    $$ R_i = \frac{x_i w_i - l_i w_i^+ - h_i w_i^-}{\sum_i (\dots)} R $$
    """
    del output
    if operation.from_images is None:
        raise ValueError(
            f"`z_box` needs to know what pixels may be at {operation.name!r}, but more "
            f"than moves, factors and summands stands between it and the images."
        )
    (x,) = inputs
    layer = _layer(operation)
    weights = layer.weights
    ends = [operation.from_images(end) for end in (low, high)]
    terms = [
        (x, weights),
        (-jnp.minimum(*ends), jnp.maximum(weights, 0)),
        (-jnp.maximum(*ends), jnp.minimum(weights, 0)),
    ]
    return (_shared(layer.linear, terms, 0.0, relevance, epsilon),)


def _layer(operation: Operation):
    if operation.layer is None:
        raise ValueError(
            f"{operation.name!r} is a {operation.kind!r}: the rule is for layers with "
            f"weights, kinds `conv` and `dense`."
        )
    return operation.layer


def _shared(linear, terms, bias, relevance: Value, epsilon: float) -> Value:
    """Relevance in proportion to the terms, inputs with weights, of a sum."""
    pulled, total = [], bias
    for x, weights in terms:
        part, pull_back = jax.vjp(lambda x, w=weights: linear(x, w), x)
        total = total + part
        pulled.append(pull_back)
    share = relevance / stabilized(total, epsilon)
    passed = [
        x * pull_back(share)[0] for (x, _), pull_back in zip(terms, pulled, strict=True)
    ]
    return sum(passed[1:], passed[0])
