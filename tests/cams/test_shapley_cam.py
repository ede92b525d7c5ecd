import jax
import jax.numpy as jnp
import numpy as np

import xattr
from tests import networks
from tests.oracles import cams as oracles

MIX = np.random.default_rng(0).normal(size=(12, 12))


def upper(a):
    """A head whose second derivatives link all cells and channels."""
    flat = a.reshape(len(a), -1)
    return (jnp.sin(flat @ MIX) * jnp.tanh(flat)).sum(1)[:, None]


def test_it_is_the_formula_with_the_whole_hessian():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 2, 3, 2)))
        found = xattr.shapley_cam(
            lambda x: upper(jnp.cos(x)),
            x,
            site="cos:0",
            axes="nhwc",
            score=xattr.logit,
            relu=False,
        )
        for n in range(2):

            def score(flat):
                return upper(flat.reshape(1, 2, 3, 2))[0, 0]

            a = np.cos(x[n])
            g = np.array(jax.grad(score)(a.ravel())).reshape(a.shape)
            hessian = np.array(jax.hessian(score)(a.ravel()))
            expected = oracles.shapley_cam(a, g, hessian)
            np.testing.assert_allclose(found[n], expected, rtol=1e-9, atol=1e-10)


def test_above_an_affine_head_the_logit_gives_grad_cam(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    found = xattr.shapley_cam(net, images, site="relu:1", score=xattr.logit)
    plain = xattr.grad_cam(net, images, site="relu:1")
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-6)


def test_its_own_score_adds_curvature(key):
    net, images = networks.tiny_convnet(key), networks.images(1)
    found = xattr.shapley_cam(net, images, [1], site="relu:1", relu=False)
    plain = xattr.grad_cam(
        net, images, [1], site="relu:1", relu=False, score=xattr.rest
    )
    a = np.array(xattr.record(net, images, "relu:1")["relu:1"][0], np.float64)
    logits = np.array(net(images)[0], np.float64)
    p = np.exp(logits) / np.exp(logits).sum()
    head = np.array(net.params["head"], np.float64)
    # The logarithm of the softmax has the Hessian p p' - diag(p) in the logits.
    change = head @ ((np.outer(p, p) - np.diag(p)) @ (a.mean((0, 1)) @ head)) / 36
    curved = oracles.by_weights(a, change / 2)
    np.testing.assert_allclose(plain[0] - found[0], curved, rtol=1e-3, atol=1e-5)
    assert jnp.abs(plain - found).max() > 1e-3
