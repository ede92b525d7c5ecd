import io
import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xattr.data import UnreadableImage, read_image

SAVED = {
    "jpg": "JPEG",
    "png": "PNG",
    "gif": "GIF",
    "webp": "WEBP",
    "bmp": "BMP",
    "tif": "TIFF",
    "ppm": "PPM",
}


def photograph(height=48, width=64) -> np.ndarray:
    """Smooth colors with a bright corner, so that every turn shows."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) * 2 % 256], -1)
    pixels[:8, :8] = 250
    return pixels.astype(np.uint8)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("suffix", "form"), SAVED.items())
def test_every_format_reads(tmp_path, suffix, form):
    pixels = photograph()
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(pixels).save(path, form)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert read.shape == (48, 64, 3)
    if suffix in ("png", "bmp", "tif", "ppm"):
        np.testing.assert_array_equal(read, pixels)
    else:
        assert np.abs(read.astype(int) - pixels).mean() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    pixels = photograph()
    gray = np.repeat(pixels.mean(-1, keepdims=True), 3, -1)
    expected = {"L": gray, "LA": gray}.get(mode, pixels)
    path = tmp_path / ("x.tif" if mode in ("CMYK", "YCbCr", "PA") else "x.png")
    try:
        Image.fromarray(pixels).convert(mode).save(path)
    except (OSError, ValueError):
        pytest.fail(f"cannot make a test file of mode {mode}")
    read = read_image(path)
    assert read.shape == (48, 64, 3)
    tolerance = 130 if mode == "1" else 45
    assert np.abs(read.astype(int) - expected).mean() < tolerance


def test_cmyk_jpeg_keeps_its_colors(tmp_path):
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    ink.save(tmp_path / "x.jpg", quality=95)
    np.testing.assert_allclose(
        read_image(tmp_path / "x.jpg")[8, 8], [255, 0, 0], atol=6
    )


def test_palette_colors_are_exact(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    image.save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_palette_transparency_shows_the_background(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    image.save(tmp_path / "x.png", transparency=bytes([0, 255]))
    assert read_image(tmp_path / "x.png").tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_alpha_is_composited_on_the_background(tmp_path):
    layer = np.array([[[200, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(layer).save(tmp_path / "x.png")
    white = read_image(tmp_path / "x.png")
    assert white.tolist() == [[[200, 0, 0], [255, 255, 255], [204, 204, 204]]]
    green = read_image(tmp_path / "x.png", background=(0, 100, 0))
    assert green.tolist() == [[[200, 0, 0], [0, 100, 0], [0, 80, 0]]]


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    gray = np.array([[0, 257, 32768, 65535]], np.uint16)
    path = tmp_path / f"x.{suffix}"
    if suffix == "pgm":
        path.write_bytes(b"P5 4 1 65535\n" + gray.astype(">u2").tobytes())
    else:
        Image.fromarray(gray).save(path)
    np.testing.assert_array_equal(read_image(path)[0, :, 0], [0, 1, 128, 255])


def test_sixteen_bit_transparent_gray_shows_the_background(tmp_path):
    gray = np.array([[1000, 65535]], np.uint16)
    path = tmp_path / "x.png"
    Image.fromarray(gray).save(path, transparency=1000)
    assert read_image(path)[0, 0].tolist() == [255, 255, 255]


def test_thirty_two_bit_samples_are_refused(tmp_path):
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(UnreadableImage, match="no stated white"):
        read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    """Turn a picture as a camera held so would, and read it back upright."""
    pixels = photograph(32, 40)
    transposed = pixels.swapaxes(0, 1)
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: transposed,
        6: transposed[::-1],
        7: transposed[::-1, ::-1],
        8: transposed[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), pixels)


def test_exif_orientation_agrees_with_pillow(tmp_path):
    from PIL import ImageOps

    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.png"
        Image.fromarray(photograph(5, 7)).save(path, exif=exif)
        with Image.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(read_image(path), expected)


def test_one_pixel(tmp_path):
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(tmp_path, form):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    path = tmp_path / "x"
    frames[0].save(path, form, save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableImage, match="several frames"):
        read_image(path)


def test_a_multi_picture_jpeg_gives_its_photograph(tmp_path):
    frames = [Image.fromarray(photograph()), Image.new("RGB", (8, 8), "blue")]
    frames[0].save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "x.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize("form", SAVED.values())
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, form, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), form)
    path = write(tmp_path / "x", data[: int(len(data) * share)])
    with pytest.raises(UnreadableImage, match="damaged|empty"):
        read_image(path)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "PPM", "WEBP", "JPEG"])
def test_pixel_limit_holds_before_decoding(tmp_path, form, monkeypatch):
    path = write(tmp_path / "x", encoded(Image.new("RGB", (300, 200)), form))

    def load(self):
        raise AssertionError("decoded")

    for base in [Image.Image, *Image.Image.__subclasses__()]:
        monkeypatch.setattr(base, "load", load)
    with pytest.raises(UnreadableImage, match="300 × 200 pixels are above the limit"):
        read_image(path, max_pixels=59_999)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be enormous."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        tail = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + tail

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def test_decompression_bombs_are_refused(tmp_path):
    with pytest.raises(UnreadableImage, match="limit"):
        read_image(write(tmp_path / "a.png", bomb(60000, 60000)))
    with pytest.raises(UnreadableImage, match="above the limit of 120,000,000"):
        read_image(write(tmp_path / "b.png", bomb(12000, 10001)))


def test_files_that_are_no_images(tmp_path):
    with pytest.raises(UnreadableImage, match="no image|not an image"):
        read_image(write(tmp_path / "x.jpg", b"Dear reader,\n" * 50))
    with pytest.raises(UnreadableImage, match="the file is empty"):
        read_image(write(tmp_path / "y.jpg", b""))
    with pytest.raises(UnreadableImage, match="there is no such file"):
        read_image(tmp_path / "z.jpg")
    with pytest.raises(UnreadableImage, match="it is a folder"):
        read_image(tmp_path)
    with pytest.raises(UnreadableImage, match="cannot be opened"):
        read_image(tmp_path / ("n" * 300))
    with pytest.raises(UnreadableImage, match="damaged"):
        read_image("a\0b.png")


def test_postscript_is_not_run(tmp_path):
    path = tmp_path / "x.png"
    Image.new("RGB", (8, 8)).save(path, "EPS")
    with pytest.raises(UnreadableImage, match="not an image of a known format"):
        read_image(path)


def test_pipes_do_not_block(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(UnreadableImage, match="not a regular file"):
        read_image(tmp_path / "x.png")


def test_loops_of_links(tmp_path):
    loop = tmp_path / "x.png"
    loop.symlink_to(loop)
    with pytest.raises(UnreadableImage, match="cannot be opened"):
        read_image(loop)


def test_permission_denied(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    Image.new("RGB", (1, 1)).save(path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableImage, match="not permitted"):
        read_image(path)


def test_damaged_exif_is_no_guess(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg")

    def fail(self):
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.raises(UnreadableImage, match="EXIF block is damaged"):
        read_image(tmp_path / "x.jpg")


def test_pillow_warnings_do_not_leak(tmp_path):
    """Between Pillow's limit and ours it warns; other warnings stay on."""
    path = write(tmp_path / "x.png", bomb(10000, 10000))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(UnreadableImage, match="damaged"):
            read_image(path)
        assert caught == []
        warnings.warn("mine", UserWarning, stacklevel=1)
        assert len(caught) == 1


def test_threads_read_alike(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(photograph()).save(path)
    results: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: results.append(read_image(path)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all((result == photograph()).all() for result in results)


def test_the_error_names_path_and_reason(tmp_path):
    error = UnreadableImage(tmp_path / "x", "it is odd")
    assert error.path == tmp_path / "x"
    assert str(error).endswith("x: it is odd")
