"""Training from the first step to the last: broken off, gone on with, divided."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.decoder.small import Small, planted
from xattr import from_nnx
from xattr.decoder._architecture import architecture
from xattr.decoder._classifier import trainable
from xattr.decoder._fit import Diverged, _program, fit
from xattr.decoder._settings import Settings
from xattr.decoder._state import Batch
from xattr.decoder._step import init, trained

SETTINGS = Settings(
    weights={"cross_entropy": 1.0, "area": 0.5},
    fills=("mean",),
    num_steps=12,
    batch_size=4,
    learning_rate=1e-2,
)


SMALL = Small(num_classes=2)
FROZEN = from_nnx(SMALL)
ARCHITECTURE = architecture(
    FROZEN, jax.ShapeDtypeStruct((1, 16, 16, 3), "float32"), "second", channels=(4,)
)


class Planted:
    """The batch of each number, of which nothing is kept."""

    def __getitem__(self, number):
        images, labels, _ = planted(number, 4)
        arrays: Any = np.asarray(images), np.asarray(labels)
        return Batch(*arrays)


def train(classifier=None, batches=None, settings=SETTINGS, **options):
    return fit(
        FROZEN if classifier is None else classifier,
        batches or Planted(),
        architecture=ARCHITECTURE,
        settings=settings,
        **options,
    )


def equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def rows(folder):
    with (folder / "losses.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_it_takes_the_steps_one_by_one(tmp_path):
    told = {}
    found, state = train(
        folder=tmp_path,
        log_every=5,
        checkpoint_every=5,
        watch=lambda number, report: told.update({number: float(report["total"])}),
    )
    # As nothing of a batch is kept, the steps can be taken again one by one.
    program = _program(ARCHITECTURE, SETTINGS, None)
    wanted = jax.tree.map(lambda x: x.copy(), init(FROZEN, ARCHITECTURE, SETTINGS))
    for number in range(12):
        wanted, report = program(FROZEN, wanted, Planted()[number])
        assert told[number + 1] == float(report["total"])
    assert list(told) == list(range(1, 13))
    assert equal(state, wanted)
    assert equal(found, trained(state, ARCHITECTURE, SETTINGS))
    assert [row["step"] for row in rows(tmp_path)] == ["5", "10", "12"]
    assert float(rows(tmp_path)[1]["total"]) == told[10]
    steps = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert steps == [5, 10, 12]


class Pulled(Exception):
    """The plug."""


def pull(at):
    def watch(number, report):
        del report
        if number == at:
            raise Pulled

    return watch


@pytest.mark.parametrize(
    "mode", ["frozen", pytest.param("pool", marks=pytest.mark.slow)]
)
def test_broken_off_it_goes_on_to_the_same_bits(tmp_path, mode):
    settings = SETTINGS
    if mode == "pool":
        settings = replace(SETTINGS, mode="pool", pool_size=2, pool_every=2)
        settings = replace(settings, adversarial=0.1)
    classifier = FROZEN if mode == "frozen" else trainable(SMALL)

    def run(**options):
        return fit(
            classifier,
            Planted(),
            architecture=ARCHITECTURE,
            settings=settings,
            log_every=1,
            checkpoint_every=3,
            **options,
        )

    whole = run(folder=tmp_path / "whole")
    parts = tmp_path / "parts"
    for at in (2, 7):
        with pytest.raises(Pulled):
            run(folder=parts, watch=pull(at))
    seen = []
    again = run(folder=parts, watch=lambda number, report: seen.append(number))
    assert seen == [8, 9, 10, 11, 12]
    assert equal(whole, again)
    assert rows(parts) == rows(tmp_path / "whole")
    # Finished, it only tells what came of it.
    assert equal(run(folder=parts, watch=pull(1)), whole)


CHILD = """
import os, sys, jax

folder, at, plain = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
# As in these tests, so that the programs are the same, and so is the classifier, which
# is made when the tests are imported.
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_default_matmul_precision", "highest")

from tests.decoder.test_fit import train

jax.config.update("jax_disable_most_optimizations", plain)
jax.clear_caches()

def watch(number, report):
    if number >= at:
        os.kill(os.getpid(), 9)

