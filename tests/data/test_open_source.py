import pytest

from tests.data.archives import png, tar, zipped
from xattr.data import ArchiveSource, FileSource, Source, open_source


def test_every_kind_is_a_source_of_grain(tmp_path):
    import grain

    (tmp_path / "a.png").write_bytes(png())
    tar(tmp_path / "x.tar", {"a.png": png()})
    for place in (tmp_path, tmp_path / "x.tar"):
        source = open_source([str(place)])
        assert isinstance(source, Source)
        assert isinstance(source, grain.sources.RandomAccessDataSource)
        assert grain.MapDataset.source(source)[0] == source[0]


def test_places_choose_the_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "folder.tar" / "a.png").write_bytes(png())
    zipped(tmp_path / "b.ZIP", {"b/b.png": png()})
    tar(tmp_path / "c.tar", {"c/c.png": png()})
    files = open_source(["folder.tar"], labels="folders", leave_out="out")
    assert isinstance(files, FileSource)
    assert files[0].label == "folder.tar"
    archives = open_source(["*.tar", "b.ZIP", "c.tar"][1:], labels="folders")
    assert isinstance(archives, ArchiveSource)
    assert [archives[k].name for k in range(2)] == ["b.ZIP/b/b.png", "c.tar/c/c.png"]
    assert [archives[k].label for k in range(2)] == ["b", "c"]


def test_patterns_of_archives(tmp_path):
    for number in (1, 0):
        tar(tmp_path / f"{number}.tar", {"a.png": png(number)})
    pattern = str(tmp_path / "*.tar")
    source = open_source([pattern, str(tmp_path / "0.tar")])
    assert [source[k].name for k in range(len(source))] == [
        "0.tar/a.png",
        "1.tar/a.png",
    ]
    with pytest.raises(ValueError, match="matches nothing"):
        open_source([str(tmp_path / "none*.zip")])


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (["a.png", "b.tar"], "mixes archives and files; a run reads one kind"),
        (["tfds:mnist/train", "b.tar"], "mixes TFDS and archives"),
        (["tfds:a/train", "tfds:b/train"], "2 data sets of TFDS; name one"),
        (["tfds:mnist"], "names no split: 'tfds:mnist/train'"),
        (["tfds:mnist/"], "names no split: 'tfds:mnist/train'"),
        ([], "`places` is empty"),
    ],
)
def test_places_that_make_no_source(places, message):
    with pytest.raises(ValueError, match=message):
        open_source(places)


def test_compressed_archives_are_refused(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"\x1f\x8b" + bytes(9))
    with pytest.raises(ValueError, match="compressed by gzip"):
        open_source([str(tmp_path / "x.tar.gz")])


def test_labels_are_not_for_tfds():
    with pytest.raises(ValueError, match="TFDS has its own labels"):
        open_source(["tfds:mnist/train"], labels="folders")


def test_one_text_is_no_list():
    with pytest.raises(TypeError, match=r"pass a list: `\['photos'\]`"):
        open_source("photos")
