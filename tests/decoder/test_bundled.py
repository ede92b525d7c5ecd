"""The decoder that the package brings along, on its own photographs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr import models
from xattr.data import read_image
from xattr.decoder import BUNDLED, bundled, decode
from xattr.decoder._bundled import bundled_file


def test_nothing_of_the_machine_is_in_it():
    for name in BUNDLED:
        content = bundled_file(name).read_bytes()
        assert len(content) < 1_000_000
        for place in (b"/home", b"/tmp", b"/root", b"/work"):
            assert place not in content


def test_a_network_without_one_is_told():
    with pytest.raises(ValueError, match="along for mobilenet_v2 only"):
        bundled("squeezenet1_1")


@pytest.mark.slow
def test_what_it_keeps_is_worth_more_than_what_it_hides():
    found = models.load("mobilenet_v2")
    photographs = map(read_image, models.photographs())
    images = jnp.stack([found.preprocess(image) for image in photographs])
    masks = decode(found.model, images, decoder=bundled("mobilenet_v2"))
    assert 0.25 < masks.mean() < 0.55
    assert ((masks == 0).mean((1, 2, 3)) > 0.02).all()
    classes = found.model(images).argmax(1)

    def probability(images):
        return jax.nn.softmax(found.model(images))[np.arange(len(images)), classes]

    clean = probability(images)
    kept, hidden = probability(images * masks), probability(images * (1 - masks))
    moved = probability(images * jnp.roll(masks, 112, axis=(1, 2)))
    assert (kept / clean).mean() > 0.6
    assert (hidden / clean).mean() < 0.6 * (kept / clean).mean()
    assert (moved / clean).mean() < 0.6 * (kept / clean).mean()
