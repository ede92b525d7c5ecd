"""A data set in tar and zip archives, read where it lies."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from xattr.data._file_source import common_folder
from xattr.data._fingerprint import checksum, digest, spread
from xattr.data._labels import assign_labels
from xattr.data._members import TAR, Member, list_members, read_member
from xattr.data._record import Record, Refused
from xattr.data._sources import SUFFIXES, Problem, display_name, unread_format
from xattr.data._trouble import trouble_of

MAX_BYTES = 2**29
_COLUMNS = ("offset", "stored", "size", "crc", "packing")


class ArchiveSource:
    """The images in tar (uncompressed) and zip archives, without extracting them.

    Records come archive by archive, and in each in the archive's own order. A
    record's name is its member's; with several archives the archive's path, from
    the folder that they all lie in, stands before it. As in folders, only members
    with the suffix of an image format count, and none whose path has a part that
    begins with a dot. Of members of one name the last counts, as in extracting.

    Nothing is written, whatever members are called. Those whose name is absolute,
    leads out of the archive, or has a drive letter or a null byte, and links and
    devices, are records that give a reason instead of an image. So are encrypted,
    damaged and cut short members, and larger ones than `max_bytes`; no more than a
    member's stated size is ever decompressed.

    Args:
      places: one or more archives.
      labels: None, "folders" for the name of the folder that a member lies in, or a
        CSV file with the columns `file` and `label`.
      max_bytes: largest member that is read, compressed or not.

    Attributes:
      problems: photographs of unread formats and archives that were cut short.

    Raises:
      ValueError: if an archive is none, is damaged, or is compressed as a whole, or
        if `labels` do not fit.
    """

    def __init__(
        self,
        places: Sequence[str | os.PathLike[str]],
        *,
        labels: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if not places:
            raise ValueError("`places` is empty; at least one archive is needed")
        self._archives = tuple(os.path.abspath(place) for place in places)
        self._max_bytes = max_bytes
        problems: list[Problem] = []
        found = [
            (number, member)
            for number, archive in enumerate(self._archives)
            for member in _images(Path(archive), problems)
        ]
        self.problems = tuple(problems)
        self._spans = np.array(
            [(number, *_span(member)) for number, member in found], np.int64
        ).reshape(-1, 1 + len(_COLUMNS))
        self._refused = {
            index: reason
            for index, (_, member) in enumerate(found)
            if (reason := member.reason or self._refusal(member))
        }
        inner = [_name(member) for _, member in found]
        prefixes = self._prefixes()
        self._names = tuple(
            prefixes[number] + name
            for (number, _), name in zip(found, inner, strict=True)
        )
        self._labels = assign_labels(
            labels,
            self._names,
            other_names=inner,
            folders=map(_folder, (member for _, member in found)),
        )
        self._made_from = {
            "kind": "archives",
            "places": [display_name(place) for place in places],
            "labels": labels and display_name(labels),
            "count": len(found),
        }

    def __len__(self) -> int:
        """How many image members there are."""
        return len(self._names)

    def __getitem__(self, index: int) -> Record:
        """The member at `index`, read and decompressed but not decoded."""
        name, label = self._names[index], self._labels[index]
        index %= len(self)
        if reason := self._refused.get(index):
            return Record(name, label, Refused(reason))
        number, *span = self._spans[index].tolist()
        member = Member(name=name, reason="", **dict(zip(_COLUMNS, span, strict=True)))
        return Record(name, label, _content(Path(self._archives[number]), member))

    def describe(self) -> dict[str, Any]:
        """The archives, the labels' origin and the number of members."""
        return dict(self._made_from)

    def fingerprint(self) -> str:
        """SHA-256 over names, labels, sizes, and what some members hold.

        A zip tells the checksums of all that it holds; of a tar's members those are
        read that are among 64 records, evenly spread. A member that cannot be read
        adds nothing.
        """
        sizes = self._spans[:, 1 + _COLUMNS.index("size")].tolist()
        entries = zip(self._names, self._labels, sizes, strict=True)
        return digest(entries, self._checksums())

    def _checksums(self) -> Iterator[int | None]:
        """Of the members of zips, and of some of tars."""
        picked = set(spread(len(self)))
        crcs, packings = (
            self._spans[:, 1 + _COLUMNS.index(name)].tolist()
            for name in ("crc", "packing")
        )
        for index, (crc, packing) in enumerate(zip(crcs, packings, strict=True)):
            if packing != TAR and index not in self._refused:
                yield crc
            elif index in picked:
                yield checksum(self[index].content)

    def _refusal(self, member: Member) -> str:
        """Why a member is not read, before reading it; "" if nothing is wrong."""
        if reason := _unsafe(member.name):
            return reason
        if max(member.size, member.stored) > self._max_bytes:
            return f"{member.size} bytes are above the limit of {self._max_bytes:,}"
        return ""

    def _prefixes(self) -> list[str]:
        """What stands before the names of each archive's members."""
        if len(self._archives) == 1:
            return [""]
        root = common_folder(self._archives)
        paths = [Path(os.path.relpath(path, root)) for path in self._archives]
        return [display_name(path.as_posix()) + "/" for path in paths]


def _content(archive: Path, member: Member) -> bytes | Refused:
    """What a member holds, or why it cannot be read."""
    try:
        return read_member(archive, member)
    except ValueError as error:
        return Refused(str(error))
    except (OSError, MemoryError) as error:
        trouble = trouble_of(error)
        told = trouble or getattr(error, "strerror", "") or type(error).__name__
        return Refused(f"the archive cannot be read ({told})", trouble)


def _images(archive: Path, problems: list[Problem]) -> list[Member]:
    """The members that look like images; what else is worth telling goes apart."""
    members: dict[str, Member] = {}
    num_problems = len(problems)
    for item in list_members(archive):
        if isinstance(item, Problem):
            problems.append(item)
            continue
        path = PurePosixPath(item.name.partition("\0")[0].replace("\\", "/"))
        if any(part.startswith(".") and part != ".." for part in path.parts):
            continue
        if path.suffix.lower() in SUFFIXES:
            members[item.name] = item
        elif reason := unread_format(Path(path)):
            problems.append(Problem(archive / display_name(item.name), reason))
    if not members and len(problems) == num_problems:
        problems.append(Problem(archive, "the archive holds no image files"))
    return list(members.values())


def _name(member: Member) -> str:
    """A member's name for display, without `./` where it is safe."""
    if _unsafe(member.name):
        return display_name(member.name)
    return display_name(PurePosixPath(member.name))


def _folder(member: Member) -> str:
    """The name of the folder that a member lies in."""
    path = PurePosixPath(member.name)
    return "" if _unsafe(member.name) else display_name(path.parent.name)


def _unsafe(name: str) -> str:
    """Why a name must not be trusted; "" if it may."""
    parts = re.split(r"[/\\]", name)
    if "\0" in name:
        return "its name holds a null byte"
    if not parts[0]:
        return "its name is an absolute path"
    if re.match("[A-Za-z]:", name):
        return "its name begins with a drive letter"
    if ".." in parts:
        return "its name leads out of the archive"
    return ""


def _span(member: Member) -> list[int]:
    """Where a member lies, in 64 bits; headers may claim more."""
    return [max(min(getattr(member, name), 2**62), -1) for name in _COLUMNS]
