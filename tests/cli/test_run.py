import json

import pytest

from xattr.run import open_run


@pytest.fixture
def call_run(tiny, call, photos, tmp_path):
    def call_run(*arguments):
        where = ("--images", photos, "--out", tmp_path / "store")
        return call("run", *where, "--method", "grad_cam,rise", *arguments)

    return call_run


def test_run_explains_a_folder(call_run, tmp_path):
    done = call_run("--set", "rise.num_masks=8", "--batch-size", 2)
    assert done.exit_code == 0, done.output
    assert "5 ok" in done.output
    found = open_run(tmp_path / "store")
    assert found.methods == ("grad_cam", "rise")
    assert found.settings["methods"]["rise"]["num_masks"] == 8
    assert found.settings["tile_size"] == 2
    assert found.rows()["file"].to_pylist() == [
        "a/x.png",
        "a/y.png",
        "b/X.png",
        "b/x.png",
        "b/ü & <b>.png",
    ]


def test_run_goes_on_and_refuses_another_run(call_run, tmp_path):
    assert call_run("--set", "rise.num_masks=8").exit_code == 0
    assert call_run("--set", "rise.num_masks=8").exit_code == 0
    done = call_run("--set", "rise.num_masks=9")
    assert done.exit_code == 2
    assert "methods.rise.num_masks: 8 there, 9 here" in done.output


def test_run_takes_a_file_of_options_and_what_is_typed_goes_before_it(
    call_run, tmp_path
):
    file = tmp_path / "run.toml"
    file.write_text('seed = 3\nmaps-dtype = "int8"\n[options.rise]\nnum_masks = 4\n')
    done = call_run("--config", file, "--seed", 5)
    assert done.exit_code == 0, done.output
    settings = open_run(tmp_path / "store").settings
    assert settings["seed"] == 5
    assert settings["maps"]["dtype"] == "int8"
    assert settings["methods"]["rise"]["num_masks"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead = 3", "'sead', which is no option. Nearest: seed"),
        ("seed = ", "is no TOML file"),
        ("[options.sobol]\nnum_designs = 4", "`options` are given for sobol"),
        ("[options.rise]\nnum_maskz = 4", "num_maskz"),
    ],
)
def test_a_wrong_file_is_refused(call_run, tmp_path, text, message):
    file = tmp_path / "run.toml"
    file.write_text(text)
    done = call_run("--config", file)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--share", "4"), "`--share` '4' is no share"),
        (("--share", "4/4"), "shares of 4 are 0/4 to 3/4"),
        (("--set", "num_masks=4"), "`--set` 'num_masks=4' is no hyperparameter"),
        (("--batch-size", 12), "`--batch-size` 12 is no power of two"),
        (("--perturbation", 3), "must divide the 2 devices"),
        (("--coordinator", "a:1"), "needs `num_processes`"),
        (("--config", "nowhere.toml"), "cannot be read"),
    ],
)
def test_a_wrong_call_writes_nothing(call_run, tmp_path, arguments, message):
    done = call_run(*arguments)
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "store").exists()


def test_what_is_missing_is_named(tiny, call):
    done = call("run", "--images", "x")
    assert done.exit_code == 2
    assert "`--out` is missing" in done.output


def test_unreadable_files_are_told_and_make_the_exit_code_one(
    call_run, photos, tmp_path
):
    (photos / "a/bad.png").write_bytes(b"nonsense")
    done = call_run("--set", "rise.num_masks=8")
    assert done.exit_code == 1
    assert "5 ok, 1 skipped" in done.output


def test_labels_may_be_targets(call_run, photos, tmp_path):
    (photos / "labels.csv").write_text("file,label\na/x.png,tiger cat\n")
    labels = ("--labels", photos / "labels.csv", "--target", "label")
    done = call_run("--set", "rise.num_masks=8", *labels)
    assert done.exit_code == 1
    rows = open_run(tmp_path / "store").rows().to_pydict()
    assert rows["target"] == [2, None, None, None, None]
    assert rows["reason"][1] == "its label '' names no class"


def test_shares_make_one_store(call_run, tmp_path):
    for share in ("1/2", "0/2"):
        call_run("--share", share, "--set", "rise.num_masks=8")
    assert open_run(tmp_path / "store").statuses() == {"ok": 5}


def test_status_tells_how_far_a_run_is(call_run, call, tmp_path):
    call_run("--set", "rise.num_masks=8")
    done = call("run", "status", tmp_path / "store")
    assert done.exit_code == 0
    lines = dict(line.split("\t") for line in done.output.splitlines() if "\t" in line)
    assert lines["records"] == lines["committed"] == lines["status ok"] == "5"
    assert lines["to be computed"] == "0"
    manifest = json.loads((tmp_path / "store/run.json").read_text())
    assert manifest["about"]["source"]["places"] == [str(tmp_path / "photos")]
    assert call("run", "status", tmp_path).exit_code == 2
