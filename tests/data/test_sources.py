import os
from pathlib import Path

import pytest

from xattr.data import (
    Problem,
    UnreadableImage,
    display_name,
    find_images,
    read_image,
)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def names(found, root):
    return [path.relative_to(root).as_posix() for path in found.paths]


def test_folder_is_read_recursively_and_sorted(tmp_path):
    for name in ("b/2.PNG", "b/1.jpg", "a.jpeg", "c/deep/er/x.webp"):
        touch(tmp_path / name)
    for name in ("notes.txt", ".hidden.png", ".cache/y.png"):
        touch(tmp_path / name)
    found = find_images([tmp_path])
    assert names(found, tmp_path) == [
        "a.jpeg",
        "b/1.jpg",
        "b/2.PNG",
        "c/deep/er/x.webp",
    ]
    assert found.problems == ()


def test_a_file_named_in_many_ways_comes_once(tmp_path, monkeypatch):
    touch(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to("a.png")
    monkeypatch.chdir(tmp_path)
    found = find_images(["a.png", "./a.png", str(tmp_path), "*.png", "a.png"])
    assert len(found.paths) == 1


def test_named_files_are_kept_whatever_their_suffix(tmp_path):
    file = touch(tmp_path / "picture.dat")
    assert find_images([file]).paths == (file,)
    assert find_images([str(tmp_path / "*.dat")]).paths == (file,)


def test_globs(tmp_path):
    for name in ("a/1.png", "a/2.jpg", "b/c/3.png"):
        touch(tmp_path / name)
    assert names(find_images([tmp_path / "**" / "*.png"]), tmp_path) == [
        "a/1.png",
        "b/c/3.png",
    ]
    assert len(find_images([tmp_path / "[ab]"]).paths) == 3


def test_an_existing_path_with_brackets_is_no_pattern(tmp_path):
    file = touch(tmp_path / "[ab].png")
    touch(tmp_path / "a.png")
    assert find_images([file]).paths == (file,)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing.png", "there is no such file or folder"),
        ("nothing*.png", "the pattern matches nothing"),
        ("empty", "the folder holds no image files"),
    ],
)
def test_problems_are_listed(tmp_path, place, reason):
    (tmp_path / "empty").mkdir()
    found = find_images([tmp_path / place, tmp_path / place])
    assert found == ((), (Problem(tmp_path / place, reason),))


def test_unlistable_folder_is_a_problem(tmp_path, monkeypatch):
    touch(tmp_path / "a.png")

    def walk(place, followlinks, onerror):
        onerror(PermissionError(13, "Permission denied", str(tmp_path / "closed")))
        yield str(place), [], ["a.png"]

    monkeypatch.setattr(os, "walk", walk)
    found = find_images([tmp_path])
    assert len(found.paths) == 1
    assert found.problems[0].path == tmp_path / "closed"
    assert "Permission denied" in found.problems[0].reason


def test_loops_of_links_end(tmp_path):
    touch(tmp_path / "a" / "x.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    found = find_images([tmp_path])
    assert sorted(path.name for path in found.paths) == ["loop.png", "x.png"]


def test_display_name_keeps_letters_and_escapes_the_rest(tmp_path):
    assert display_name("Grüße/犬.png") == "Grüße/犬.png"
    assert display_name("a\tb\x1b[31m.png") == r"a\tb\x1b[31m.png"
    undecodable = os.fsdecode(b"caf\xe9.png")
    assert display_name(undecodable) == r"caf\xe9.png"
    display_name(undecodable).encode("utf-8")


def test_results_of_runs_are_no_photographs(tmp_path):
    for name in ("a.png", "out/overlays/b.png", "old/maps/c.png", "hers/d.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "old" / "run.json").write_text('{"format": 1, "run": {}}')
    (tmp_path / "hers" / "run.json").write_text('{"speed": 3}')
    pattern = f"{tmp_path}/**/b.png"
    found = find_images([tmp_path, pattern], leave_out=tmp_path / "x" / ".." / "out")
    assert [path.name for path in found.paths] == ["a.png", "d.png"]
    (alone,) = find_images([tmp_path / "old"]).problems
    assert alone.reason == "the folder holds no image files"


def test_photographs_of_formats_that_are_not_read_are_told(tmp_path):
    for name in ("a.HEIC", "b.jxl", "c.NEF", "d.svg", "e.psd", ".f.heic", "g.txt"):
        touch(tmp_path / name)
    found = find_images([tmp_path, tmp_path])
    assert found.paths == ()
    assert [(path.name, reason) for path, reason in sorted(found.problems)] == [
        ("a.HEIC", "HEIC is not read; save it as JPEG"),
        ("b.jxl", "JPEG XL is not read; save it as JPEG"),
        ("c.NEF", "RAW is not read; save it as JPEG"),
        ("d.svg", "SVG is not read; save it as JPEG"),
        ("e.psd", "PSD is not read; save it as JPEG"),
    ]
    with pytest.raises(UnreadableImage, match="HEIC is not read; save it as JPEG"):
        read_image(tmp_path / "a.HEIC")