train(folder=folder, checkpoint_every=2, log_every=1, watch=watch)
"""


def kill(folder, at):
    """Train in another process, which is killed after a step."""
    plain = jax.config.read("jax_disable_most_optimizations")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(at), str(plain)],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == -9, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kills", [[5, 10], [1, 1, 3, 4, 6, 7, 7, 9, 11, 12]])
def test_killed_it_goes_on_to_the_same_bits(tmp_path, kills):
    # What other tests have compiled otherwise would round otherwise.
    jax.clear_caches()
    options: dict[str, Any] = {"checkpoint_every": 2, "log_every": 1}
    whole = train(folder=tmp_path / "whole", **options)
    for at in kills:
        kill(tmp_path / "parts", at)
    assert equal(train(folder=tmp_path / "parts", **options), whole)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


@pytest.mark.slow
def test_devices_share_a_batch():
    assert jax.device_count() > 1
    mesh = jax.make_mesh((2,), ("batch",))
    alone, one = train()
    shared, two = train(mesh=mesh)
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(two))
    assert len(two.step.devices()) == 2
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(shared), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert int(one.step) == int(two.step) == 12


class Poisoned(Planted):
    """A pixel of one batch is not a number."""

    def __getitem__(self, number):
        batch = super().__getitem__(number)
        images = batch.images.copy()
        images[0, 0, 0, 0] = np.nan if number == 7 else images[0, 0, 0, 0]
        return batch._replace(images=images)


def test_what_is_not_finite_ends_it_with_the_last_good_state(tmp_path):
    with pytest.raises(
        Diverged, match=r"Step 8 .* total not finite\. .* step 7"
    ) as found:
        train(batches=Poisoned(), folder=tmp_path, checkpoint_every=5)
    assert found.value.step == 8
    assert int(found.value.state.step) == 7
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(found.value.trained))
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [5, 7]
    with pytest.raises(Diverged, match="is in the error"):
        train(batches=Poisoned())


def test_a_collapse_is_warned_of_once_after_the_ramp(monkeypatch):
    asked = []

    def collapsed(report):
        asked.append(report["mask_mean"])
        return "all-ones masks: raise the weight" if len(asked) > 1 else ""

    monkeypatch.setattr("xattr.decoder._fit.collapsed", collapsed)
    with pytest.warns(UserWarning, match="After step 4: all-ones masks") as found:
        train(log_every=1)
    assert len(found) == 1
    # The ramp ends with 2.4 steps: that a mask begins even and bright is no collapse.
    assert len(asked) == 10


def test_the_best_is_what_evaluate_says(tmp_path):
    scores = iter([3.0, 1.0, 2.0, 5.0])
    train(folder=tmp_path, checkpoint_every=3, keep=1, evaluate=lambda _: next(scores))
    steps = sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert steps == [6, 12]


@pytest.mark.slow
def test_the_classifiers_own_buffers_stay():
    classifier = trainable(SMALL)
    before = jax.tree.map(np.array, classifier)
    _, state = fit(
        classifier,
        Planted(),
        architecture=ARCHITECTURE,
        settings=replace(SETTINGS, mode="joint", num_steps=2),
    )
    assert equal(before, classifier)
    assert state.classifier is not None
    assert not equal(before.params, state.classifier.params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": replace(SETTINGS, seed=1)}, "settings.seed: 0 there, 1 here"),
        (
            {"classifier": from_nnx(Small(1, num_classes=2))},
            "classifier: ",
        ),
    ],
)
def test_another_training_is_not_gone_on_with(tmp_path, change, message):
    with pytest.raises(Pulled):
        train(folder=tmp_path, watch=pull(1))
    with pytest.raises(ValueError, match=message):
        train(folder=tmp_path, **change)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classifier": jnp.sin}, TypeError, "`classifier` is a"),
        ({"checkpoint_every": 0}, ValueError, "`checkpoint_every`=0"),
        ({"log_every": 0}, ValueError, "`log_every`=0"),
        (
            {"settings": replace(SETTINGS, batch_size=5)},
            ValueError,
            "a batch of 4 images, the settings say 5",
        ),
        (
            {"batches": [Planted()[0]] * 11},
            ValueError,
            "`batches` holds 11, fewer than `num_steps`=12",
        ),
        (
            {
                "classifier": trainable(SMALL),
                "settings": replace(SETTINGS, mode="joint", num_steps=1),
                "batches": [Planted()[0]._replace(labels=np.array([0, 1, -1, 0]))],
            },
            ValueError,
            r"an image without a label \(-1\), which `mode`='joint' learns from",
        ),
    ],
)
def test_wrong_calls(options, error, message):
    with pytest.raises(error, match=message):
        train(**options)


def test_without_what_writes_events_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'xattr-jax\[logs\]'"):
        train(folder=tmp_path / "trained", tensorboard=True)
    assert not (tmp_path / "trained").exists()


def test_devices_that_cannot_share_a_batch():
    mesh = jax.make_mesh((2,), ("batch",))
    with pytest.raises(ValueError, match="`mesh` has 2 devices.*`batch_size=6`"):
        train(settings=replace(SETTINGS, batch_size=5), mesh=mesh)
