"""One encoded image, read safely from a file or from memory."""

import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from xattr.data._sources import unread_format
from xattr.data._trouble import trouble_of

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 120_000_000
WHITE = (255, 255, 255)

# Formats are named, so that a file cannot choose a decoder that starts another
# program (EPS) or one that nobody reads photographs with.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF")
ORIENTATION = 0x0112
_LOCK = threading.Lock()


class UnreadableImage(Exception):
    """A file that cannot be read as one still image.

    Attributes:
      path: the file.
      reason: why, as the end of a sentence.
      trouble: what ails the machine, in the system's words, if that and not the
        file is why, or if the file is not there; else "".
    """

    def __init__(
        self, path: str | os.PathLike[str], reason: str, trouble: str = ""
    ) -> None:
        super().__init__(path, reason, trouble)
        self.path = Path(path)
        self.reason = reason
        self.trouble = trouble

    def __str__(self) -> str:
        """The path and the reason, on one line."""
        return f"{self.path}: {self.reason}"


def read_image(
    path: str | os.PathLike[str],
    *,
    max_pixels: int = MAX_PIXELS,
    background: tuple[int, int, int] = WHITE,
) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a still image, upright, in RGB.

    Gray, palette, CMYK and YCbCr images are converted; 16-bit samples are scaled
    by 1/257, so that white stays white; an alpha channel is composited on
    `background`; the EXIF orientation is applied. Color profiles are not.

    Args:
      path: a JPEG, PNG, GIF, WebP, BMP, TIFF, PNM or AVIF file.
      max_pixels: largest accepted width times height, checked before anything is
        decoded. Pillow's own ceiling of twice its `MAX_IMAGE_PIXELS` stays.
      background: color behind transparent pixels.

    Returns:
      Rows from the top, columns from the left, channels red, green, blue.

    Raises:
      UnreadableImage: the only exception, with the reason: missing, empty, not a
        regular file, no image, damaged, truncated, animated (which frame is meant
        would be a guess), too large, or with samples of unknown range.

    Notes:
      A multi-picture JPEG (MPO, as phones write them) holds one photograph and
      its by-products; the photograph is read. Pillow's warnings about damaged
      metadata are turned off, for Pillow only.
    """
    path = Path(path)
    with _refusing(path), _open(path) as file, _reread_if_damaged(path):
        return _decode(file, path, max_pixels, background)


def decode_image(
    data: bytes,
    name: str | os.PathLike[str] = "",
    *,
    max_pixels: int = MAX_PIXELS,
    background: tuple[int, int, int] = WHITE,
) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a still image that is in memory, as `read_image` gives them.

    Args:
      data: a whole file: JPEG, PNG, GIF, WebP, BMP, TIFF, PNM or AVIF.
      name: what errors call it.
      max_pixels: largest accepted width times height.
      background: color behind transparent pixels.

    Returns:
      Rows from the top, columns from the left, channels red, green, blue.

    Raises:
      UnreadableImage: the only exception, with the reason.

    Example:
      >>> decode_image(b"P6 2 1 255 " + bytes([1, 2, 3, 4, 5, 6])).tolist()
      [[[1, 2, 3], [4, 5, 6]]]
    """
    path = Path(name)
    with _refusing(path):
        if not data:
            raise UnreadableImage(path, "the file is empty")
        return _decode(io.BytesIO(data), path, max_pixels, background)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn every exception into the declared one."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged bytes
        reason, trouble = _reason(error, path), trouble_of(error)
        raise UnreadableImage(path, reason, trouble) from error


