import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests.render.pages import EVIL, sample_page, wedge
from xattr.render import Explanation, PageHead, embed, page


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_names_are_escaped():
    elements = Elements(sample_page())
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert elements.found.count(("b", {})) == 1  # the enlarged picture's title
    assert sum(EVIL in text for text in elements.texts) == 2
    assert [a["aria-label"] for t, a in elements.found if t == "article"] == [
        *("a.png", EVIL)
    ]


def test_the_page_fetches_nothing():
    text = sample_page()
    for tag, attributes in Elements(text).found:
        for name in ("src", "data", "srcset", "action"):
            assert attributes.get(name, "data:").startswith("data:")
        if tag == "link":
            raise AssertionError("a style sheet is linked")
    assert "default-src 'none'" in text
    assert not re.search(r"url\((?!#|\"\$)", text)
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_what_is_shown():
    shown = " ".join(" ".join(Elements(sample_page()).texts).split())
    for text in (
        *("Grad-CAM", "Integrated gradients", "tiger cat", "75.0%", "0.01%"),
        *("2 skipped files", "1 skipped file", "The run was interrupted."),
    ):
        assert (text in shown) == (text != "2 skipped files"), text
    assert "Nothing to draw: the map is not finite" in sample_page()


def test_an_empty_page_says_so():
    text = page(PageHead("m", ["gradient"]), [])
    assert "No photograph could be explained." in text
    assert "skipped" not in text


def decoded(address: str) -> np.ndarray:
    head, data = address.split(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_embedding_keeps_the_values():
    gray = decoded(embed(wedge()))
    assert gray.shape == (64, 64)
    np.testing.assert_allclose(gray / 127.5 - 1, wedge(), atol=0.15)
    assert (decoded(embed(np.zeros((8, 8), np.float32))) == 128).all()


def test_embedding_shrinks_what_is_large():
    photo = np.zeros((300, 600, 3), np.uint8)
    assert decoded(embed(photo)).shape == (144, 288, 3)
    assert decoded(embed(photo[:10, :20])).shape == (10, 20, 3)


@pytest.mark.parametrize(("rank", "places"), [(0, [0]), (1, [1]), (None, [])])
def test_classes_of_one_name_are_told_apart(rank, places):
    guesses = [("crane", 0.5), ("crane", 0.3), ("lynx", 0.1)]
    entry = Explanation("a.png", "", guesses, "crane", 0.3, [], rank)
    found = Elements(page(PageHead("tiny", []), [entry])).found
    items = [attributes for tag, attributes in found if tag == "li"][-3:]
    assert [k for k, item in enumerate(items) if item.get("class")] == places
