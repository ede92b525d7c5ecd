"""Maps of a small network with chosen weights: its gradient, written out."""

import numpy as np


def gradient(weights: list[np.ndarray], image: np.ndarray, target: int) -> np.ndarray:
    """Of output `target` of dense layers, 0.2 times what is negative between them."""
    states = [image]
    for w in weights[:-1]:
        state = states[-1] @ w
        states.append(np.where(state > 0, state, 0.2 * state))
    signal = weights[-1][:, target]
    for w, state in zip(weights[-2::-1], states[:0:-1], strict=True):
        signal = w @ (signal * np.where(state > 0, 1, 0.2))
    return signal


def randomized(
    weights: list[np.ndarray], new: list[np.ndarray], order: str
) -> list[list[np.ndarray]]:
    """The weights of each stage."""
    count = len(weights)
    stages = []
    for s in range(count):
        if order == "cascading":
            chosen = range(count - 1 - s, count)
        elif order == "bottom_up":
            chosen = range(s + 1)
        else:
            chosen = [count - 1 - s]
        stages.append([new[i] if i in chosen else weights[i] for i in range(count)])
    return stages
