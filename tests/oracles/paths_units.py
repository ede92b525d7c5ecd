"""What each hidden unit contributes, input by input, with derivatives by hand."""

from collections.abc import Iterable

import numpy as np

Rule = Iterable[tuple[float, float]]


def midpoint(steps: int) -> Rule:
    return [((s + 0.5) / steps, 1 / steps) for s in range(steps)]


def right(steps: int) -> Rule:
    return [((s + 1) / steps, 1 / steps) for s in range(steps)]


class Dense:
    """Two hidden layers of hyperbolic tangents; the first is the site."""

    def __init__(self, first: np.ndarray, second: np.ndarray, head: np.ndarray):
        self.first, self.second, self.head = first, second, head

    def hidden(self, x: np.ndarray) -> np.ndarray:
        """The site's activation."""
        return np.tanh(x @ self.first)

    def score(self, y: np.ndarray, target: int) -> float:
        """The logit, from the site."""
        return float(np.tanh(y @ self.second) @ self.head[:, target])

    def slope(self, y: np.ndarray, target: int) -> np.ndarray:
        """Derivative of the logit with respect to each unit of the site."""
        found = np.zeros(len(y))
        for j in range(len(y)):
            for k in range(self.second.shape[1]):
                inside = y @ self.second[:, k]
                local = 1 - np.tanh(inside) ** 2
                found[j] += self.head[k, target] * local * self.second[j, k]
        return found


def conductance(
    net: Dense, x: np.ndarray, start: np.ndarray, target: int, rule: Rule
) -> np.ndarray:
    """Of each input through each unit, added up over inputs."""
    found = np.zeros(net.first.shape[1])
    for t, weight in rule:
        y = net.hidden(start + t * (x - start))
        slope = net.slope(y, target)
        for i in range(len(x)):
            for j in range(len(found)):
                local = (1 - y[j] ** 2) * net.first[i, j]
                found[j] += weight * (x[i] - start[i]) * slope[j] * local
    return found


def internal_influence(
    net: Dense, x: np.ndarray, start: np.ndarray, target: int, rule: Rule
) -> np.ndarray:
    """The mean slope on the way."""
    found = np.zeros(net.first.shape[1])
    for t, weight in rule:
        found += weight * net.slope(net.hidden(start + t * (x - start)), target)
    return found


def layer_integrated_gradients(
    net: Dense, x: np.ndarray, start: np.ndarray, target: int, rule: Rule
) -> np.ndarray:
    """Integrated gradients of the upper part."""
    begin, end = net.hidden(start), net.hidden(x)
    found = np.zeros(len(end))
    for t, weight in rule:
        slope = net.slope(begin + t * (end - begin), target)
        for j in range(len(end)):
            found[j] += weight * (end[j] - begin[j]) * slope[j]
    return found
