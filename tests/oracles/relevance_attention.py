"""Attention followed through the layers, as whole matrices, for one image.

Each function takes the attention `a t t` of every layer, first layer first, and returns
the matrix `t t` of who takes how much of whom.
"""

import numpy as np


def attention_rollout(
    attentions: list[np.ndarray], fuse=np.mean, discard_ratio: float = 0.0
) -> np.ndarray:
    rollout = np.eye(attentions[0].shape[-1])
    for attention in attentions:
        fused = fuse(attention, axis=0).copy()
        flat = fused.ravel()
        for place in np.argsort(flat, kind="stable")[: int(flat.size * discard_ratio)]:
            if place != 0:
                flat[place] = 0
        mixed = 0.5 * flat.reshape(fused.shape) + 0.5 * np.eye(len(fused))
        for row in mixed:
            row /= row.sum()
        rollout = mixed @ rollout
    return rollout


def generic_attention(
    attentions: list[np.ndarray], gradients: list[np.ndarray]
) -> np.ndarray:
    relevance = np.eye(attentions[0].shape[-1])
    for attention, gradient in zip(attentions, gradients, strict=True):
        mean = np.maximum(attention * gradient, 0).mean(axis=0)
        relevance = relevance + mean @ relevance
    return relevance
