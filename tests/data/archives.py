"""Archives for tests, honest and not."""

import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def png(value: int = 0, height: int = 4, width: int = 5) -> bytes:
    """A PNG of one gray."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path: Path, members: Mapping[str, bytes | str], form: int = tarfile.PAX_FORMAT):
    """A tar of files; a text in place of bytes is a link's target or a kind."""
    kinds = {"device": tarfile.CHRTYPE, "pipe": tarfile.FIFOTYPE, "": tarfile.DIRTYPE}
    with tarfile.open(path, "w", format=form) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
                continue
            entry.type = kinds.get(content, tarfile.SYMTYPE)
            entry.linkname = content if entry.type == tarfile.SYMTYPE else ""
            archive.addfile(entry)
    return path


def zipped(
    path: Path, members: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED
):
    """A zip of files; a text in place of bytes is a link's target or a kind."""
    kinds = {"device": stat.S_IFCHR, "pipe": stat.S_IFIFO}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            if isinstance(content, str):
                entry.external_attr = (kinds.get(content, stat.S_IFLNK) | 0o777) << 16
            archive.writestr(entry, content)
    return path


def patched(path: Path, old: bytes, new: bytes) -> Path:
    """Replace bytes in a file, each time that they occur."""
    data = path.read_bytes()
    assert len(old) == len(new)
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def with_size(path: Path, size: int, claimed: int) -> Path:
    """Have a zip's headers claim another uncompressed size."""
    return patched(path, struct.pack("<I", size), struct.pack("<I", claimed))
