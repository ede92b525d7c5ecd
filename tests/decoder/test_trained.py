"""Trained decoders in memory and on disk."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

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
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("decoder") / "new" / "one.safetensors"
    save(trained, path, about={"model": "tiny", "size": [8, 12]})
    return path


def test_what_was_written_is_read(trained, file):
    found, about = load(file)
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


def test_a_file_that_is_there_is_not_written_over(trained, file):
    with pytest.raises(ValueError, match="is there; a new file is needed"):
        save(trained, file)


def test_one_file_with_nothing_of_the_machine(trained, file, tmp_path):
    assert list(file.parent.iterdir()) == [file]
    save(trained, tmp_path / "two", about={"model": "tiny", "size": [8, 12]})
    assert (tmp_path / "two").read_bytes() == file.read_bytes()


def test_nothing_to_read_is_said(file, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no file; a decoder is one"):
        load(tmp_path)
    cut = tmp_path / "cut"
    cut.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        load(cut)
    save_file({"a": np.zeros(2)}, tmp_path / "other")
    with pytest.raises(ValueError, match="holds arrays, but no saliency decoder"):
        load(tmp_path / "other")
    facts = {"about": {}, "architecture": {"colour": "red"}}
    save_file({}, tmp_path / "later", {"xattr.decoder": json.dumps(facts)})
    with pytest.raises(ValueError, match=r"another version of this package.*'colour'"):
        load(tmp_path / "later")


def test_what_cannot_be_written_leaves_nothing(trained, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        save(trained, tmp_path / "one")
    assert not list(tmp_path.iterdir())


def test_another_architecture_is_refused(file):
    assert load(file, architecture=FORM)[0].architecture == FORM
    other = dataclasses.replace(FORM, channels=(8, 2))
    with pytest.raises(
        ValueError, match=r"channels \(4, 2\) instead of \(8, 2\).*take it as it is"
    ):
        load(file, architecture=other)


def test_arrays_of_another_architecture_are_refused(trained, tmp_path):
    lying = dataclasses.replace(FORM, channels=(4, 4))
    save(Trained(lying, trained.params), tmp_path / "lying")
    with pytest.raises(
        ValueError,
        match=r"'blocks/1/kernel' is \[4, 4, 4, 2\], expected \[4, 4, 4, 4\]",
    ):
        load(tmp_path / "lying")
