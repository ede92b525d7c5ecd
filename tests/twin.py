"""The network of the oracles in JAX, for methods that need its derivative."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from tests.oracles.network import Network


def network(num_channels: int = 4) -> Network:
    """Some weights, in double precision."""
    draw = np.random.default_rng(0).normal
    d = num_channels
    return Network(draw(size=(3, d)), draw(size=d), draw(size=(d, 5)))


def twin(net: Network) -> Callable[[jax.Array], jax.Array]:
    """The same function of a batch; its site is `relu:0`."""

    def model(x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        pooled = x.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4))
        a = jax.nn.relu(jnp.einsum("nijc,cd->nijd", pooled, net.kernel) + net.bias)
        return a.mean((1, 2)) @ net.head

    return model
