"""The documents say what the code does."""

import pkgutil
import re
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx

import xattr
from xattr.cli.methods import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
KEY = re.compile(r"\[([a-z]+(?:19|20)\d\d[a-z]+)\]")


def test_every_method_is_in_the_readme():
    table = README.split("## Methods")[1].split("## ")[0]
    missing = [name for name in METHODS if f"`{name}" not in table]
    assert not missing


@pytest.mark.parametrize("document", ["README.md", "docs/conventions.md"])
def test_every_name_in_the_documents_exists(document):
    text = (ROOT / document).read_text()
    for dotted in re.findall(r"xattr((?:\.[a-z_]+)+)\(", text):
        value = xattr
        for name in dotted.strip(".").split("."):
            assert hasattr(value, name), dotted
            value = getattr(value, name)


class OneImage(eqx.Module):
    conv: eqx.nn.Conv2d
    head: eqx.nn.Linear

    def __call__(self, x):
        return self.head(jax.nn.relu(self.conv(x)).mean((1, 2)))


class Dense(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(4)(x.reshape(len(x), -1))


def test_the_example_of_the_readme_runs(key):
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    batch = jax.random.uniform(key, (2, 8, 8, 3))
    conv = eqx.nn.Conv2d(3, 4, 3, key=key)
    names = {
        "nnx_module": nnx.Conv(3, 4, (3, 3), rngs=nnx.Rngs(0)),
        "linen_module": Dense(),
        "variables": Dense().init(key, batch),
        "equinox_module": OneImage(conv, eqx.nn.Linear(4, 5, key=key)),
        "images": batch,
        "labels": jnp.array([1, 2]),
    }
    exec(example, names)
    assert names["cams"].shape == (2, 6, 6)
    assert names["maps"].shape == names["smooth"].shape == batch.shape
    assert len(names["figure"].axes) >= 6


def test_every_cited_work_is_listed():
    listed = set(
        re.findall(r"@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text())
    )
    cited = {
        key
        for path in (ROOT / "xattr").rglob("*.py")
        for key in KEY.findall(path.read_text())
    }
    assert cited
    assert cited <= listed


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_readme_links_lead_somewhere(link):
    assert (ROOT / link).exists()


def test_every_name_that_docstrings_cite_exists():
    cited = {
        name
        for page in (ROOT / "xattr").rglob("*.py")
        for name in re.findall(r"`(xattr(?:\.[a-z_]\w*)+)", page.read_text())
    }
    assert "xattr.images.channel_max_abs" in cited
    for name in cited:
        assert pkgutil.resolve_name(name) is not None
