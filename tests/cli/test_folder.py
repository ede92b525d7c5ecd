import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xattr.cli._folder import (
    check_folder,
    check_report_folder,
    clear_report,
    clear_run,
    record_name,
    write_whole,
)


def test_names_begin_with_the_number():
    assert record_name(3, 5, "a/x.tar.png") == "3-x.tar"
    assert record_name(3, 1001, "x") == "0003-x"
    assert record_name(0, 1, "tfds/train#0") == "0-train_0"


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Grüße 犬", "Grüße_犬"),
        ("u\u0308", "ü"),
        ("हिन्दी", "हिन्दी"),
        ("CON", "CON"),
        ("犬" * 90, "犬" * 40),
        ("💥", "image"),
        ("caf\udce9", "caf"),
    ],
)
def test_names_keep_letters(stem, name):
    assert record_name(2, 3, f"{stem}.png") == f"2-{name}"


@given(st.lists(st.text(max_size=120), max_size=12))
def test_names_are_safe(stems):
    taken = [record_name(k, len(stems), f"{s}.png") for k, s in enumerate(stems)]
    assert len({name.casefold() for name in taken}) == len(stems)
    for name in taken:
        assert not set(name) & set('/\\:*?"<>| \n\0')
        assert not name.startswith((".", "-"))
        assert 0 < len(name.encode()) < 130
        assert unicodedata.is_normalized("NFC", name)


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "deep" / "x.bin"
    write_whole(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["x.bin"]


def test_files_can_be_read_by_others(tmp_path):
    write_whole(tmp_path / "x", lambda file: file.write(b"x"))
    (tmp_path / "y").write_bytes(b"y")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_checking_leaves_nothing_behind(tmp_path):
    check_folder(tmp_path / "new" / "er", overwrite=False)
    assert list(tmp_path.iterdir()) == []


REPORTED = ("index.html", "index-2.html", "predictions.csv", "report.json")
REPORTED += ("overlays/a/b.png", "arrays/a/b.npy")
STORED = ("run.json", "maps.zarr/zarr.json", "maps.zarr/a/c/0/0", "maps.zarr/a/x.json")
STORED += ("rows/part-00000.parquet", "staged/00000/00000003.safetensors")
STORED += ("rows/part-00001.parquet.__lock", "run.json.__lock")
MINE = ("mine.txt", "arrays/mine.txt", "overlays/mine/notes/a.txt", "rows/mine.parquet")
MINE += ("index-old.html",)


def fill(folder):
    for name in (*REPORTED, *STORED, *MINE):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")


def left(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path.relative_to(folder).as_posix() for path in files)


def test_only_runs_are_overwritten(tmp_path):
    fill(tmp_path)
    check_folder(tmp_path, overwrite=True)
    clear_run(tmp_path)
    assert left(tmp_path) == sorted(MINE)
    folders = {path.name for path in tmp_path.rglob("*") if path.is_dir()}
    assert folders == {"arrays", "overlays", "mine", "notes", "rows"}


def test_a_report_replaces_a_report_alone(tmp_path):
    fill(tmp_path)
    check_report_folder(tmp_path)
    clear_report(tmp_path)
    assert left(tmp_path) == sorted((*STORED, *MINE))


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(ValueError, match="is not empty. Give another folder, or `--ov"):
        check_folder(tmp_path, overwrite=False)
    with pytest.raises(ValueError, match="holds files that no run has written"):
        check_folder(tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="neither a run nor a report has written"):
        check_report_folder(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ValueError, match="is a file; give a folder"):
        check_folder(tmp_path / "x", overwrite=False)
    with pytest.raises(ValueError, match="cannot be written to"):
        check_folder(tmp_path / "x" / "y", overwrite=False)
