"""What an archive holds and where its members lie; nothing is ever written."""

import io
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from xattr.data._sources import Problem

TAR, STORED, DEFLATED = -1, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED

# Longest name, or table of contents, that is read in one go: lengths stand in headers
# that may be damaged. A tar's headers are also searched by patterns that take quadratic
# time in some versions of Python.
_LONGEST = {"tar": 2**15, "zip": 2**31}
# A tar begins with the first member's name, which may look like much.
_COMPRESSED = {
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9]1AY&SY": "bzip2",
    rb"\xfd7zXZ\x00": "xz",
    rb"\x28\xb5\x2f\xfd": "zstd",
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_BLOCK = 512
_CUT = "the archive ends in the middle of it"


class Member(NamedTuple):
    """Where an entry's bytes lie.

    Attributes:
      name: as the archive has it: not to be trusted.
      offset: of the bytes in a tar, of the local header in a zip.
      stored: bytes that it takes in the archive.
      size: bytes of its content.
      crc: checksum of its content; 0 in a tar.
      packing: `TAR`, `STORED` or `DEFLATED`.
      reason: why it cannot be read; "" if it can.
    """

    name: str
    offset: int
    stored: int
    size: int
    crc: int
    packing: int
    reason: str


def list_members(path: Path) -> Iterator[Member | Problem]:
    """The entries of a tar or zip archive that are no folders, in its order.

    Args:
      path: an archive, told by its first bytes.

    Yields:
      Members, and the problem that a tar was cut short, after its last member.

    Raises:
      ValueError: if it is no archive, compressed as a whole, or damaged.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError(f"{path} is not a regular file.")
        with path.open("rb", buffering=0) as file:
            list_ = _list_zip if _is_zip(file, path) else _list_tar
            yield from list_(file, path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}).") from error


def read_member(path: Path, member: Member) -> bytes:
    """The content of a member, never more than its `size`.

    Raises:
      ValueError: with the reason, if it is damaged or cut short.
      OSError: if the archive cannot be read.
    """
    with path.open("rb") as file:
        if member.packing == TAR:
            return _exactly(file, member.offset, member.size)
        header = _exactly(file, member.offset, 30)
        if header[:4] != b"PK\x03\x04":
            raise ValueError("it is damaged (no header where it should be)")
        lengths = struct.unpack("<HH", header[26:])
        packed = _exactly(file, member.offset + 30 + sum(lengths), member.stored)
    data = _inflate(packed, member.size) if member.packing == DEFLATED else packed
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise ValueError("it is damaged (its checksum differs)")
    return data


def _exactly(file: IO[bytes], offset: int, size: int) -> bytes:
    """Bytes at `offset`, all of them."""
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise ValueError(_CUT)
    return data


def _inflate(packed: bytes, size: int) -> bytes:
    """Decompress, and stop past `size` whatever is still to come."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError(f"it is damaged ({error})") from error


def _is_zip(file: IO[bytes], path: Path) -> bool:
    """Whether the archive is a zip; raise if it is compressed as a whole."""
    start = file.read(10)
    for mark, kind in _COMPRESSED.items():
        if re.match(mark, start):
            raise ValueError(
                f"{path} is compressed by {kind}, so that its members cannot be read "
                "in any order; decompress it to a plain .tar, or make a .zip."
            )
    return start.startswith(_ZIP) or path.suffix.lower() == ".zip"


class _Guarded(io.RawIOBase):
    """A file that refuses reads of absurd length."""

    def __init__(self, file: IO[bytes], longest: int) -> None:
        self._file, self._longest = file, longest

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or for -1 as many as are allowed."""
        if size > self._longest:
            raise ValueError(f"a header claims {size} bytes")
        return self._file.read(size if size >= 0 else self._longest)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True


def _list_tar(file: IO[bytes], path: Path) -> Iterator[Member | Problem]:
    """Walk from header to header."""
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    guarded, position, entry = _Guarded(file, _LONGEST["tar"]), 0, None
    try:
        archive = tarfile.open(
            fileobj=guarded, mode="r:", encoding="utf-8", errors="surrogateescape"
        )
        while position < end and (entry := archive.next()):
            if archive.offset <= position or entry.size < 0:
                raise ValueError("an entry has a negative size")
            position = archive.offset
            # it would keep them all, a kilobyte each
            archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
            if not entry.isdir():
                yield _tar_member(entry, end)
        cut = _is_cut(file, archive.offset) if entry is None else position > end
    except OSError:
        raise
    except Exception as error:  # damaged headers raise nearly anything
        raise ValueError(f"{path} is no tar archive, or damaged ({error}).") from error
    if cut:
        yield Problem(path, "the archive is cut short; what came after is missing")


def _tar_member(entry: tarfile.TarInfo, end: int) -> Member:
    """A header as a member."""
    reason = ""
    if entry.issym() or entry.islnk():
        reason = "it is a link"
    elif not entry.isreg():
        reason = "it is not a regular file"
    elif entry.issparse():
        reason = "it is stored as a sparse file; pack it again without --sparse"
    elif entry.offset_data + entry.size > end:
        reason = _CUT
    return Member(entry.name, entry.offset_data, entry.size, entry.size, 0, TAR, reason)


def _is_cut(file: IO[bytes], offset: int) -> bool:
    """Whether the walk ended inside a header; raise unless it ended well or so."""
    file.seek(offset)
    block = file.read(_BLOCK).rstrip(b"\0")
    if len(block) and file.tell() == offset + _BLOCK:
        raise ValueError(f"byte {offset} begins no entry")
    return bool(block)


def _list_zip(file: IO[bytes], path: Path) -> Iterator[Member | Problem]:
    """Read the table of contents at the end."""
    try:
        entries = zipfile.ZipFile(_Guarded(file, _LONGEST["zip"])).infolist()
    except Exception as error:
        raise ValueError(f"{path} is no zip archive, or damaged ({error}).") from error
    for entry in entries:
        if not entry.orig_filename.endswith("/"):
            yield _zip_member(entry)


def _zip_member(entry: zipfile.ZipInfo) -> Member:
    """An entry of the table as a member."""
    mode = entry.external_attr >> 16
    reason = ""
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        reason = "it is a link" if stat.S_ISLNK(mode) else "it is not a regular file"
    elif entry.flag_bits & 0x1:
        reason = "it is encrypted"
    elif entry.compress_type not in (STORED, DEFLATED):
        kind = entry.compress_type
        reason = (
            f"it is compressed by method {kind}; store (0) and deflate (8) are read"
        )
    elif entry.header_offset < 0:
        reason = "it is damaged (it lies before the archive)"
    return Member(
        entry.orig_filename,
        entry.header_offset,
        entry.compress_size,
        entry.file_size,
        entry.CRC,
        entry.compress_type,
        reason,
    )
