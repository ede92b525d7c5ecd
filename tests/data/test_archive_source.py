"""Archives: the same records as the files in them, and no trust in anything."""

import gzip
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.archives import patched, png, tar, with_size, zipped
from xattr.data import (
    ArchiveSource,
    FileSource,
    Problem,
    Refused,
    UnreadableImage,
    pixels_of,
)

MAKE = {"tar": tar, "zip": zipped}
MEMBERS: dict[str, bytes | str] = {
    "dog/b.png": png(2),
    "./cat/a.PNG": png(1),
    "notes.txt": b"hello",
    ".hidden/x.png": png(9),
    "cat/._a.png": b"junk",
    "c.png": png(3, 7, 2),
}
HOSTILE: dict[str, bytes | str] = {
    "/tmp/escaped.png": png(),
    "../escaped.png": png(),
    "a/../../escaped.png": png(),
    "C:/escaped.png": png(),
    "\\escaped.png": png(),
    "a\\..\\..\\escaped.png": png(),
    "link.png": "/etc/passwd",
    "device.png": "device",
    "pipe.png": "pipe",
    "good.png": png(7),
}
REASONS = [
    "its name is an absolute path",
    "its name leads out of the archive",
    "its name leads out of the archive",
    "its name begins with a drive letter",
    "its name is an absolute path",
    "its name leads out of the archive",
    "it is a link",
    "it is not a regular file",
    "it is not a regular file",
    "",
]


def records(source):
    return [source[index] for index in range(len(source))]


def reason(record) -> str:
    return record.content.reason if isinstance(record.content, Refused) else ""


@pytest.fixture(params=["tar", "zip"])
def kind(request) -> str:
    return request.param


def archive(folder: Path, kind: str, members=None) -> Path:
    return MAKE[kind](folder / f"x.{kind}", MEMBERS if members is None else members)


def test_images_come_in_the_order_of_the_archive(tmp_path, kind):
    source = ArchiveSource([archive(tmp_path, kind)], labels="folders")
    assert [(r.name, r.label) for r in records(source)] == [
        ("dog/b.png", "dog"),
        ("cat/a.PNG", "cat"),
        ("c.png", ""),
    ]
    shades = [pixels_of(record)[0, 0].tolist() for record in records(source)]
    assert shades == [[2] * 3, [1] * 3, [3] * 3]
    assert pixels_of(source[2]).shape == (7, 2, 3)
    assert pixels_of(source[-1]).shape == (7, 2, 3)
    assert source.problems == ()
    with pytest.raises(IndexError):
        source[3]


