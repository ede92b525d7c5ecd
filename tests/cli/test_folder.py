import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xattr.cli import _folder
from xattr.cli._folder import Names, check_folder, make_folder, write_whole


def test_names_are_unique_whatever_the_case():
    names = Names()
    taken = [names.take(Path(p)) for p in ("a/x.png", "b/x.jpg", "c/X.png", "x-2.png")]
    assert taken == ["x", "x-2", "X-3", "x-2-2"]


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Grüße 犬", "Grüße_犬"),
        ("u\u0308", "ü"),
        ("हिन्दी", "हिन्दी"),
        ("CON", "CON_"),
        ("com1.backup", "com1.backup_"),
        ("console", "console"),
        ("犬" * 90, "犬" * 40),
        ("💥", "image"),
        ("caf\udce9", "caf"),
    ],
)
def test_names_keep_letters(stem, name):
    assert Names().take(Path(f"{stem}.png")) == name


def test_many_files_of_one_name_take_time_for_each(monkeypatch):
    names, compared = Names(), []
    folded = _folder._folded
    monkeypatch.setattr(_folder, "_folded", lambda n: compared.append(n) or folded(n))
    taken = [names.take(Path("x.png")) for _ in range(200)]
    assert taken[-1] == "x-200"
    assert len(compared) < 1200


@given(st.lists(st.text(max_size=120), max_size=12))
def test_names_are_safe(stems):
    names = Names()
    taken = [names.take(Path(stem.replace("/", "_") + ".png")) for stem in stems]
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


def test_only_results_are_overwritten(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    for name in ("index.html", "index-2.html", "predictions.csv", "overlays/a/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    mine = ["mine.txt", "maps/mine.txt", "overlays/mine/notes/a.txt"]
    for name in ("maps/a.npz", *mine):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    check_folder(tmp_path, overwrite=True)
    make_folder(tmp_path)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in left) == sorted(
        mine
    )
    assert not (tmp_path / "overlays" / "a").exists()


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(ValueError, match="is not empty. Give another folder, or `--ov"):
        check_folder(tmp_path, overwrite=False)
    with pytest.raises(ValueError, match="holds files that no run has written"):
        check_folder(tmp_path, overwrite=True)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(ValueError, match="is a file; give a folder"):
        check_folder(tmp_path / "x", overwrite=False)
    with pytest.raises(ValueError, match="cannot be written to"):
        check_folder(tmp_path / "x" / "y", overwrite=False)
