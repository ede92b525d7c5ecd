"""What `pip install` gives: the built wheel in an empty environment."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command, cwd, expect=0, **options):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, **options
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_another_xattr_in_the_way_is_named(tmp_path):
    (tmp_path / "xattr").mkdir()
    (tmp_path / "xattr" / "__init__.py").write_text("def listxattr(path): ...\n")
    message = run(
        sys.executable,
        "-c",
        "import xattr_jax; xattr_jax.main()",
        cwd=tmp_path,
        expect=1,
    )
    assert "is another distribution" in message
    assert "pip uninstall xattr" in message


@pytest.mark.slow
def test_wheel_in_an_empty_environment(tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "-o", tmp_path, ROOT, cwd=ROOT)
    (wheel,) = tmp_path.glob("xattr_jax-*.whl")
    assert wheel.stat().st_size < 12e6
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    photograph = run(
        python,
        "-c",
        "import xattr; print(xattr.models.photographs()[0])",
        cwd=tmp_path,
    ).strip()
    run(
        python.parent / "xattr-jax",
        "explain",
        photograph,
        "--method",
        "gradient,grad_cam,decoder",
        "--out",
        "out",
        cwd=tmp_path,
    )
    assert (tmp_path / "out" / "index.html").stat().st_size > 10_000
    assert list((tmp_path / "out" / "overlays").rglob("*.png"))
