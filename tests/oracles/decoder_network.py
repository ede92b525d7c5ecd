"""The parts of a saliency decoder in NumPy, cell by cell."""

import numpy as np


def transposed_convolution(x, kernel):
    """Write each cell, times the kernel, around its place on the larger grid."""
    n, h, w, _ = x.shape
    y = np.zeros((n, 2 * h, 2 * w, kernel.shape[3]))
    for i in range(h):
        for j in range(w):
            for p in range(4):
                for q in range(4):
                    row, column = 2 * i - 1 + p, 2 * j - 1 + q
                    if 0 <= row < 2 * h and 0 <= column < 2 * w:
                        y[:, row, column] += x[:, i, j] @ kernel[p, q]
    return y


def group_norm(x, groups, scale, bias, epsilon=1e-5):
    """Each group of channels of each image, to mean 0 and variance 1."""
    y = np.empty_like(x)
    size = x.shape[3] // groups
    for image in range(x.shape[0]):
        for group in range(groups):
            own = slice(group * size, (group + 1) * size)
            part = x[image, ..., own]
            y[image, ..., own] = (part - part.mean()) / np.sqrt(part.var() + epsilon)
    return y * scale + bias


def convolution(x, kernel, bias):
    """3 x 3, padded by zeros."""
    n, h, w, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((n, h, w, kernel.shape[3]))
    for p in range(3):
        for q in range(3):
            y += padded[:, p : p + h, q : q + w] @ kernel[p, q]
    return y + bias
