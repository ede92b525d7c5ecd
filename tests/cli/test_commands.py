import os
import subprocess
import sys

import pytest

import xattr
from xattr.cli.methods import METHODS


def test_methods(call):
    result = call("methods")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split("\t") == ["name", "family", "site", "summary"]
    assert [line.split("\t")[0] for line in lines[1:]] == list(METHODS)
    assert "grad_cam\tcams\tyes\t" in result.stdout


def test_models(call):
    result = call("models")
    assert result.exit_code == 0
    lines = {
        line.split("\t")[0]: line.split("\t")[1:]
        for line in result.stdout.splitlines()[1:]
    }
    assert set(lines) == set(xattr.models.names())
    assert lines["mobilenet_v2"][::2] == ["bundled", "Apache-2.0"]
    assert lines["mobilenet_v2"][1].endswith(" MB")
    assert lines["resnet50"][0] == "give --weights FILE"


def test_sites(call):
    result = call("sites", "--model", "squeezenet1_1")
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert rows[0] == ["name", "module", "operation", "shape", "axes"]
    site = xattr.models.load("squeezenet1_1").site
    (row,) = [row for row in rows if site in row[1].split()]
    assert row[3].startswith("1 × ")
    assert row[4] == "nhwc"


def test_sites_of_a_network_without_weights(call):
    result = call("sites", "--model", "cifar10_resnet20")
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert any(row[3] == "1 × 8 × 8 × 64" for row in rows)
    assert any(row[3] == "1 × 10" for row in rows)


def test_a_network_that_segments(call, tmp_path):
    result = call("sites", "--model", "espnet_camvid")
    assert result.exit_code == 0
    site = "features/b3/act/leaky_relu:0\tfeatures/b3 features/b3/act\tleaky_relu\t"
    assert site + "1 × 45 × 60 × 256\tnhwc" in result.stdout
    result = call("bench", "--model", "espnet_camvid", "--method", "gradient")
    assert result.exit_code == 2
    assert "names a class per pixel; here a network is needed" in result.stderr


def test_sites_of_an_unknown_model(call):
    result = call("sites", "--model", "squeezenet")
    assert result.exit_code == 2
    assert "Nearest: squeezenet1_" in result.stderr


def test_version(call):
    assert call("--version").stdout.strip() == f"xattr-jax {xattr.__version__}"


def python(*arguments: object, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=500,
        env=os.environ | variables,
    )


def test_the_default_methods_exist():
    from xattr.cli._explain import DEFAULT_METHODS

    assert set(DEFAULT_METHODS.split(",")) <= set(METHODS)


@pytest.mark.slow
def test_a_real_run(tmp_path):
    """The default network on a bundled photograph, in a process of its own."""
    photo = xattr.models.photographs()[1]
    (tmp_path / "text.jpg").write_text("Dear reader")
    done = python(
        *("-m", "xattr", "explain", photo, tmp_path / "text.jpg"),
        *("--method", "gradient,grad_cam", "--out", tmp_path / "out"),
    )
    assert done.returncode == 1, done.stderr
    assert "text.jpg: it is not an image" in done.stderr
    assert "Warning" not in done.stderr
    assert f"{tmp_path}/out/index.html" in done.stdout
    text = (tmp_path / "out" / "predictions.csv").read_text("utf-8")
    assert "Egyptian cat" in text


def test_a_terminal_of_few_letters():
    words = ("-m", "xattr", "sites", "--model", "cifar10_resnet20")
    done = python(*words, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert r"1 \xd7 10" in done.stdout


def test_help_loads_little():
    code = (
        "import sys; sys.argv = ['xattr', 'explain', '--help']\n"
        "from xattr.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'matplotlib', 'flax', 'PIL', 'jinja2'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--overwrite" in done.stdout


@pytest.mark.parametrize("package", ["xattr.data", "xattr.render", "xattr.cli"])
def test_importing_a_package_loads_little(package):
    heavy = {"PIL", "matplotlib", "jinja2", "typer", "rich", "flax"}
    code = f"import sys, {package}; print(sorted({heavy!r} & set(sys.modules)))"
    assert python("-c", code).stdout.strip() == "[]"
