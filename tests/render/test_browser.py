"""The page in a real browser: what is drawn, and what the controls do."""

import json
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.render.pages import SIDE, sample_page
from xattr.render import colorize

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--hide-scrollbars"),
    *("--disable-component-update", "--disable-sync", "--virtual-time-budget=4000"),
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed"),
]

# Works the page as a person would and leaves what it saw in the title.
PROBE = """
<script>
addEventListener("load", () => {
  const seen = {}, one = s => document.querySelector(s);
  const style = s => getComputedStyle(one(s));
  seen.images = [...document.images].filter(i => i.src).map(i => i.naturalWidth);
  seen.policy = [];
  document.addEventListener(
    "securitypolicyviolation", e => seen.policy.push(e.blockedURI));
  seen.before = style(".stack img").opacity;
  const slider = one("#opacity");
  slider.value = 25;
  slider.dispatchEvent(new Event("input"));
  seen.after = style(".stack img").opacity;
  seen.shown = one("#opacity-shown").textContent;
  seen.absolute = style(".stack img").filter;
  one("[data-set-mode=signed]").click();
  seen.signed = style(".stack img").filter;
  seen.pressed = one("[data-set-mode=signed]").getAttribute("aria-pressed");
  seen.legend = [".only-signed", ".only-absolute"].map(s => style(s).display);
  const below = () => getComputedStyle(one(".stack"), "::before");
  seen.under = below().backgroundImage.slice(0, 20);
  seen.gray = below().filter;
  one("[data-set-photo=color]").click();
  seen.color = below().filter;
  const paper = getComputedStyle(document.body).backgroundColor;
  one("#theme").click();
  seen.theme = getComputedStyle(document.body).backgroundColor !== paper;
  one(".stack").click();
  seen.large = one("dialog").open;
  one("dialog").click();
  seen.closed = !one("dialog").open;
  seen.articles = document.querySelectorAll("article").length;
  seen.text = document.body.innerText;
  document.title = JSON.stringify(seen);
});
</script>
"""


def run_chromium(folder: Path, *arguments: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder}/profile", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def open_page(folder: Path, text: str, *arguments: str) -> str:
    path = folder / "index.html"
    path.write_text(text, encoding="utf-8")
    return run_chromium(folder, *arguments, path.as_uri())


def probe(folder: Path, text: str) -> dict:
    dom = open_page(folder, text + PROBE, "--dump-dom")
    title = dom.split("<title>", 1)[1].split("</title>", 1)[0]
    return json.loads(unescape(title))


def test_controls(tmp_path):
    seen = probe(tmp_path, sample_page())
    assert seen["images"] == [SIDE] * 4
    assert seen["policy"] == []
    assert (seen["before"], seen["after"], seen["shown"]) == ("0.9", "0.25", "25%")
    assert "#absolute" in seen["absolute"]
    assert "#signed" in seen["signed"]
    assert seen["pressed"] == "true"
    assert seen["legend"] == ["flex", "none"]
    assert seen["under"].startswith('url("data:image/jpe')
    assert (seen["gray"], seen["color"]) == ("grayscale(1)", "none")
    assert seen["theme"]
    assert seen["large"]
    assert seen["closed"]
    assert seen["articles"] == 2
    assert "<script>document.body" in seen["text"]
    assert "Integrated gradients" in seen["text"]


@pytest.mark.parametrize(
    ("typed", "address"),
    [("2", "index-2.html"), ("99", "index-3.html"), ("0", "index.html")],
)
def test_the_number_of_a_page_leads_there(tmp_path, typed, address):
    text = sample_page().replace('value="1" data-first', 'value="3" data-first')
    text += f"""<script>
    const box = document.querySelector(".turn input");
    box.value = "{typed}";
    if (document.title !== "there") box.dispatchEvent(new Event("change"));
    </script>"""
    for name in ("index.html", "index-2.html", "index-3.html"):
        (tmp_path / name).write_text(f"<title>there</title>{name}", encoding="utf-8")
    (tmp_path / "start.html").write_text(text, encoding="utf-8")
    dom = run_chromium(tmp_path, "--dump-dom", (tmp_path / "start.html").as_uri())
    assert f"</head><body>{address}</body>" in dom


@pytest.mark.parametrize("mode", ["signed", "absolute"])
def test_the_browser_draws_the_colors_of_colorize(tmp_path, mode):
    """On white, at full opacity, as NumPy would composite them."""
    text = sample_page().replace('data-mode="absolute"', f'data-mode="{mode}"', 1)
    text += """<style>
      body > *:not(svg):not(#alone) { display: none }
      #alone { position: fixed; inset: 0; width: 192px; height: 192px; opacity: 1 }
      body { background: #fff !important }
    </style><script>
      const map = document.querySelector("main .map").cloneNode();
      map.id = "alone"; map.style.filter = "url(#MODE)"; document.body.append(map);
    </script>""".replace("MODE", mode)
    shot = tmp_path / "shot.png"
    open_page(tmp_path, text, f"--screenshot={shot}", "--window-size=300,300")
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    for x, value in ((20, -1.0), (96, 0.0), (172, 1.0)):
        *color, alpha = colorize(np.array(value), signed=mode == "signed").astype(int)
        expected = 255 + (np.array(color) - 255) * alpha / 255
        np.testing.assert_allclose(pixels[96, x], expected, atol=12)
