"""Small classifiers and pictures to train decoders on."""

import jax
import jax.numpy as jnp
from flax import nnx

import xattr


class Small(nnx.Module):
    """Two convolutions, one of them normalized by the batch, a mean and a head."""

    def __init__(self, seed=0, *, num_classes=3):
        rngs = nnx.Rngs(seed)
        self.first = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, momentum=0.9, rngs=rngs)
        self.second = nnx.Conv(4, 5, (3, 3), strides=2, rngs=rngs)
        self.head = nnx.Linear(5, num_classes, rngs=rngs)

    def __call__(self, images):
        x = nnx.relu(self.norm(self.first(images)))
        return self.head(nnx.relu(self.second(x)).mean((1, 2)))


def colours() -> xattr.Model:
    """Red against green, by how much of either is seen in places of 3x3 pixels."""
    mixing = jnp.array([[1.0, -1.0], [-1.0, 1.0], [-0.5, -0.5]])
    return xattr.Model(_coloured, jnp.broadcast_to(mixing / 9, (3, 3, 3, 2)))


def _coloured(kernel, images):
    seen = jax.lax.conv_general_dilated(
        images, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return 0.5 * jax.nn.relu(seen - 0.3).sum((1, 2))


def planted(seed: int, n: int, *, size: int = 16, patch: int = 5):
    """Grey noise with a red or a green square: images, classes, where the square is."""
    keys = jax.random.split(jax.random.key(seed), 4)
    noise = 0.5 + 0.1 * jax.random.normal(keys[0], (n, size, size, 1))
    labels = jax.random.randint(keys[1], (n,), 0, 2)
    rows, columns = jax.random.randint(keys[2], (2, n, 1, 1), 0, size - patch + 1)
    near = jnp.arange(size)[None, :, None], jnp.arange(size)[None, None, :]
    inside = [
        (axis >= start) & (axis < start + patch)
        for axis, start in zip(near, (rows, columns), strict=True)
    ]
    where = (inside[0] & inside[1])[..., None]
    colour = jnp.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1]])[labels][:, None, None]
    images = jnp.where(where, colour, jnp.clip(noise, 0.0, 1.0))
    return images, labels, where[..., 0]
