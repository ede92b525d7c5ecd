"""DeepLIFT's rescale rule on a small network, one multiplier at a time."""

from typing import NamedTuple

import numpy as np

WINDOW, STRIDE = 3, 2


class Network(NamedTuple):
    """A convolution, ReLU, overlapping maxima, and two dense layers around a tanh."""

    kernel: np.ndarray
    kernel_bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    head: np.ndarray
    head_bias: np.ndarray

    def values(self, image: np.ndarray) -> list[np.ndarray]:
        """What each layer gives, from the image to the logits."""
        taps, _, _, _ = self.kernel.shape
        h, w = image.shape[0] - taps + 1, image.shape[1] - taps + 1
        conv = np.zeros((h, w, self.kernel.shape[3])) + self.kernel_bias
        for i in range(h):
            for j in range(w):
                patch = image[i : i + taps, j : j + taps]
                conv[i, j] += np.einsum("abc,abcd->d", patch, self.kernel)
        relu = np.maximum(conv, 0)
        pooled = np.array(
            [
                [window.max((0, 1)) for _, _, window in row]
                for row in rows_of_windows(relu)
            ]
        )
        dense = pooled.reshape(-1) @ self.hidden + self.hidden_bias
        tanh = np.tanh(dense)
        return [
            image,
            conv,
            relu,
            pooled,
            dense,
            tanh,
            tanh @ self.head + self.head_bias,
        ]

    def contributions(
        self, image: np.ndarray, baseline: np.ndarray, target: int
    ) -> np.ndarray:
        """What each value adds to the logit's difference from the baseline."""
        here, there = self.values(image), self.values(baseline)
        _, conv, relu, pooled, dense, tanh, _ = zip(here, there, strict=True)
        slope = self.head[:, target]
        slope = slope * (tanh[0] - tanh[1]) / (dense[0] - dense[1])
        slope = (self.hidden @ slope).reshape(pooled[0].shape)
        slope = multipliers_of_maxima(relu, pooled, slope)
        same = conv[0] == conv[1]
        run = np.where(same, 1, conv[0] - conv[1])
        slope = slope * np.where(same, conv[0] > 0, (relu[0] - relu[1]) / run)
        taps = self.kernel.shape[0]
        back = np.zeros(image.shape)
        for i, j in np.ndindex(slope.shape[:2]):
            back[i : i + taps, j : j + taps] += self.kernel @ slope[i, j]
        return back * (image - baseline)


def rows_of_windows(x: np.ndarray):
    """Windows of a map with the place of their first value, row by row."""
    for i in range(0, x.shape[0] - WINDOW + 1, STRIDE):
        yield [
            (i, j, x[i : i + WINDOW, j : j + WINDOW])
            for j in range(0, x.shape[1] - WINDOW + 1, STRIDE)
        ]


def multipliers_of_maxima(
    values: tuple[np.ndarray, np.ndarray],
    maxima: tuple[np.ndarray, np.ndarray],
    slope: np.ndarray,
) -> np.ndarray:
    """Each maximum's difference, at the place of the higher of both maxima."""
    back = np.zeros(values[0].shape)
    for k in range(values[0].shape[-1]):
        for row, cells in enumerate(rows_of_windows(values[0][..., k])):
            for column, (i, j, _) in enumerate(cells):
                higher = int(maxima[1][row, column, k] > maxima[0][row, column, k])
                window = values[higher][i : i + WINDOW, j : j + WINDOW, k]
                a, b = np.unravel_index(window.argmax(), window.shape)
                place = i + a, j + b, k
                run = values[0][place] - values[1][place]
                rise = maxima[0][row, column, k] - maxima[1][row, column, k]
                if rise:
                    back[place] += slope[row, column, k] * rise / run
    return back
