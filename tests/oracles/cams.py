"""Class activation maps from given activations and gradients, with loops.

Each function takes one image's activations `i j d` and gradients of the same shape and
returns the map `i j` before the final ReLU.
"""

import numpy as np


def by_weights(a: np.ndarray, weights: np.ndarray) -> np.ndarray:
    out = np.zeros(a.shape[:2])
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            for d in range(a.shape[2]):
                out[i, j] += weights[d] * a[i, j, d]
    return out


def grad_cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return by_weights(a, np.array([g[..., d].mean() for d in range(a.shape[2])]))


def hires_cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return _cellwise(a, g, lambda a, g: a * g)


def layer_cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return _cellwise(a, g, lambda a, g: max(g, 0) * a)


def grad_cam_elementwise(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return _cellwise(a, g, lambda a, g: max(g * a, 0))


def xgrad_cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    weights = np.zeros(a.shape[2])
    for d in range(a.shape[2]):
        if a[..., d].sum() != 0:
            weights[d] = (g[..., d] * a[..., d]).sum() / a[..., d].sum()
    return by_weights(a, weights)


def grad_cam_plus_plus(a: np.ndarray, g: np.ndarray, variant: str) -> np.ndarray:
    weights = np.zeros(a.shape[2])
    for d in range(a.shape[2]):
        alpha = np.zeros(a.shape[:2])
        for i in range(a.shape[0]):
            for j in range(a.shape[1]):
                gij = g[i, j, d]
                total = a[..., d].sum()
                spread = {
                    "paper": gij**3 * total,
                    "authors": gij**3 * total,
                    "pytorch-grad-cam": gij**3 * total + 1e-6,
                    "torch-cam": (g[..., d] ** 3 * a[..., d]).sum(),
                    "xplique": gij**3 * a[..., d].mean(),
                }[variant]
                if gij != 0:
                    alpha[i, j] = gij**2 / (2 * gij**2 + spread)
        positive = np.where(g[..., d] > 0, g[..., d], 0)
        if variant == "authors" and (positive > 0).any():
            alpha = alpha / alpha[positive > 0].sum()
        weights[d] = (alpha * positive).sum()
        if variant == "xplique":
            weights[d] /= a.shape[0] * a.shape[1]
    return by_weights(a, weights)


def smooth_grad_cam_plus_plus(a: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
    first, second, third = (
        np.mean([g**power for g in gradients], axis=0) for power in (1, 2, 3)
    )
    weights = np.zeros(a.shape[2])
    for d in range(a.shape[2]):
        for i in range(a.shape[0]):
            for j in range(a.shape[1]):
                denominator = 2 * second[i, j, d] + third[i, j, d] * a[..., d].sum()
                if denominator != 0:
                    alpha = second[i, j, d] / denominator
                    weights[d] += alpha * max(first[i, j, d], 0)
    return by_weights(a, weights)


def shapley_cam(a: np.ndarray, g: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """With the Hessian as a matrix over the flattened activations."""
    along = (hessian @ a.ravel()).reshape(a.shape)
    return by_weights(a, (g - along / 2).mean((0, 1)))


def eigen(m: np.ndarray, center: bool) -> np.ndarray:
    """Leading projection of `i j d`, by a singular value decomposition."""
    cells = m.reshape(-1, m.shape[2])
    if center:
        cells = cells - cells.mean(0)
    _, _, directions = np.linalg.svd(cells)
    projected = (cells @ directions[0]).reshape(m.shape[:2])
    return projected if directions[0].sum() > 0 else -projected


def _cellwise(a, g, term) -> np.ndarray:
    out = np.zeros(a.shape[:2])
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            for d in range(a.shape[2]):
                out[i, j] += term(a[i, j, d], g[i, j, d])
    return out
