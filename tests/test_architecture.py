"""The walls of the house: who knows what, and what importing costs."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import xattr
from xattr.cli.methods import METHODS

ROOT = Path(xattr.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
METHOD_PACKAGES = {
    "gradients",
    "paths",
    "relevance",
    "cams",
    "perturbations",
    "combinators",
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_program_knows_the_intermediate_representation(path):
    private = [
        name
        for name in imports(path)
        if name.startswith(("jax.core", "jax.extend", "jax._src", "jax.interpreters"))
    ]
    allowed = path.is_relative_to(ROOT / "program") and not any(
        name.startswith("jax._src") for name in private
    )
    assert not private or allowed, private


def test_importing_the_package_loads_jax_and_numpy_alone():
    script = (
        "import sys, jax, numpy; before = set(sys.modules); import xattr; "
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "['xattr']"


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("xattr.gradient, xattr.grad_cam, xattr.occlusion", ("flax", "PIL", "rich")),
        ("xattr.images.resize", ("flax", "PIL", "skimage", "matplotlib")),
    ],
)
def test_names_load_no_more_than_they_need(statement, absent):
    script = f"import sys, xattr; {statement}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(absent) & set(loaded)


@pytest.mark.parametrize("name", xattr.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(xattr, name)
    assert name == "__version__" or inspect.getdoc(value)


def test_every_method_is_in_the_table():
    signature = ("model", "images")
    methods = {
        name
        for name, module in xattr._NAMES.items()
        if module in METHOD_PACKAGES
        and tuple(inspect.signature(getattr(xattr, name)).parameters)[:2] == signature
        and name not in NOT_SINGLE_MAPS
    }
    combinators = {"smoothgrad", "vargrad"}
    rows = {name for name, row in METHODS.items() if not row.of}
    assert methods | combinators == rows
    assert {row.of for row in METHODS.values() if row.of} <= rows


# They answer other questions than "a map per image", so they are no rows.
NOT_SINGLE_MAPS = {
    "full_gradients",
    "internal_influence",
    "gradient_cams",
    "local_update",
    "occlusion_map",
    "occlusion_response",
}


def test_no_prints_in_the_library():
    for path in FILES:
        if not path.is_relative_to(ROOT / "cli"):
            calls = [
                node
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "print"
            ]
            assert not calls, path


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'grad_camm'"):
        xattr.grad_camm  # noqa: B018
