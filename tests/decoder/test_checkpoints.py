"""States on disk: what goes in comes out, and nothing of another training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xattr._differences import differences
from xattr.decoder._checkpoints import Checkpoints
from xattr.decoder._logs import Logs

ABOUT = {"settings": {"num_steps": 10, "weights": {"area": 1.0}}, "seed": 0}


class Carried(NamedTuple):
    step: jax.Array
    params: dict
    key: jax.Array
    none: None = None


def state(step):
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3) / 7 + step
    params = {"a/b": {"kernel": jnp.asarray(numbers)}, "half": jnp.bfloat16(step)}
    return Carried(jnp.int32(step), params, jax.random.key(step))


def test_a_state_comes_back_to_the_bit(tmp_path):
    with Checkpoints(tmp_path, ABOUT) as found:
        assert found.latest is None
        assert found.best is None
        found.save(3, state(3))
    with Checkpoints(tmp_path, ABOUT) as found:
        assert found.latest == 3
        assert found.best is None
        back = found.restore(state(0))
    assert jax.tree.structure(back) == jax.tree.structure(state(3))
    for old, new in zip(jax.tree.leaves(state(3)), jax.tree.leaves(back), strict=True):
        assert old.dtype == new.dtype
        assert jnp.array_equal(old, new)


def test_the_last_few_and_the_best_are_kept(tmp_path):
    with Checkpoints(tmp_path, ABOUT, keep=2) as found:
        for step, metric in enumerate([5.0, 1.0, 4.0, float("nan"), 3.0], 1):
            found.save(step, state(step), metric=metric)
        assert found.best == 2
    with Checkpoints(tmp_path, ABOUT, keep=2) as found:
        assert found.steps == [2, 4, 5]
        found.save(6, state(6), metric=0.5)
        assert found.best == 6
        assert int(found.restore(state(0), 5).step) == 5
    with Checkpoints(tmp_path, ABOUT, keep=2) as found:
        assert found.steps == [5, 6]
        with pytest.raises(FileNotFoundError, match=r"after step 2; it has \[5, 6\]"):
            found.restore(state(0), 2)


def test_a_state_is_copied_before_its_buffers_are_given_away(tmp_path):
    changing = {"x": np.zeros(200_000, np.float32)}
    with Checkpoints(tmp_path, {}) as found:
        found.save(1, changing)
        changing["x"][:] = 1
        found.save(1, changing)
    with Checkpoints(tmp_path, {}) as found:
        assert not found.restore(changing)["x"].any()


def test_another_training_is_refused_with_what_differs(tmp_path):
    with Checkpoints(tmp_path, ABOUT) as found:
        found.save(1, state(1))
    other = ABOUT | {"settings": {"num_steps": 20, "weights": {"area": 1.0}}}
    with pytest.raises(ValueError, match="settings.num_steps: 10 there, 20 here"):
        Checkpoints(tmp_path, other)


def test_other_arrays_are_refused_with_what_differs(tmp_path):
    with Checkpoints(tmp_path, ABOUT) as found:
        found.save(1, state(1))
        wider = state(1)
        wider.params["a/b"]["kernel"] = jnp.zeros((2, 4))
        message = r"another architecture: .*float32\(2, 3\)' there, 'float32\(2, 4\)' "
        with pytest.raises(ValueError, match=message):
            found.restore(wider)


def test_keep_is_positive(tmp_path):
    with pytest.raises(ValueError, match="`keep`=0"):
        Checkpoints(tmp_path, ABOUT, keep=0)


def test_differences_of_lists():
    assert differences({"a": [1, 2]}, {"a": [1, 2]}) == []
    assert differences({"a": [1]}, {"a": [2]}) == ["a: [1] there, [2] here"]


def test_rows_after_the_checkpoint_are_cut_off(tmp_path):
    with Logs(tmp_path) as logs:
        for step in (10, 20, 30):
            logs.write(step, {"total": step / 8, "finite": True})
    path = tmp_path / "losses.csv"
    whole = path.read_text()
    assert whole.splitlines()[:2] == ["step,total,finite", "10,1.25,1.0"]
    path.write_text(whole + "40,5.0")  # cut short
    with Logs(tmp_path, step=20) as logs:
        logs.write(30, {"finite": jnp.array(True), "total": np.float32(30 / 8)})
    assert path.read_text() == whole
    with Logs(tmp_path, step=0) as logs, pytest.raises(ValueError, match="the columns"):
        logs.write(10, {"loss": 1.0})


class Recorder:
    """In place of tensorboardX's writer."""

    written: list = []

    def __init__(self, folder, purge_step):
        self.written.append(("open", folder.rpartition("/")[2], purge_step))

    def add_scalar(self, *values):
        self.written.append(values)

    def close(self):
        self.written.append("close")


def test_events_for_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setattr(Recorder, "written", [])
    module = type("module", (), {"SummaryWriter": Recorder})
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", module)
    with Logs(tmp_path, step=4, tensorboard=True) as logs:
        logs.write(5, {"total": 2.0})
    assert Recorder.written == [("open", "tensorboard", 5), ("total", 2.0, 5), "close"]


def test_tensorboard_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'xattr-jax\[logs\]'"):
        Logs(tmp_path, tensorboard=True)
