import os
import pickle
import shutil
from pathlib import Path

import pytest

from tests.data.archives import png
from xattr.data import FileSource, pixels_of


def fill(folder: Path, *names: str) -> Path:
    for value, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(value))
    return folder


def names(source: FileSource) -> list[str]:
    return [source[index].name for index in range(len(source))]


def labels(source: FileSource) -> list[str]:
    return [source[index].label for index in range(len(source))]


def test_names_count_from_the_common_folder(tmp_path, monkeypatch):
    fill(tmp_path, "dog/b.png", "cat/a.png", "c.png")
    expected = ["c.png", "cat/a.png", "dog/b.png"]
    assert names(FileSource([tmp_path])) == expected
    monkeypatch.chdir(tmp_path)
    assert names(FileSource(["."])) == expected
    assert names(FileSource(["dog", tmp_path / "cat"])) == expected[1:]
    assert names(FileSource(["*/*.png"])) == expected[1:]
    assert names(FileSource(["dog"])) == ["b.png"]
    assert names(FileSource(["dog/b.png"])) == ["b.png"]
    assert names(FileSource(["dog/b.png", "c.png", "./c.png"])) == [
        "c.png",
        "dog/b.png",
    ]


def test_files_are_read_from_anywhere(tmp_path, monkeypatch):
    fill(tmp_path / "photos", "a.png", "b.png")
    monkeypatch.chdir(tmp_path)
    source = pickle.loads(pickle.dumps(FileSource(["photos"])))
    monkeypatch.chdir("/")
    assert pixels_of(source[1])[0, 0].tolist() == [1, 1, 1]
    assert source[-1] == source[1]
    with pytest.raises(IndexError):
        source[2]


def test_labels_are_folders(tmp_path):
    fill(tmp_path / "photos", "dog/deep/b.png", "cat/a.png", "c.png")
    source = FileSource([tmp_path / "photos"], labels="folders")
    assert labels(source) == ["photos", "cat", "deep"]
    assert labels(FileSource([tmp_path / "photos"])) == ["", "", ""]


def test_labels_from_a_table(tmp_path, monkeypatch):
    fill(tmp_path / "photos", "dog/b.png", "cat/a.png", "c.png")
    table = tmp_path / "labels.csv"
    table.write_text("\ufefffile,label,more\ncat/a.png,a cat,1\nc.png,x,\n", "utf-8")
    source = FileSource([tmp_path / "photos"], labels=str(table))
    assert labels(source) == ["x", "a cat", ""]
    monkeypatch.chdir(tmp_path)
    table.write_text("label,file\nC,photos/c.png\n")
    assert labels(FileSource(["photos"], labels="labels.csv")) == ["C", "", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,label\n" + "x.png,a\ny.png,b\n",
            "2 of 2 rows name no file.*'x.png', 'y",
        ),
        ("file,class\nc.png,a\n", r"has the columns \['file', 'class'\]; the first"),
        ("", r"has the columns \[\]"),
        ("file,label\nc.png,a\nc.png,b\n", "gives 'c.png' two labels: 'a' and 'b'"),
        (b"file,label\n\xff\xfe,a\n", "cannot be read .*codec"),
        ("file,label\nc.png," + "x" * 200_000, "cannot be read .field larger"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, text, message):
    fill(tmp_path / "photos", "c.png")
    table = tmp_path / "labels.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        FileSource([tmp_path / "photos"], labels=str(table))


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(ValueError, match="`labels`='nowhere.csv' cannot be read"):
        FileSource([fill(tmp_path, "c.png")], labels="nowhere.csv")


def test_a_moved_folder_is_the_same_data_set(tmp_path):
    one = fill(tmp_path / "one", "a/x.png", "b.png")
    before = FileSource([one]).fingerprint()
    two = Path(shutil.move(one, tmp_path / "two"))
    assert FileSource([two]).fingerprint() == before
    assert len(before) == 64


def test_a_changed_folder_is_noticed(tmp_path):
    folder = fill(tmp_path / "photos", "a/x.png", "b.png")
    digests = [FileSource([folder]).fingerprint()]
    digests.append(FileSource([folder], labels="folders").fingerprint())
    (folder / "b.png").write_bytes(png(1, 50, 50))
    digests.append(FileSource([folder]).fingerprint())
    (folder / "b.png").rename(folder / "c.png")
    source = FileSource([folder])
    digests.append(source.fingerprint())
    (folder / "c.png").unlink()
    digests.append(source.fingerprint())
    assert len(set(digests)) == 5


def test_problems_are_no_records(tmp_path):
    folder = fill(tmp_path / "photos", "a.png")
    (folder / "b.heic").touch()
    source = FileSource([folder, tmp_path / "missing"], leave_out=tmp_path / "out")
    assert names(source) == ["photos/a.png"]
    assert [problem.path.name for problem in source.problems] == ["b.heic", "missing"]
    assert FileSource([folder], leave_out=folder).problems
    with pytest.raises(ValueError, match="`places` is empty"):
        FileSource([])


def test_names_are_shown_on_one_line_and_still_read(tmp_path):
    fill(tmp_path, "a\nb.png", os.fsdecode(b"caf\xe9.png"))
    source = FileSource([tmp_path], labels=None)
    assert names(source) == [r"a\nb.png", r"caf\xe9.png"]
    assert [int(pixels_of(source[k])[0, 0, 0]) for k in range(2)] == [0, 1]
    assert len(source.fingerprint()) == 64


def test_what_it_was_made_from(tmp_path, monkeypatch):
    monkeypatch.chdir(fill(tmp_path, "a.png"))
    assert FileSource(["a.png"], labels="folders").describe() == {
        "kind": "files",
        "places": ["a.png"],
        "labels": "folders",
        "count": 1,
    }
