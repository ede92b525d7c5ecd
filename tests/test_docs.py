"""The documents say what the code does."""

import re
from pathlib import Path

import pytest

import xattr
from xattr.cli.methods import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
KEY = re.compile(r"\[([a-z]+(?:19|20)\d\d[a-z]+)\]")


def test_every_method_is_in_the_readme():
    table = README.split("## Methods")[1].split("## ")[0]
    missing = [name for name in METHODS if f"`{name}" not in table]
    assert not missing


def test_every_name_in_the_documents_exists():
    for document in (README, (ROOT / "docs" / "conventions.md").read_text()):
        for dotted in re.findall(r"xattr((?:\.[a-z_]+)+)\(", document):
            value = xattr
            for name in dotted.strip(".").split("."):
                value = getattr(value, name)


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
