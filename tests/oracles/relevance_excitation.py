"""Excitation backprop of one image, winner by winner, with loops.

A network of every kind of layer: convolution, ReLU, maximum of 2 x 2 pixels, a
convolution with batch norm beside a skip connection, ReLU, mean over pixels, head.
"""

import numpy as np


class Network:
    """Each layer's activation, and how it hands chances down."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        self.tensors = {k: v.astype(np.float64) for k, v in tensors.items()}

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Activations by name, `i j d`, and the outputs."""
        t, kept = self.tensors, {"image": image}
        kept["first"] = np.maximum(convolved(image, t["first"]) + t["bias"], 0)
        kept["pooled"] = np.max(cells(kept["first"]), axis=(1, 3))
        kept["branch"] = convolved(kept["pooled"], t["second"]) * t["scale"] + t["mean"]
        kept["sum"] = np.maximum(kept["branch"] + kept["pooled"], 0)
        kept["features"] = kept["sum"].mean((0, 1))
        kept["outputs"] = kept["features"] @ t["head"] + t["head bias"]
        return kept

    def chances(
        self, image: np.ndarray, start: np.ndarray, *, contrastive: bool = False
    ) -> dict[str, np.ndarray]:
        """The chance of every unit by the name of its layer."""
        t, kept = self.tensors, self.run(image)
        found = {"features": dense_down(kept["features"], t["head"], start)}
        if contrastive:
            found["features"] -= dense_down(kept["features"], -t["head"], start)
        # What a mean hands down is in proportion to what is averaged.
        whole = kept["sum"].sum((0, 1))
        found["sum"] = kept["sum"] * divided(found["features"], whole)
        branch, skip = np.maximum(kept["branch"], 0), kept["pooled"]
        share = divided(found["sum"], branch + skip)
        found["branch"] = branch * share
        weights = t["second"] * t["scale"]
        below = convolution_down(kept["pooled"], weights, found["branch"])
        found["pooled"] = below + skip * share
        found["first"] = maximum_down(kept["first"], found["pooled"])
        found["image"] = convolution_down(image, t["first"], found["first"])
        return found


def divided(chances: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.divide(chances, total, out=np.zeros_like(chances), where=total > 0)


def dense_down(inputs, weights, chances) -> np.ndarray:
    out = np.zeros_like(inputs)
    for j in range(weights.shape[1]):
        parts = [
            max(a, 0) * max(w, 0) for a, w in zip(inputs, weights[:, j], strict=True)
        ]
        if sum(parts) > 0:
            out += chances[j] * np.array(parts) / sum(parts)
    return out


def windows(shape):
    """For each output of a 3 x 3 convolution, the inputs that there are."""
    for i in range(shape[0]):
        for j in range(shape[1]):
            for di in range(3):
                for dj in range(3):
                    y, x = i + di - 1, j + dj - 1
                    if 0 <= y < shape[0] and 0 <= x < shape[1]:
                        yield i, j, di, dj, y, x


def convolved(inputs: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    out = np.zeros((*inputs.shape[:2], kernel.shape[-1]))
    for i, j, di, dj, y, x in windows(inputs.shape):
        out[i, j] += inputs[y, x] @ kernel[di, dj]
    return out


def convolution_down(inputs, kernel, chances) -> np.ndarray:
    active, weights = np.maximum(inputs, 0), np.maximum(kernel, 0)
    share = divided(chances, convolved(active, weights))
    out = np.zeros_like(inputs)
    for i, j, di, dj, y, x in windows(inputs.shape):
        out[y, x] += active[y, x] * (weights[di, dj] @ share[i, j])
    return out


def cells(inputs: np.ndarray) -> np.ndarray:
    h, w, d = inputs.shape
    return inputs.reshape(h // 2, 2, w // 2, 2, d)


def maximum_down(inputs, chances) -> np.ndarray:
    out = np.zeros_like(inputs)
    for i, j, d in np.ndindex(chances.shape):
        cell = inputs[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, d]
        y, x = np.unravel_index(cell.argmax(), cell.shape)
        out[2 * i + y, 2 * j + x, d] += chances[i, j, d]
    return out
