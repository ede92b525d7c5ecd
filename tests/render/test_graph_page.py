import json
import re
import shutil
from html import unescape

import pytest

from tests.render.graphs import sample_graph
from tests.render.test_browser import run_chromium
from tests.render.test_page import Elements
from xattr.render._graph_page import GraphHead, graph_page

PHOTOS, GRAPH, PLACEMENTS = sample_graph()
HEAD = GraphHead("<i>net</i>", "noise", [("Seed", "0 & 1")], "Few images.")


def sample(**options) -> str:
    options = {"num_top": 3, "num_nodes": 5, "num_patches": 4} | options
    return graph_page(HEAD, PHOTOS, GRAPH, PLACEMENTS, **options)


def test_every_link_leads_to_a_node_of_the_page():
    found = Elements(sample()).found
    keys = [a["id"] for tag, a in found if tag == "article"]
    assert [sum(k.startswith(f"node-{n}-") for k in keys) for n in range(3)] == [
        3,
        5,
        5,
    ]
    links = [a["href"] for tag, a in found if tag == "a"]
    assert {link.removeprefix("#") for link in links} == set(keys)


def test_links_are_the_edges_of_the_graph():
    articles = re.split(r'<article class="node" id="', sample())[1:]
    keys = [article.split('"')[0] for article in articles]
    shown = {tuple(map(int, key.split("-")[1:])) for key in keys}
    for key, article in zip(keys, articles, strict=True):
        _, layer, node = key.split("-")
        layer, node = int(layer), int(node)
        links = re.findall(r'href="#node-(\d+)-(\d+)"', article)
        linked = {(int(a), int(b)) for a, b in links}
        above = {(layer - 1, int(v)) for v in GRAPH.layers[layer].parents[node]}
        below = {
            (layer + 1, v)
            for upper, v in shown
            if upper == layer + 1 and node in GRAPH.layers[upper].parents[v]
        }
        assert linked == (above & shown) | below
        if layer:
            assert linked & above, "every node can be reached from the one above"


def test_each_picture_is_embedded_once():
    text = sample()
    pictures = re.findall(r"url\((data:image/jpeg;base64,[^)]+)\)", text)
    assert len(pictures) == len(set(pictures)) == 13
    assert text.count("data:image") == 13


def test_the_size_is_bounded_by_the_arguments():
    small = sample(num_top=1, num_nodes=1, num_patches=1, side=8)
    # What is not pictures is some 11 kB; the tables of a JPEG are half a kilobyte.
    assert len(small) < 20_000
    assert len(sample(num_top=99, num_nodes=99)) > len(sample()) > len(small)


def test_the_page_fetches_nothing_and_escapes_names():
    text = sample()
    for _, attributes in Elements(text).found:
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    shown = " ".join(" ".join(Elements(text).texts).split())
    for words in (
        "<i>net</i>",
        "<top>/add:0",
        "0 & 1",
        "Few images.",
        "38 in 3 layers",
    ):
        assert words in shown
    assert "<top>" not in text


def test_numbers_are_checked():
    with pytest.raises(ValueError, match="`num_top`=0"):
        sample(num_top=0)
    with pytest.raises(ValueError, match="`num_images`=7, but there are scores of 6"):
        sample(num_patches=7)
    with pytest.raises(ValueError, match="one placement per layer"):
        graph_page(HEAD, PHOTOS, GRAPH, PLACEMENTS[:1])


PROBE = """<script>
addEventListener("load", () => {
  const seen = [], look = () => {
    const shown = [...document.querySelectorAll(".node")]
      .filter(node => getComputedStyle(node).display !== "none").map(node => node.id);
    const current = [...document.querySelectorAll("[aria-current]")];
    seen.push([shown, current.map(link => link.hash.slice(1))]);
  };
  look();
  const child = document.querySelector(".node .links a");
  const picture = getComputedStyle(child.querySelector(".strip"));
  addEventListener("hashchange", () => setTimeout(() => {
    look();
    seen.push([child.hash.slice(1), picture.backgroundImage.slice(0, 20)]);
    document.title = JSON.stringify(seen);
  }));
  child.click();
});
</script>"""


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium is installed")
@pytest.mark.parametrize("asked", ["none", "node of the middle"])
def test_one_node_is_shown_and_a_link_leads_to_another(tmp_path, asked):
    keys = re.findall(r'<article class="node" id="([^"]+)', sample())
    key = keys[0] if asked == "none" else keys[4]
    path = tmp_path / "graph.html"
    path.write_text(sample() + PROBE, encoding="utf-8")
    address = path.as_uri() + ("" if asked == "none" else f"#{key}")
    dom = run_chromium(tmp_path, "--dump-dom", address)
    title = dom.split("<title>", 1)[1].split("</title>", 1)[0]
    first, then, (child, picture) = json.loads(unescape(title))
    assert first == [[key], [key]]
    assert then == [[child], [child]]
    assert child != key
    assert picture.startswith('url("data:image/jpe')
