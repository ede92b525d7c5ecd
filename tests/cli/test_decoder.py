"""The commands about decoders, on a small network and five photographs."""

import csv
import itertools
import json

import jax
import pytest

import xattr
from xattr.decoder import load
from xattr.run import open_run

CONFIG = """
from xattr.decoder import Config, Settings

config = Config(
    channels=(4,),
    held_out=0.4,
    checkpoint_every=2,
    quantiles=(0.2, 0.8),
    final_quantiles=(0.0, 1.0),
    settings=Settings(
        weights={"cross_entropy": 1.0, "area": 0.5},
        fills=("mean",),
        num_steps=4,
        batch_size=2,
    ),
)
"""


def apply(params, images):
    """A convolution of 4 x 4 cells, a mean, a line."""
    cells = jax.lax.conv_general_dilated(
        images,
        params["kernel"],
        (4, 4),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jax.nn.relu(cells).mean((1, 2)) @ params["head"]


@pytest.fixture
def network(tiny):
    """The command line's networks are all this one: its grid is 4 x 4."""
    first, second = jax.random.split(jax.random.key(0))
    params = {
        "kernel": jax.random.normal(first, (5, 5, 3, 8)),
        "head": jax.random.normal(second, (8, len(tiny.classes))),
    }
    tiny.model, tiny.site = xattr.from_function(apply, params), "relu:0"
    return tiny


@pytest.fixture
def train(call, network, photos, tmp_path):
    """Call `decoder train` into `tmp_path/trained`."""
    del network
    file = tmp_path / "config.py"
    file.write_text(CONFIG)

    def train(*arguments, config=file, data=photos):
        where = ("--data", data, "--config", config, "--out", tmp_path / "trained")
        return call("decoder", "train", *where, *arguments)

    return train


@pytest.mark.slow
def test_a_decoder_is_trained_shown_and_measured(
    train, network, call, photos, tmp_path
):
    done = train()
    assert done.exit_code == 0, done.output
    assert "3 photographs to train on, 2 held out." in done.output
    out = tmp_path / "trained"
    settings = json.loads((out / "decoder.json").read_text())
    assert settings["config"]["settings"]["num_steps"] == 4
    written, _ = load(out / "decoder.safetensors")
    assert written.architecture.quantiles == (0.0, 1.0)
    assert (out / "losses.csv").read_text().splitlines()[1].startswith("4,")
    before = (out / "losses.csv").read_bytes()
    assert train().exit_code == 0
    assert (out / "losses.csv").read_bytes() == before

    shown = call("decoder", "explain", out, photos, "--out", tmp_path / "shown")
    assert shown.exit_code == 0, shown.output
    run = open_run(tmp_path / "shown")
    assert run.methods == ("decoder",)
    assert run.maps["decoder"].shape == (5, 16, 16, 1)
    assert len(list((tmp_path / "shown/overlays/decoder").iterdir())) == 5
    arguments = ("--method", "decoder,gradient", "--decoder", out)
    again = call("explain", photos, *arguments, out=tmp_path / "both")
    assert again.exit_code == 0, again.output
    maps = open_run(tmp_path / "both").maps["decoder"][:]
    assert (maps == run.maps["decoder"][:]).all()

    boxes = tmp_path / "boxes.csv"
    names = ("a/x", "a/y", "b/x", "b/X", "b/ü & <b>")
    lines = [f"{name}.png,24,20,2,0,22,20" for name in names]
    boxes.write_text("\n".join(["file,width,height,x0,y0,x1,y1", *lines]))
    arguments = ("--against", "grad_cam", "--boxes", boxes, "--steps", 4)
    done = call("decoder", "evaluate", out, *arguments)
    assert done.exit_code == 0, done.output
    assert "Table, of 2 photographs" in done.output
    with (out / "evaluation.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["decoder", "grad_cam", "all ones", "centered gaussian"]
    # A pixel of 256 is hidden.
    assert float(rows["all ones"]["mean mask"]) == pytest.approx(255 / 256, abs=1e-4)
    drops = {name: float(row["drop"]) for name, row in rows.items()}
    assert drops["all ones"] < drops["centered gaussian"]
    assert float(rows["centered gaussian"]["energy in boxes"]) > 0.9
    assert float(rows["decoder"]["ms per image"]) > 0
    with (out / "differences.csv").open() as file:
        found = {(row["measure"], row["against"]): row for row in csv.DictReader(file)}
    measured = set(rows["decoder"]) - {"method", "ms per image", "forward passes"}
    assert {measure for measure, _ in found} == measured
    for name in ("grad_cam", "all ones"):
        more = found["drop", name]
        less = float(more["mean"]) - (drops["decoder"] - drops[name])
        assert abs(less) < 2e-4
        assert float(more["low"]) <= float(more["mean"]) <= float(more["high"])

    other = jax.tree.map(lambda x: 2 * x, network.model.params)
    network.model = xattr.from_function(apply, other)
    arguments = ("--method", "decoder", "--decoder", out)
    done = call("explain", photos, *arguments, out=tmp_path / "other")
    assert done.exit_code == 2
    assert "was trained on other parameters of this network" in done.output


@pytest.mark.slow
def test_a_function_of_ones_own(train, call, photos, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_network.py").write_text(
        "import jax.numpy as jnp\n"
        "from tests.cli.test_decoder import apply\n"
        "PARAMS = {'kernel': 0.1 * jnp.ones((5, 5, 3, 2)), 'head': jnp.eye(2)}\n"
        "def predict(images):\n"
        "    return apply(PARAMS, images)\n"
    )
    file = tmp_path / "own.py"
    own = "model='own_network:predict', size=16, sites=('relu:0',), channels"
    file.write_text(CONFIG.replace("channels", own.replace("relu", "rely"), 1))
    assert "sites --model own_network:predict`" in train(config=file).output
    file.write_text(CONFIG.replace("channels", own, 1))
    done = train(config=file)
    assert done.exit_code == 0, done.output
    done = call("decoder", "explain", tmp_path / "trained", photos)
    assert done.exit_code == 2
    assert "a decoder for own_network:predict; this command" in done.output
    file = tmp_path / "trained/decoder.safetensors"
    done = call("decoder", "explain", file, photos)
    assert f"load('{file}')" in done.output
    done = call("decoder", "evaluate", tmp_path / "trained", "--steps", 2)
    assert done.exit_code == 0, done.output


def test_interrupted_it_goes_on(train, tmp_path, monkeypatch):
    from xattr.decoder import _fit

    checks = itertools.count(1)

    def check(self):
        del self
        if next(checks) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xattr.cli._interruption.Interruption.check", check)
        done = train()
    assert done.exit_code == 130
    assert "goes on where this one ended" in done.output
    assert not (tmp_path / "trained/decoder.safetensors").exists()
    steps = sorted(p.name for p in (tmp_path / "trained" / _fit.CHECKPOINTS).iterdir())
    assert steps == ["2", "3"]
    assert train().exit_code == 0
    assert (tmp_path / "trained/decoder.safetensors").is_file()


def test_a_decoder_that_cannot_be_written(train, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("xattr.decoder.save", full)
        done = train()
    assert done.exit_code == 3
    assert "failed (No space left on device)" in done.output
    assert train().exit_code == 0
    assert (tmp_path / "trained/decoder.safetensors").is_file()


def test_an_unfinished_decoder_explains_nothing(train, call, photos, tmp_path):
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained/decoder.json").write_text("{}")
    done = call("decoder", "explain", tmp_path / "trained", photos)
    assert done.exit_code == 2
    assert "is not trained to the end" in done.output
    done = call("explain", photos, "--method", "decoder")
    assert done.exit_code == 2
    assert "trained on other parameters of this network" in done.output
    assert "that it has without `--weights`" in done.output
    done = call("explain", photos, "--method", "decoder", "--model", "squeezenet1_1")
    assert done.exit_code == 2
    assert "for mobilenet_v2 only, not for squeezenet1_1" in done.output
    assert "otherwise" in train().output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("channels=(4,)", "sites=('nothing',)"), "nothing"),
        (("channels=(4,)", "channels=(4, 4, 4)"), "at most 2 fit"),
        (("batch_size=2", "batch_size=4"), "there are 3 photographs"),
        (("batch_size=2", "mode='joint'"), "the command line explains"),
        (("config = ", "configuration = "), "has nothing named `config`"),
        (("fills=('mean',)", "fills=('sand',)"), "sand"),
    ],
)
def test_a_wrong_call_writes_nothing(train, tmp_path, change, message):
    file = tmp_path / "wrong.py"
    file.write_text(CONFIG.replace('"', "'").replace(*change))
    done = train(config=file)
    assert done.exit_code == 2, done.output
    assert message in done.output
    assert not (tmp_path / "trained").exists()


def test_wrong_photographs(train, photos, tmp_path):
    (photos / "empty").mkdir()
    done = train()
    assert done.exit_code == 2
    assert "the class folder 'empty'" in done.output
    done = train(config=tmp_path / "none.py")
    assert "is no file" in done.output
    assert not (tmp_path / "trained").exists()


def test_losses_for_tensorboard_need_its_package(train, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    done = train("--tensorboard")
    assert done.exit_code == 2
    assert "pip install 'xattr-jax[logs]'" in done.output
    assert not (tmp_path / "trained").exists()
