import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import xattr
from tests import networks
from tests.oracles import cams_score_cam as oracles
from xattr.program import live_bytes

SITE = "relu:1"
DOUBLE = {"dtype": jnp.float64}


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def check(key, method, oracle, score):
    """A method's maps are those of its oracle, with a fill that is no constant."""
    model = networks.tiny_convnet(key, dtype=jnp.float64)
    x = networks.images(2, **DOUBLE)
    fill = 0.1 * networks.images(2, seed=1, **DOUBLE)
    found = method(model, x, [1, 3], site=SITE, baseline=fill, relu=False, chunk_size=5)
    activations = xattr.record(model, x, SITE)[SITE]
    run = jax.jit(lambda pixels, target: score(model(pixels), target))
    for n, target in enumerate([1, 3]):

        def number(pixels, target=target):
            return float(run(pixels[None], np.array([target]))[0])

        image, a, own = (np.array(v[n]) for v in (x, activations, fill))
        expected = oracle(number, image, a, own, n)
        np.testing.assert_allclose(found[n], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("variant", ["paper", "authors", "pytorch-grad-cam"])
def test_it_is_the_loop_over_channels(double, key, variant):
    score = xattr.logit if variant == "pytorch-grad-cam" else xattr.probability
    method = functools.partial(xattr.score_cam, variant=variant, resize="bilinear")

    def oracle(score, image, a, fill, n):
        return oracles.score_cam(score, image, a, fill, variant)

    check(key, method, oracle, score)


def test_with_noisy_masks(double, key):
    keys = jax.random.split(jax.random.key(8), 2)
    method = functools.partial(xattr.ss_cam, num_samples=3, stddev=0.7, key=keys)

    def oracle(score, image, a, fill, n):
        folded = [jax.random.fold_in(keys[n], s) for s in range(18)]
        draws = [jax.random.normal(own, (12, 12)) for own in folded]
        noise = 0.7 * np.reshape(draws, (6, 3, 12, 12))
        return oracles.ss_cam(score, image, a, fill, noise)

    check(key, method, oracle, xattr.logit)


def test_with_masks_that_fade_in(double, key):
    def oracle(score, image, a, fill, n):
        return oracles.is_cam(score, image, a, fill, 4)

    check(key, functools.partial(xattr.is_cam, num_steps=4), oracle, xattr.logit)


@pytest.mark.parametrize(
    "method",
    [
        functools.partial(xattr.ss_cam, num_samples=2, stddev=0.0),
        functools.partial(xattr.is_cam, num_steps=1),
    ],
)
def test_without_noise_or_steps_it_is_score_cam(key, method):
    net, images = networks.tiny_convnet(key), networks.images(2)
    found = method(net, images, site=SITE, key=key)
    plain = xattr.score_cam(net, images, site=SITE, score=xattr.logit)
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-6)


def most_varying(a, count):
    """The channels that vary most, in their order."""
    return a[..., np.sort(np.argsort(-a.std(axis=(0, 1)))[:count])]


@pytest.mark.parametrize("variant", ["paper", "authors", "pytorch-grad-cam"])
def test_few_channels_are_a_site_without_the_others(double, key, variant):
    score = xattr.logit if variant == "pytorch-grad-cam" else xattr.probability
    options = {"variant": variant, "resize": "bilinear", "num_channels": 3}

    def oracle(score, image, a, fill, n):
        return oracles.score_cam(score, image, most_varying(a, 3), fill, variant)

    check(key, functools.partial(xattr.score_cam, **options), oracle, score)


def test_few_channels_with_noisy_masks(double, key):
    keys = jax.random.split(jax.random.key(8), 2)
    options = {"num_samples": 2, "num_channels": 3, "key": keys}

    def oracle(score, image, a, fill, n):
        folded = [jax.random.fold_in(keys[n], s) for s in range(6)]
        draws = [jax.random.normal(own, (12, 12)) for own in folded]
        noise = 2 * np.reshape(draws, (3, 2, 12, 12))
        return oracles.ss_cam(score, image, most_varying(a, 3), fill, noise)

    check(key, functools.partial(xattr.ss_cam, **options), oracle, xattr.logit)


def test_few_channels_that_fade_in(double, key):
    def oracle(score, image, a, fill, n):
        return oracles.is_cam(score, image, most_varying(a, 3), fill, 2)

    method = functools.partial(xattr.is_cam, num_steps=2, num_channels=3)
    check(key, method, oracle, xattr.logit)