@contextmanager
def _reread_if_damaged(path: Path) -> Iterator[None]:
    """Raise trouble with a file's bytes as such; decoders may take it for damage."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:
        if not trouble_of(error):
            with path.open("rb") as file:
                while file.read(2**20):
                    pass
        raise


def _open(path: Path) -> IO[bytes]:
    """Open what is a regular file and holds something."""
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImage(path, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage(path, "it is not a regular file")
    if not status.st_size:
        raise UnreadableImage(path, "the file is empty")
    return path.open("rb")


def _decode(
    file: IO[bytes],
    path: Path,
    max_pixels: int,
    background: tuple[int, int, int],
) -> np.ndarray:
    """Check, decode, convert."""
    from PIL import Image

    _silence_pillow()
    with Image.open(file, formats=_formats()) as image:
        _check_header(path, image, max_pixels)
        image.load()
        turn = _orientation(path, image)
        pixels = _to_rgb(path, image, background)
    return np.ascontiguousarray(_upright(pixels, turn))


def _check_header(path: Path, image: "Image.Image", max_pixels: int) -> None:
    """Refuse, before decoding, what is too large or moves."""
    width, height = image.size
    if min(width, height) < 1:
        raise UnreadableImage(path, f"it has no pixels ({width} × {height})")
    if width * height > max_pixels:
        raise UnreadableImage(
            path,
            f"{width} × {height} pixels are above the limit of {max_pixels:,}",
        )
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnreadableImage(
            path, "it holds several frames; save the one to explain by itself"
        )


def _to_rgb(
    path: Path, image: "Image.Image", background: tuple[int, int, int]
) -> np.ndarray:
    """Eight-bit RGB from any mode whose white is known."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return _from_gray16(image, background)
    if image.mode in ("I", "F"):
        raise UnreadableImage(
            path, "its 32-bit samples have no stated white; save it with 8 or 16 bits"
        )
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        layer = image.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (*background, 255))
        image = Image.alpha_composite(canvas, layer)
    return np.asarray(image.convert("RGB"))


def _from_gray16(image: "Image.Image", background: tuple[int, int, int]) -> np.ndarray:
    """Sixteen-bit gray, rounded to eight bits; a PNG's transparent gray replaced."""
    samples = np.asarray(image).astype(np.uint32)
    gray = ((samples + 128) // 257).astype(np.uint8)
    pixels = np.repeat(gray[..., None], 3, axis=-1)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        pixels[samples == transparent] = background
    return pixels


def _orientation(path: Path, image: "Image.Image") -> int:
    """The EXIF orientation, 1 to 8; 1 where none is stated."""
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception as error:
        if trouble_of(error):
            raise
        raise UnreadableImage(
            path, "its EXIF block is damaged, so which way up it stands is unknown"
        ) from error
    return value if value in range(1, 9) else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation: transpose from 5 on, then flip rows and columns."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


@cache
def _formats() -> list[str]:
    """The accepted formats that this build of Pillow can open."""
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _silence_pillow() -> None:
    """Put a filter for Pillow's warnings first; safe to repeat in any thread."""
    # `catch_warnings` would save and restore the filters of all threads at once.
    with _LOCK:
        head = warnings.filters[0] if warnings.filters else None
        if not (head and head[0] == "ignore" and "PIL" in _pattern(head[3])):
            warnings.filterwarnings("ignore", module=r"PIL(\.|$)")


def _pattern(module: object) -> str:
    """The text of a warning filter's module pattern."""
    return str(getattr(module, "pattern", module))


def _reason(error: Exception, path: Path) -> str:
    """A decoder's exception as a reason for a person."""
    from PIL import Image, UnidentifiedImageError

    match error:
        case FileNotFoundError():
            return "there is no such file"
        case PermissionError():
            return "reading it is not permitted"
        case UnidentifiedImageError():
            if unread := unread_format(path):
                return unread
            return "it is not an image of a known format, or its header is damaged"
        case Image.DecompressionBombError():
            return "it has more pixels than Pillow's own limit"
        case MemoryError():
            return "decoding it needs more memory than there is"
        case OSError() if error.strerror:
            return f"it cannot be opened ({error.strerror})"
    text = " ".join(str(error).split()) or type(error).__name__
    return f"it is damaged ({text[:200]})"
