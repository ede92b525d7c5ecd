import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from xattr.decoder import _discriminator
from xattr.decoder._discriminator import discriminate


def images(seed):
    return jax.random.uniform(jax.random.key(seed), (4, 16, 16, 3))


def test_there_is_a_logit_for_each_patch_and_it_sees_little_more():
    learner = _discriminator.begin(nnx.Rngs(0))
    whole = jnp.zeros((1, 64, 64, 3))
    before = discriminate(learner.params, whole)
    after = discriminate(learner.params, whole.at[:, 0, 0].set(1.0))
    assert before.shape == (1, 8, 8, 1)
    changed = np.argwhere(np.asarray(before != after)[0, ..., 0])
    assert len(changed)
    assert changed.max() < 4


def test_it_learns_to_tell_the_two_apart_once_it_has_begun():
    learner = _discriminator.begin(nnx.Rngs(0))
    learn = jax.jit(_discriminator.learn)
    kept = 0.5 * images(1)
    still, first = learn(learner, images(0), kept, begun=jnp.array(False))
    for new, old in zip(jax.tree.leaves(still), jax.tree.leaves(learner), strict=True):
        np.testing.assert_array_equal(new, old)
    last = first
    for _ in range(15):
        learner, last = learn(learner, images(0), kept, begun=jnp.array(True))
    assert last["discriminator_loss"] < 0.8 * first["discriminator_loss"]
