"""Damaged images and archives: one exception, no hang, no large allocation, no file."""

import io
import os
import resource
import signal
import tarfile
import time
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.data.archives import png, tar, zipped
from xattr.data import (
    ArchiveSource,
    UnreadableImage,
    decode_image,
    pixels_of,
    read_image,
)

FORMS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "MPO")
MEGAPIXEL = 1_000_000
SECONDS = 10


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


def seed_archives(folder: Path) -> dict[str, bytes]:
    """Archives of every form, with names that lead out, links, devices and a bomb."""
    members: dict[str, bytes | str] = {
        "a.png": png(1),
        "../escaped.png": png(2),
        "sub/../../escaped.png": png(3),
        str(folder / "absolute.png"): png(4),
        "link.png": "../escaped.png",
        "device.png": "device",
        "pipe.png": "pipe",
        "ä" * 60 + "/" + "x" * 90 + ".png": png(5),
        "bomb.png": bytes(20_000),
    }
    path = folder / "seed"
    forms = {"USTAR": tarfile.USTAR_FORMAT, "GNU": tarfile.GNU_FORMAT}
    tars = forms | {"PAX": tarfile.PAX_FORMAT}
    zips = {"STORED": zipfile.ZIP_STORED, "DEFLATED": zipfile.ZIP_DEFLATED}
    made = {name: tar(path, members, form).read_bytes() for name, form in tars.items()}
    made |= {name: zipped(path, members, by).read_bytes() for name, by in zips.items()}
    return made


SEEDS = {form: seed_file(form) for form in FORMS}
ARCHIVES = ("USTAR", "GNU", "PAX", "STORED", "DEFLATED")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> dict[str, bytes]:
    return SEEDS | seed_archives(tmp_path_factory.mktemp("seeds"))


@st.composite
def damaged(draw, seed: bytes) -> bytes:
    """A valid file with bytes changed, cut out, repeated or appended."""
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 6))):
        # headers are where sizes, offsets and counts stand
        last = max(min(len(data), draw(st.sampled_from([64, 700, 10**9]))) - 1, 0)
        at = draw(st.integers(0, last))
        # and a zip has its own at the end
        at = len(data) - 1 - at if draw(st.booleans()) and data[:1] == b"P" else at
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
    return mended(data) if draw(st.booleans()) else bytes(data)


def mended(data: bytearray) -> bytes:
    """With the checksums of a tar's headers put right, so that they are believed."""
    for start in range(0, len(data) - 511, 512):
        header = data[start : start + 512]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return bytes(data)


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Hung(BaseException):
    """No `except Exception` of a decoder catches it."""


@contextmanager
def bounded():
    """Fail where something takes long or much."""

    def ring(*_):
        raise Hung(f"more than {SECONDS} seconds")

    before, start = peak_mebibytes(), time.perf_counter()
    previous = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    assert time.perf_counter() - start < SECONDS
    assert peak_mebibytes() - before < 200


def assert_reads_or_refuses(data: bytes, path: Path) -> None:
    """The same from a file and from memory."""
    path.write_bytes(data)
    with bounded():
        from_file = _outcome(lambda: read_image(path, max_pixels=MEGAPIXEL))
        from_memory = _outcome(lambda: decode_image(data, max_pixels=MEGAPIXEL))
    assert from_file == from_memory


def _outcome(read: Callable[[], np.ndarray]) -> tuple | str:
    """The pixels that were read, or the reason why there are none."""
    try:
        pixels = read()
    except UnreadableImage as error:
        return error.reason or "no reason"
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)
    assert 0 < pixels.shape[0] * pixels.shape[1] <= MEGAPIXEL
    return pixels.shape, pixels.tobytes()


def assert_lists_or_refuses(data: bytes, path: Path) -> None:
    """A damaged archive is refused, or each of its records is."""
    path.write_bytes(data)
    with bounded():
        try:
            source = ArchiveSource([path], labels="folders", max_bytes=10_000)
        except ValueError as error:
            source, told = [], str(error)
        else:
            told = source.fingerprint()
        assert told.startswith(str(path)) or len(told) == 64
        for index in range(len(source)):
            record = source[index]
            assert _outcome(partial(pixels_of, record))


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder, with its size and time."""
    paths = [
        Path(place, name)
        for place, *kinds in os.walk(folder)
        for names in kinds
        for name in names
    ]
    return {str(p): (p.lstat().st_size, p.lstat().st_mtime_ns) for p in paths}


def fuzz(form: str, seed: bytes, folder: Path, count: int, monkeypatch) -> int:
    """Try `count` damaged files of a form from inside a folder; return how many."""
    inside, case = folder / "a" / "b", folder / "case"
    inside.mkdir(parents=True)
    case.mkdir()
    monkeypatch.chdir(inside)
    path = case / ("x.zip" if form in ("STORED", "DEFLATED") else "x")
    check = assert_lists_or_refuses if form in ARCHIVES else assert_reads_or_refuses
    tried = 0

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=[Phase.generate, Phase.shrink],
    )
    @given(damaged(seed))
    def attempt(data):
        nonlocal tried
        tried += 1
        check(data, path)

    path.touch()
    before = {p: s for p, s in tree(folder).items() if p != str(path)}
    attempt()
    assert {p: s for p, s in tree(folder).items() if p != str(path)} == before
    return tried


@pytest.mark.parametrize("form", [*FORMS, *ARCHIVES])
def test_damaged_files(form, seeds, tmp_path, monkeypatch):
    assert fuzz(form, seeds[form], tmp_path, 20, monkeypatch) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("form", [*FORMS, *ARCHIVES])
def test_ten_thousand_damaged_files(form, seeds, tmp_path, monkeypatch):
    count = -(-10_000 // len([*FORMS, *ARCHIVES]))
    assert fuzz(form, seeds[form], tmp_path, count, monkeypatch) >= count


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    assert_reads_or_refuses(data, path)
    assert_lists_or_refuses(data, path)


@pytest.mark.parametrize("form", FORMS)
def test_the_seeds_themselves_read(form, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(SEEDS[form])
    assert sorted(read_image(path).shape[:2]) == [20, 24]


@pytest.mark.parametrize("form", ARCHIVES)
def test_the_archives_themselves_read(form, seeds, tmp_path):
    (tmp_path / "x").write_bytes(seeds[form])
    source = ArchiveSource([tmp_path / "x"], max_bytes=10_000)
    contents = [source[index].content for index in range(len(source))]
    assert [isinstance(content, bytes) for content in contents] == [
        index in (0, 7) for index in range(9)
    ]
