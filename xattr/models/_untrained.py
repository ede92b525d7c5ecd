"""Networks with random weights."""

from math import prod

import numpy as np

from xattr.models._convert import torch_shapes, with_tensors
from xattr.models._network import Network
from xattr.models._presets import find_preset


def untrained(name: str, *, num_classes: int = 1000, seed: int = 0) -> Network:
    r"""Return a network with random weights, for tests and for measuring speed.

    Weights are normal with variance $2 / \text{fan-in}$, which keeps the scale of
    activations through layers with ReLU; biases and running means are 0, scales and
    running variances 1, slopes of the negative parts 0.25.

    Args:
      name: one of `names()`.
      num_classes: logits.
      seed: same seed, same weights.

    Returns:
      The Flax NNX module, normalizing as that network does.

    Raises:
      ValueError: if `name` is unknown.

    Example:
      >>> import jax.numpy as jnp
      >>> network = untrained("cifar10_resnet20", num_classes=3)
      >>> network(jnp.zeros((2, 32, 32, 3))).shape
      (2, 3)

    References:
      [he2015delving], eq. 10.

    Notes:
      Drawn by NumPy: drawing layer by layer in JAX compiles a program per shape.
    """
    network = find_preset(name).abstract(num_classes)
    noise = np.random.default_rng(seed)
    return with_tensors(
        network,
        {
            name: _initial(name, shape, noise)
            for name, shape in torch_shapes(network).items()
        },
    )


def _initial(
    name: str, shape: tuple[int, ...], noise: np.random.Generator
) -> np.ndarray:
    """First value of one tensor."""
    if len(shape) > 1:
        scale = np.float32((2 / prod(shape[1:])) ** 0.5)
        return scale * noise.standard_normal(shape, np.float32)
    if name.endswith("act.weight"):
        return np.full(shape, 0.25, np.float32)
    is_one = name.endswith(("weight", "running_var"))
    return np.full(shape, is_one, np.float32)
