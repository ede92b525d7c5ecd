import numpy as np
import pytest

from xattr.paths._quadrature import quadrature

DEGREE = {"midpoint": 1, "gauss_legendre": 9, "trapezoid": 1, "right": 0}


def integral(rule, num_steps, function):
    nodes, weights = quadrature(rule, num_steps)
    return (weights * function(nodes)).sum()


@pytest.mark.parametrize("rule", DEGREE)
def test_weights_sum_to_one_and_nodes_lie_inside(rule):
    for num_steps in (2, 5, 64):
        nodes, weights = quadrature(rule, num_steps)
        assert len(nodes) == len(weights) == num_steps
        assert abs(weights.sum() - 1) < 1e-14
        assert nodes.min() >= 0
        assert nodes.max() <= 1
        assert (np.diff(nodes) > 0).all()


@pytest.mark.parametrize(("rule", "degree"), DEGREE.items())
def test_exact_up_to_its_degree_and_not_above(rule, degree):
    for power in range(degree + 1):
        assert abs(integral(rule, 5, lambda t, p=power: t**p) - 1 / (power + 1)) < 1e-14
    beyond = degree + 1
    assert abs(integral(rule, 5, lambda t: t**beyond) - 1 / (beyond + 1)) > 1e-7


@pytest.mark.parametrize(
    ("rule", "order"), [("midpoint", 2), ("trapezoid", 2), ("right", 1)]
)
def test_error_falls_at_its_order(rule, order):
    errors = [
        abs(integral(rule, num_steps + (rule == "trapezoid"), np.exp) - np.expm1(1))
        for num_steps in (16, 32)
    ]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.05


def test_gauss_legendre_is_exact_to_rounding_on_smooth_functions():
    assert abs(integral("gauss_legendre", 8, np.exp) - np.expm1(1)) < 1e-14


def test_refuses_unknown_rules_and_too_few_steps():
    with pytest.raises(ValueError, match="`rule`='simpson' is no quadrature.*midpoint"):
        quadrature("simpson", 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`num_steps`=0; it must be at least 1"):
        quadrature("midpoint", 0)
    with pytest.raises(ValueError, match="`num_steps`=1; trapezoid needs at least 2"):
        quadrature("trapezoid", 1)
