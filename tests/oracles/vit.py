"""A vision transformer for one image, with loops, from torchvision's tensors.

Derivatives are differences: what is added to an activation is an argument.
"""

import math

import numpy as np

Changes = dict[str, np.ndarray]


class ViT:
    """Logits, the attention of each block, and the tokens that each block norms."""

    def __init__(self, tensors: dict[str, np.ndarray], patch: int, num_heads: int):
        self.tensors = {k: v.astype(np.float64) for k, v in tensors.items()}
        self.patch, self.num_heads = patch, num_heads
        self.depth = 1 + max(
            int(k.split("encoder_layer_")[1].split(".")[0])
            for k in tensors
            if "encoder_layer_" in k
        )

    def run(self, image: np.ndarray, changes: Changes | None = None):
        """Logits and, by name, what `changes` may be added to."""
        changes, kept = changes or {}, {}

        def keep(name, value):
            kept[name] = value + changes.get(name, 0)
            return kept[name]

        x = np.concatenate([self.tensors["class_token"][0], self.patches(image)])
        x = x + self.tensors["encoder.pos_embedding"][0]
        for index in range(self.depth):
            block = f"encoder.layers.encoder_layer_{index}"
            y = keep(f"norm {index}", self.norm(x, f"{block}.ln_1"))
            x = x + self.attend(
                y,
                f"{block}.self_attention",
                lambda weights, index=index: keep(f"attention {index}", weights),
            )
            y = self.dense(self.norm(x, f"{block}.ln_2"), f"{block}.mlp.0")
            y = np.array(
                [[v * (1 + math.erf(v / 2**0.5)) / 2 for v in row] for row in y]
            )
            x = x + self.dense(y, f"{block}.mlp.3")
        return self.dense(self.norm(x, "encoder.ln"), "heads.head")[0], kept

    def gradient(self, image: np.ndarray, target: int, name: str) -> np.ndarray:
        """The logit's derivative with respect to an activation, by differences."""
        shape, step = self.run(image)[1][name].shape, 1e-5
        out = np.zeros(shape)
        for place in np.ndindex(shape):
            change = np.zeros(shape)
            change[place] = step
            above = self.run(image, {name: change})[0][target]
            below = self.run(image, {name: -change})[0][target]
            out[place] = (above - below) / (2 * step)
        return out

    def patches(self, image: np.ndarray) -> np.ndarray:
        kernel, p = self.tensors["conv_proj.weight"], self.patch
        rows, columns = image.shape[0] // p, image.shape[1] // p
        cells = [
            image[i * p : (i + 1) * p, j * p : (j + 1) * p]
            for i in range(rows)
            for j in range(columns)
        ]
        projected = [np.einsum("hwc,ochw->o", cell, kernel) for cell in cells]
        return np.array(projected) + self.tensors["conv_proj.bias"]

    def attend(self, x: np.ndarray, name: str, keep) -> np.ndarray:
        weight, bias = (self.tensors[f"{name}.in_proj_{x}"] for x in ("weight", "bias"))
        c = x.shape[1]
        parts = [
            x @ weight[k * c : (k + 1) * c].T + bias[k * c : (k + 1) * c]
            for k in range(3)
        ]
        d = c // self.num_heads
        heads = [
            [p[:, h * d : (h + 1) * d] for p in parts] for h in range(self.num_heads)
        ]
        weights = keep(np.array([softmax(q @ k.T / d**0.5) for q, k, _ in heads]))
        read = [w @ v for w, (_, _, v) in zip(weights, heads, strict=True)]
        return self.dense(np.concatenate(read, axis=1), f"{name}.out_proj")

    def norm(self, x: np.ndarray, name: str) -> np.ndarray:
        scaled = [(row - row.mean()) / (row.var() + 1e-6) ** 0.5 for row in x]
        scale, shift = (self.tensors[f"{name}.{x}"] for x in ("weight", "bias"))
        return np.array(scaled) * scale + shift

    def dense(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]


def softmax(scores: np.ndarray) -> np.ndarray:
    out = np.exp(scores)
    for row in out:
        row /= row.sum()
    return out
