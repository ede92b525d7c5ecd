"""Trained decoders in memory and on disk."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from xattr.decoder._architecture import Architecture
from xattr.decoder._decoder import Decoder
from xattr.decoder._trained import Trained, load, save

FORM = Architecture(
    ("deep", "skip"),
    ((2, 3, 5), (4, 6, 4)),
    (8, 12),
    channels=(4, 2),
    output="selector",
    num_classes=3,
)


@pytest.fixture(scope="module")
def trained():
    def drawn():
        return nnx.state(Decoder(FORM, rngs=nnx.Rngs(7)))

    return Trained(FORM, jax.jit(drawn)())


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("decoder") / "one"
    save(trained, path, about={"model": "tiny", "size": [8, 12]})
    return path


def test_what_was_written_is_read(trained, folder):
    found, about = load(folder)
    assert about == {"model": "tiny", "size": [8, 12]}
    assert found.architecture == FORM
    assert jax.tree.structure(found) == jax.tree.structure(trained)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(trained), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_a_pytree_of_its_parameters(trained):
    leaves, structure = jax.tree.flatten(trained)
    assert len(leaves) == len(jax.tree.leaves(trained.params))
    twice = jax.tree.unflatten(structure, [2 * x for x in leaves])
    assert hash(structure) == hash(jax.tree.structure(twice))
    kernel = twice.decoder.kernel[...]
    np.testing.assert_array_equal(kernel, 2 * trained.decoder.kernel[...])
    assert repr(trained) == f"Trained(deep, skip, <{len(leaves)} arrays>)"


def test_a_folder_that_is_there_is_not_written_over(trained, folder):
    with pytest.raises(ValueError, match="is there; a new folder is needed"):
        save(trained, folder)


def test_nothing_to_read_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no saliency decoder"):
        load(tmp_path)


def test_another_architecture_is_refused(folder):
    assert load(folder, architecture=FORM)[0].architecture == FORM
    other = dataclasses.replace(FORM, channels=(8, 2))
    with pytest.raises(
        ValueError, match=r"channels \(4, 2\) instead of \(8, 2\).*take it as it is"
    ):
        load(folder, architecture=other)


def test_arrays_of_another_architecture_are_refused(folder, tmp_path):
    facts = folder / "facts" / "metadata"
    written = facts.read_text()
    changed = json.loads(written)
    changed["architecture"]["channels"] = [4, 4]
    facts.write_text(json.dumps(changed))
    try:
        with pytest.raises(
            ValueError,
            match=r"'blocks/1/kernel' is \[4, 4, 4, 2\], expected \[4, 4, 4, 4\]",
        ):
            load(folder)
    finally:
        facts.write_text(written)
    assert jnp.isfinite(load(folder)[0].decoder.bias[...]).all()
