"""A linear support vector machine with squared hinge, by Newton's method."""

import numpy as np


def objective(weights, bias, positive, negative, cost):
    """What is minimized."""
    total = weights @ weights / 2
    for point in positive:
        total += cost * max(0.0, 1 - weights @ point - bias) ** 2
    for point in negative:
        total += cost * max(0.0, 1 + weights @ point + bias) ** 2
    return total


def linear_svm(positive, negative, cost, rounds=50):
    """Weights and bias: of the points inside the margin, a linear system; again."""
    points = np.concatenate([positive, negative]).astype(float)
    signs = np.concatenate([np.ones(len(positive)), -np.ones(len(negative))])
    ones = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    plane = np.zeros(points.shape[1] + 1)
    plane[-1] = -1.0
    ridge = np.eye(len(plane))
    ridge[-1, -1] = 0.0

    def value(plane):
        return objective(plane[:-1], plane[-1], positive, negative, cost)

    for _ in range(rounds):
        inside = signs * (ones @ plane) < 1
        within = ones[inside]
        matrix = ridge + 2 * cost * within.T @ within
        found = np.linalg.solve(matrix, 2 * cost * within.T @ signs[inside])
        step = 1.0
        while value(plane + step * (found - plane)) > value(plane) and step > 1e-12:
            step /= 2
        plane = plane + step * (found - plane)
    return plane[:-1], plane[-1]
