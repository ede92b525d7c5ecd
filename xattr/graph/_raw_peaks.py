"""Raw peaks: a channel as one detector, which nodes are compared with."""

import jax
import jax.numpy as jnp

from xattr.graph._graph import Features, Placement


@jax.jit
def raw_peaks(features: Features) -> Placement:
    r"""Where each channel is most active: the filter itself as detector of one part.

    $$ p_d = \arg\max_p A_{pd}, \qquad S_d = \max_p A_{pd} $$

    Args:
      features: of a site in images.

    Returns:
      One node per channel, `nodes_per_channel=1`: the cell of the highest activation,
      the first one row by row where several are the highest, and its activation, which
      is both score and peak. A channel that is nowhere active is at the first cell,
      with score 0.

    Example:
      >>> features = Features(jnp.array([[[[0.0], [3.0]]]]), jnp.array([2.0]))
      >>> placement = raw_peaks(features)
      >>> placement.positions.tolist(), placement.scores.tolist()
      ([[[0.0, 1.0]]], [[6.0]])

    References:
      [zhou2015object]; [zhang2018interpreting].

    Notes:
      Scores are in the units of the features, and not divided by their mean: what ranks
      the images of a node does not depend on it.
    """
    i, _, w, d = features.levels.shape
    flat = features.levels.reshape(i, -1, d)
    rows, columns = jnp.divmod(flat.argmax(1), w)
    positions = jnp.stack([rows, columns], axis=-1).astype(features.step.dtype)
    values = flat.max(1).astype(features.step.dtype) * features.step[None]
    return Placement(positions, values, values)