@pytest.mark.parametrize("method", [xattr.score_cam, xattr.ss_cam, xattr.is_cam])
def test_more_channels_than_there_are_is_all(key, method):
    net, images = networks.tiny_convnet(key), networks.images(2)
    options = {"site": SITE, "key": key}
    many = method(net, images, num_channels=100, **options)
    np.testing.assert_allclose(many, method(net, images, **options), rtol=1e-6)


def test_no_channels_are_refused(key):
    net, images = networks.tiny_convnet(key), networks.images(1)
    with pytest.raises(ValueError, match="`num_channels`=0"):
        xattr.score_cam(net, images, site=SITE, num_channels=0)


def last_pixel(x):
    """Two channels, the second constant, and a score that is the last pixel's first."""
    x = jax.nn.relu(x)
    return x[:, -1, -1, :1] * 1.0


def test_a_constant_channel_has_an_empty_mask():
    x = jnp.array([[[[0.0, 5.0], [2.0, 5.0]]]])
    options = {"site": "relu:0", "axes": "nhwc", "score": xattr.logit}
    # Channel 0 shows the last pixel, channel 1 nothing: scores 2 and 0.
    found = xattr.score_cam(last_pixel, x, [0], **options)
    share = jax.nn.sigmoid(2.0)
    expected = share * x[..., 0] + (1 - share) * x[..., 1]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    authors = xattr.score_cam(last_pixel, x, [0], variant="authors", **options)
    np.testing.assert_allclose(authors, 2 * x[..., 0], rtol=1e-6)


def test_a_score_and_a_resize_rule_override_the_variants(key):
    net, images = networks.tiny_convnet(key), networks.images(2)
    options = {"site": SITE, "score": xattr.logit, "resize": "nearest"}
    papers = xattr.score_cam(net, images, variant="paper", **options)
    peers = xattr.score_cam(net, images, variant="pytorch-grad-cam", **options)
    np.testing.assert_array_equal(papers, peers)
    assert not jnp.allclose(papers, xattr.score_cam(net, images, site=SITE))


def test_channels_first_inside(key):
    net, images = networks.tiny_convnet(key), networks.images(2)

    def first(x):
        return net(x.transpose(0, 3, 1, 2).transpose(0, 2, 3, 1))

    np.testing.assert_allclose(
        xattr.score_cam(first, images, site=SITE),
        xattr.score_cam(net, images, site=SITE),
        rtol=1e-5,
    )


def test_a_chunk_holds_masks_of_its_own_alone(key):
    """Neither masks nor masked images of all channels, nor a site for each of them."""
    net, images = networks.tiny_convnet(key, channels=(4, 64)), networks.images(3)
    found = functools.partial(xattr.score_cam, net, site=SITE, chunk_size=2)
    each = live_bytes(net, images[:2])
    assert live_bytes(found, images) < 4 * each
    assert live_bytes(found, images) < images.size * 64 * 4


def test_one_trace_for_all_images(key):
    net = networks.tiny_convnet(key)
    traced = jax.jit(
        chex.assert_max_traces(1)(
            lambda x: xattr.score_cam(net, x, site=SITE, variant="authors")
        )
    )
    for seed in range(2):
        traced(networks.images(2, seed=seed))


def test_what_it_refuses(key):
    net, images = networks.tiny_convnet(key), networks.images(1)
    with pytest.raises(ValueError, match="`variant`='mine' is none of the published"):
        xattr.score_cam(net, images, site=SITE, variant="mine")
    with pytest.raises(ValueError, match="`stddev`=-1.0; it must be at least 0"):
        xattr.ss_cam(net, images, site=SITE, stddev=-1.0, key=key)
    with pytest.raises(ValueError, match="`num_samples`=0; it must be at least 1"):
        xattr.ss_cam(net, images, site=SITE, num_samples=0, key=key)
    with pytest.raises(ValueError, match="`num_steps`=0; it must be at least 1"):
        xattr.is_cam(net, images, site=SITE, num_steps=0)
    with pytest.raises(ValueError, match="need images `n h w c`"):
        xattr.score_cam(net, images[0], site=SITE)
    resize = "cubic"
    with pytest.raises(ValueError, match="`method`='cubic' is unknown"):
        xattr.score_cam(net, images, site=SITE, resize=resize)  # pyright: ignore
