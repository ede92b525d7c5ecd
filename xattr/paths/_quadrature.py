"""Where along a path to look, and how much each look counts."""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from xattr._checks import check_count

Rule = Literal["midpoint", "gauss_legendre", "trapezoid", "right"]


def quadrature(
    rule: Rule, num_steps: int
) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    r"""Nodes on [0, 1] and weights that sum to 1: $\int_0^1 f \approx \sum_s w_s f(t_s)$.

    With $S$ = `num_steps` evaluations:

    | rule | nodes | exact up to degree | error falls as |
    |---|---|---|---|
    | `midpoint` | $(s + 1/2)/S$ | 1 | $S^{-2}$ |
    | `gauss_legendre` | roots of the Legendre polynomial | $2S - 1$ | faster than any power |
    | `trapezoid` | $s/(S - 1)$, both ends counting half | 1 | $S^{-2}$ |
    | `right` | $(s + 1)/S$ | 0 | $S^{-1}$ |

    Args:
      rule: one of the four names above.
      num_steps: evaluations; at least 1, for `trapezoid` at least 2.

    Raises:
      ValueError: if the rule is unknown or the steps are too few.

    Example:
      >>> nodes, weights = quadrature("midpoint", 2)
      >>> nodes.tolist(), weights.tolist()
      ([0.25, 0.75], [0.5, 0.5])
    """  # noqa: E501
    if rule not in get_args(Rule):
        raise ValueError(
            f"`rule`={rule!r} is no quadrature rule. Choose one of "
            f"{', '.join(map(repr, get_args(Rule)))}."
        )
    check_count("num_steps", num_steps)
    if rule == "trapezoid" and num_steps < 2:
        raise ValueError(f"`num_steps`={num_steps}; {rule} needs at least 2.")
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(num_steps)
        return (nodes + 1) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.ones(num_steps)
        weights[[0, -1]] = 0.5
        return np.linspace(0, 1, num_steps), weights / weights.sum()
    offset = 0.5 if rule == "midpoint" else 1.0
    return (np.arange(num_steps) + offset) / num_steps, np.full(
        num_steps, 1 / num_steps
    )
