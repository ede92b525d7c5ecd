"""An order of things in which neighbors are alike."""

import numpy as np
from jaxtyping import Float


def seriation(similarity: Float[np.ndarray, "m m"]) -> list[int]:
    """Order that puts similar things beside each other.

    Groups are merged by average linkage, the most similar two first; of the four ways
    to join two rows end to end, the one with the most similar ends at the seam is
    taken.

    Args:
      similarity: larger is more alike; not a number counts as 0.

    Returns:
      Indices, each once.

    Example:
      >>> near = np.array([[1, 0, 0.9], [0, 1, 0.2], [0.9, 0.2, 1]])
      >>> seriation(near)
      [0, 2, 1]
    """
    similarity = np.nan_to_num(np.asarray(similarity, float))
    groups = [[index] for index in range(len(similarity))]
    while len(groups) > 1:
        _, first, second = max(
            (similarity[np.ix_(groups[i], groups[j])].mean(), -i, -j)
            for i in range(len(groups))
            for j in range(i + 1, len(groups))
        )
        left, right = groups[-first], groups.pop(-second)
        groups[-first] = max(
            (a + b for a in (left, left[::-1]) for b in (right, right[::-1])),
            key=lambda row: similarity[row[len(left) - 1], row[len(left)]],
        )
    return groups[0] if groups else []
