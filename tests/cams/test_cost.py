"""What lies below a site is evaluated once, and never differentiated."""

import functools

import jax
import pytest

import xattr
from tests import networks

TOGETHER = ("grad_cam", "hires_cam", "layer_cam", "xgrad_cam")
METHODS = {
    "cam": xattr.cam,
    "grad_cam": xattr.grad_cam,
    "grad_cam_plus_plus": xattr.grad_cam_plus_plus,
    "hires_cam": xattr.hires_cam,
    "layer_cam": xattr.layer_cam,
    "grad_cam_elementwise": xattr.grad_cam_elementwise,
    "xgrad_cam": xattr.xgrad_cam,
    "eigen_cam": xattr.eigen_cam,
    "shapley_cam": xattr.shapley_cam,
    "several at once": functools.partial(xattr.gradient_cams, methods=TOGETHER),
}


def multiply_adds(function, *arguments):
    compiled = jax.jit(function).lower(*arguments).compile()
    analysis = compiled.cost_analysis()
    assert analysis is not None
    return analysis["flops"]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_map_costs_about_one_forward_pass(key, method):
    net, images = networks.tiny_convnet(key, channels=(16, 32)), networks.images(4)
    forward = multiply_adds(lambda net, x: net(x), net, images)

    def maps(net, x):
        return method(net, x, site="relu:1", chunk_size=4)

    assert multiply_adds(maps, net, images) < 1.2 * forward
    gradient = multiply_adds(lambda net, x: xattr.gradient(net, x), net, images)
    assert gradient > 1.4 * forward
