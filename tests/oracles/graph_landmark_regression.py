"""Landmarks by regression on a node's place, with loops over nodes and landmarks."""

import numpy as np


def unexplained(
    positions: np.ndarray, landmarks: np.ndarray, fitted: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Squared errors in the images asked for over those of the fitted images' mean."""
    shares = np.empty((positions.shape[1], landmarks.shape[1]))
    for v, k in np.ndindex(*shares.shape):
        seen = ~np.isnan(landmarks[:, k, 0])
        whole = np.column_stack([np.ones(len(positions)), positions[:, v]])
        here, there = fitted & seen, asked & seen
        map_, *_ = np.linalg.lstsq(whole[here], landmarks[here, k], rcond=None)
        errors = landmarks[there, k] - whole[there] @ map_
        motion = landmarks[there, k] - landmarks[here, k].mean(0)
        shares[v, k] = (errors**2).sum() / (motion**2).sum()
    return shares