@pytest.mark.parametrize(
    "form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
def test_every_form_of_tar_with_long_and_foreign_names(tmp_path, form):
    name = "ä" * 40 + "/" + "x" * 90 + ".png"
    path = tar(tmp_path / "x.tar", {name: png(4), "PK.png": png(5)}, form)
    source = ArchiveSource([path])
    assert [record.name for record in records(source)] == [name, "PK.png"]
    assert pixels_of(source[1])[0, 0, 0] == 5


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_both_packings_of_zip(tmp_path, method):
    path = zipped(tmp_path / "x.zip", {"a.png": png(4)}, method)
    assert ArchiveSource([path])[0].content == png(4)


def test_tar_and_zip_and_folder_hold_the_same(tmp_path):
    members = {"b/x.png": png(1), "b/y.png": png(2)}
    for name, data in members.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    sources = [
        ArchiveSource([tar(tmp_path / "x.tar", members)], labels="folders"),
        ArchiveSource([zipped(tmp_path / "x.zip", members)], labels="folders"),
        FileSource([tmp_path / "folder"], labels="folders"),
    ]
    assert len({source.fingerprint() for source in sources}) == 1


def test_several_archives_follow_one_another(tmp_path):
    for number in (0, 1):
        folder = tmp_path / f"part{number}"
        folder.mkdir()
        tar(folder / "x.tar", {"a.png": png(number)})
    places = [tmp_path / "part1" / "x.tar", tmp_path / "part0" / "x.tar"]
    source = ArchiveSource(places)
    assert [record.name for record in records(source)] == [
        "part1/x.tar/a.png",
        "part0/x.tar/a.png",
    ]
    assert [int(pixels_of(r)[0, 0, 0]) for r in records(source)] == [1, 0]


def test_a_source_travels_to_another_process(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = ArchiveSource([archive(tmp_path, kind).name], labels="folders")
    copy = pickle.loads(pickle.dumps(source))
    monkeypatch.chdir("/")
    assert records(copy) == records(source)
    assert copy.fingerprint() == source.fingerprint()
    assert copy.describe() == {
        "kind": "archives",
        "places": [f"x.{kind}"],
        "labels": "folders",
        "count": 3,
    }


def test_names_are_never_trusted(tmp_path, kind):
    source = ArchiveSource([archive(tmp_path, kind, HOSTILE)], labels="folders")
    assert [reason(record) for record in records(source)] == REASONS
    assert {record.label for record in records(source)} == {""}
    with pytest.raises(UnreadableImage, match="absolute path"):
        pixels_of(source[0])


def test_null_bytes_in_names(tmp_path):
    path = patched(
        zipped(tmp_path / "x.zip", {"a.png~.txt": png()}), b"a.png~", b"a.png\0"
    )
    (record,) = records(ArchiveSource([path]))
    assert record.name == r"a.png\x00.txt"
    assert reason(record) == "its name holds a null byte"


def test_hard_links_are_links(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.png": png(), "b.png": "a.png"})
    with tarfile.open(path, "a") as more:
        entry = tarfile.TarInfo("c.png")
        entry.type, entry.linkname = tarfile.LNKTYPE, "a.png"
        more.addfile(entry)
    assert list(map(reason, records(ArchiveSource([path])))) == [
        "",
        "it is a link",
        "it is a link",
    ]


def test_the_last_member_of_a_name_counts(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.png": png(1), "b.png": png(2)})
    with tarfile.open(path, "a") as more:
        tar_entry = tarfile.TarInfo("a.png")
        tar_entry.size = len(png(3))
        (tmp_path / "a").write_bytes(png(3))
        with (tmp_path / "a").open("rb") as file:
            more.addfile(tar_entry, file)
    shades = [pixels_of(r)[0, 0, 0] for r in records(ArchiveSource([path]))]
    assert shades == [3, 2]


def test_large_members_are_not_read(tmp_path, kind):
    members = {"a.png": png(), "bomb.png": bytes(100_000)}
    source = ArchiveSource([archive(tmp_path, kind, members)], max_bytes=99_999)
    assert reason(source[1]) == "100000 bytes are above the limit of 99,999"
    assert pixels_of(source[0]).shape == (4, 5, 3)


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path):
    bomb = bytes(50_000_000)
    path = with_size(zipped(tmp_path / "x.zip", {"a.png": bomb}), len(bomb), 1000)
    (record,) = records(ArchiveSource([path]))
    assert reason(record) == "it is damaged (its checksum differs)"


def test_a_tar_that_claims_more_than_there_is(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.png": png(1), "b.png": png(2)})
    whole = path.read_bytes()
    path.write_bytes(whole[:1600])
    source = ArchiveSource([path])
    assert list(map(reason, records(source))) == [
        "",
        "the archive ends in the middle of it",
    ]
    message = "the archive is cut short; what came after is missing"
    assert source.problems == (Problem(path, message),)
    path.write_bytes(whole[:1100])
    assert len(ArchiveSource([path])) == 1
    assert ArchiveSource([path]).problems == (Problem(path, message),)


def test_an_archive_cut_while_it_is_read(tmp_path, kind):
    path = archive(tmp_path, kind, {"a.png": png()})
    source = ArchiveSource([path])
    path.write_bytes(path.read_bytes()[:60])
    assert reason(source[0]) == "the archive ends in the middle of it"
    path.unlink()
    gone = Refused(
        "the archive cannot be read (No such file or directory)",
        "No such file or directory",
    )
    assert source[0] == ("a.png", "", gone)


def test_damaged_members_of_a_zip(tmp_path):
    name = b"a.png"
    stored = zipped(tmp_path / "x.zip", {"a.png": png(1)}, zipfile.ZIP_STORED)
    patched(stored, b"IDAT", b"IDAX")
    (record,) = records(ArchiveSource([stored]))
    assert reason(record) == "it is damaged (its checksum differs)"
    patched(stored, b"PK\x03\x04", b"PK\x03\x05")
    stored.write_bytes(b"PK\x03\x04" + stored.read_bytes())
    (record,) = records(ArchiveSource([stored]))
    assert reason(record) == "it is damaged (no header where it should be)"
    packed = zipped(tmp_path / "y.zip", {"a.png": bytes(range(256))})
    data = bytearray(packed.read_bytes())
    data[data.index(name) + len(name)] = 0xFF
    packed.write_bytes(data)
    (record,) = records(ArchiveSource([packed]))
    assert reason(record).startswith("it is damaged (Error -3")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [(8, 1, "it is encrypted"), (10, 14, "it is compressed by method 14")],
)
def test_what_a_zip_may_be_that_is_not_read(tmp_path, field, value, expected):
    path = zipped(tmp_path / "x.zip", {"a.png": png()})
    data = bytearray(path.read_bytes())
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + field, value)
    path.write_bytes(data)
    assert reason(ArchiveSource([path])[0]).startswith(expected)


def test_sparse_members_are_refused(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.png": png()}, tarfile.GNU_FORMAT)
    data = bytearray(path.read_bytes())
    data[156:157] = tarfile.GNUTYPE_SPARSE
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)
    assert "sparse" in reason(ArchiveSource([path])[0])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.tar", b"", "x.tar is no tar archive, or damaged"),
        ("x.tar", b"Dear reader, " * 99, "x.tar is no tar archive, or damaged"),
        ("x.zip", b"", "x.zip is no zip archive, or damaged"),
        ("x.zip", b"PK\x03\x04" + bytes(99), "x.zip is no zip archive, or damaged"),
        ("x.tgz", gzip.compress(b"x", mtime=0), "compressed by gzip.*plain .tar"),
        ("x.tar", b"\xfd7zXZ\0" + bytes(9), "compressed by xz"),
        ("x.tar", b"BZh91AY&SY", "compressed by bzip2"),
        ("x.tar.zst", b"(\xb5/\xfd" + bytes(9), "compressed by zstd"),
    ],
)
def test_files_that_are_no_archives(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        ArchiveSource([tmp_path / name])


def test_a_tar_damaged_between_members_is_refused(tmp_path):
    path = tar(tmp_path / "x.tar", {"a.png": png(), "b.png": png()})
    data = bytearray(path.read_bytes())
    data[1024:1124] = b"\xff" * 100
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged .byte 1024 begins no entry"):
        ArchiveSource([path])


def test_places_that_hold_nothing(tmp_path, kind):
    with pytest.raises(ValueError, match="at least one archive is needed"):
        ArchiveSource([])
    with pytest.raises(ValueError, match="none.tar cannot be read .No such file"):
        ArchiveSource([tmp_path / "none.tar"])
    with pytest.raises(ValueError, match="is not a regular file"):
        ArchiveSource([tmp_path])
    empty = archive(tmp_path, kind, {"a.txt": b"x"})
    assert ArchiveSource([empty]).problems == (
        Problem(empty, "the archive holds no image files"),
    )


def test_photographs_of_unread_formats_are_problems(tmp_path, kind):
    path = archive(tmp_path, kind, {"a.png": png(), "b/c.heic": b"x"})
    source = ArchiveSource([path])
    assert len(source) == 1
    assert source.problems == (
        Problem(path / "b/c.heic", "HEIC is not read; save it as JPEG"),
    )


def test_a_changed_archive_is_noticed(tmp_path, kind):
    digests = {
        ArchiveSource([archive(tmp_path, kind, members)]).fingerprint()
        for members in (
            {"a.png": png(1), "b.png": png(2, 9, 9)},
            {"b.png": png(2, 9, 9), "a.png": png(1)},
            {"a.png": png(1), "c.png": png(2, 9, 9)},
            {"a.png": png(1), "b.png": png(2, 90, 90)},
        )
    }
    assert len(digests) == 4


def test_threads_read_alike(tmp_path, kind):
    from concurrent.futures import ThreadPoolExecutor

    members = {f"{k}.png": png(k) for k in range(40)}
    source = ArchiveSource([archive(tmp_path, kind, members)])
    with ThreadPoolExecutor(8) as pool:
        shades = list(pool.map(lambda k: pixels_of(source[k])[0, 0, 0], range(40)))
    np.testing.assert_array_equal(shades, np.arange(40))


def test_a_member_of_a_zip_may_have_no_name(tmp_path):
    path = zipped(tmp_path / "x.zip", {"a.png": png(), "b.png": png(2)})
    patched(path, b"a.png", b"\0.png")
    assert [r.name for r in records(ArchiveSource([path]))] == ["b.png"]
