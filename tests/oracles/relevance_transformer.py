"""Relevance through a vision transformer, token by token, for one image."""

import math

import numpy as np

from tests.oracles.vit import ViT, softmax


def divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return above / np.where(below < 0, below - 1e-9, below + 1e-9)


class Relevance(ViT):
    """The relevance of each block's attention, `a t t`, first block first."""

    def relevances(self, image: np.ndarray, start: np.ndarray) -> list[np.ndarray]:
        """From the relevance of the logits down."""
        x = np.concatenate([self.tensors["class_token"][0], self.patches(image)])
        x = x + self.tensors["encoder.pos_embedding"][0]
        kept = []
        for index in range(self.depth):
            kept.append(block := self.forward(x, index))
            x = block["after"]
        down = np.zeros_like(x)
        first = self.norm(x, "encoder.ln")[:1]
        down[:1] = self.plus(first, "heads.head", start[None])
        found = []
        for index, block in reversed(list(enumerate(kept))):
            attention, down = self.backward(block, index, down)
            found.insert(0, attention)
        return found

    def forward(self, x: np.ndarray, index: int) -> dict[str, np.ndarray]:
        """All that a block computes."""
        name = f"encoder.layers.encoder_layer_{index}"
        k = {"x": x, "normed": self.norm(x, f"{name}.ln_1")}
        weight = self.tensors[f"{name}.self_attention.in_proj_weight"]
        parts = k["normed"] @ weight.T
        parts = parts + self.tensors[f"{name}.self_attention.in_proj_bias"]
        t, c = x.shape
        split = parts.reshape(t, 3, self.num_heads, c // self.num_heads)
        k["q"], k["k"], k["v"] = (split[:, j].swapaxes(0, 1) for j in range(3))
        scores = [q @ key.T for q, key in zip(k["q"], k["k"], strict=True)]
        k["scores"] = np.array(scores)
        size = (c // self.num_heads) ** 0.5
        k["attention"] = np.array([softmax(each / size) for each in scores])
        k["heads"] = k["attention"] @ k["v"]
        k["read"] = k["heads"].swapaxes(0, 1).reshape(t, c)
        k["attended"] = self.dense(k["read"], f"{name}.self_attention.out_proj")
        k["middle"] = x + k["attended"]
        k["normed again"] = self.norm(k["middle"], f"{name}.ln_2")
        hidden = self.dense(k["normed again"], f"{name}.mlp.0")
        curve = [[v * (1 + math.erf(v / 2**0.5)) / 2 for v in row] for row in hidden]
        k["hidden"] = np.array(curve)
        k["mlp"] = self.dense(k["hidden"], f"{name}.mlp.3")
        k["after"] = k["middle"] + k["mlp"]
        return k

    def backward(self, k, index: int, down: np.ndarray):
        """The relevance of a block's attention, and of what it reads."""
        name = f"encoder.layers.encoder_layer_{index}"
        skip, mlp = balanced(k["middle"], k["mlp"], down)
        mlp = self.plus(k["hidden"], f"{name}.mlp.3", mlp)
        middle = skip + self.plus(k["normed again"], f"{name}.mlp.0", mlp)
        skip, attended = balanced(k["x"], k["attended"], middle)
        read = self.plus(k["read"], f"{name}.self_attention.out_proj", attended)
        t, c = read.shape
        read = read.reshape(t, self.num_heads, -1).swapaxes(0, 1)
        attention, v = np.zeros_like(k["attention"]), np.zeros_like(k["v"])
        q, key = np.zeros_like(v), np.zeros_like(v)
        for a, i, j in np.ndindex(attention.shape):
            share = divided(read[a, i], k["heads"][a, i])
            parts = k["attention"][a, i, j] * k["v"][a, j] * share / 2
            attention[a, i, j] = parts.sum()
            v[a, j] += parts
        for a, i, j in np.ndindex(attention.shape):
            share = divided(attention[a, i, j], k["scores"][a, i, j])
            parts = k["q"][a, i] * k["k"][a, j] * share / 2
            q[a, i] += parts
            key[a, j] += parts
        joined = np.stack([part.swapaxes(0, 1) for part in (q, key, v)], axis=1)
        weight = self.tensors[f"{name}.self_attention.in_proj_weight"]
        below = plus(k["normed"], weight, joined.reshape(t, 3 * c))
        return attention, skip + below

    def plus(self, inputs, name: str, relevance) -> np.ndarray:
        """A dense layer's inputs' relevance."""
        return plus(inputs, self.tensors[f"{name}.weight"], relevance)


def plus(inputs, weight, relevance) -> np.ndarray:
    out = np.zeros_like(inputs)
    for row, x in enumerate(inputs):
        parts = np.maximum(weight * x, 0)
        share = divided(relevance[row], parts.sum(1))
        out[row] = (parts * share[:, None]).sum(0)
    return out


def balanced(one, other, relevance) -> tuple[np.ndarray, np.ndarray]:
    share = divided(relevance, one + other)
    parts = [one * share, other * share]
    sizes = [abs(part.sum()) for part in parts]
    a, b = (
        part * (size / sum(sizes) * relevance.sum() / part.sum())
        for part, size in zip(parts, sizes, strict=True)
    )
    return a, b


def transformer_attribution(
    relevances: list[np.ndarray], gradients: list[np.ndarray]
) -> np.ndarray:
    """The matrix `t t` of who takes how much of whom."""
    rollout = np.eye(relevances[0].shape[-1])
    for relevance, gradient in zip(relevances, gradients, strict=True):
        mean = np.maximum(relevance * gradient, 0).mean(axis=0)
        rollout = (np.eye(len(mean)) + mean) @ rollout
    return rollout
