"""Damaged files of every format: one exception, no hang, no large allocation."""

import io
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from xattr.data import UnreadableImage, read_image

FORMS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "MPO")
MEGAPIXEL = 1_000_000


def seed_file(form: str) -> bytes:
    """A small valid file with metadata, for mutation."""
    noise = np.random.default_rng(1).integers(0, 255, (24, 20, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if form in ("BMP", "PPM", "GIF") else {"exif": exif}
    if form == "MPO":
        options = {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, form, **options)
    return buffer.getvalue()


SEEDS = {form: seed_file(form) for form in FORMS}


@st.composite
def damaged(draw, form: str) -> bytes:
    """A valid file with bytes changed, cut out, repeated or appended."""
    data = bytearray(SEEDS[form])
    for _ in range(draw(st.integers(1, 6))):
        # headers are where sizes, offsets and counts stand
        last = max(min(len(data), draw(st.sampled_from([64, 700, 10**9]))) - 1, 0)
        at = draw(st.integers(0, last))
        match draw(st.sampled_from(["byte", "word", "cut", "repeat", "end"])):
            case "byte":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "word":
                data[at : at + 4] = draw(
                    st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
                    | st.binary(min_size=4, max_size=4)
                )
            case "cut":
                del data[at : at + draw(st.integers(1, 50))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 50))]
            case "end":
                del data[at:]
    return bytes(data)


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def assert_reads_or_refuses(data: bytes) -> None:
    before, start = peak_mebibytes(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(data)
        try:
            pixels = read_image(path, max_pixels=MEGAPIXEL)
        except UnreadableImage:
            pass
        else:
            assert pixels.dtype == np.uint8
            assert pixels.shape[2:] == (3,)
            assert 0 < pixels.shape[0] * pixels.shape[1] <= MEGAPIXEL
    assert time.perf_counter() - start < 10
    assert peak_mebibytes() - before < 200


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files(form):
    @settings(
        max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(damaged(form))
    def check(data):
        assert_reads_or_refuses(data)

    check()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data):
    assert_reads_or_refuses(data)


@pytest.mark.parametrize("form", FORMS)
def test_the_seeds_themselves_read(form, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(SEEDS[form])
    assert sorted(read_image(path).shape[:2]) == [20, 24]
