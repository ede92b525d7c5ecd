import json
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

import xattr
from tests.apart import apart
from tests.run.conftest import Noise, digests, noise, plan, run
from xattr.cli.methods import METHODS
from xattr.data import FileSource, SourceLost
from xattr.run import Computation, Place, RunMismatch, Share, execute, open_run


def assert_close(maps, expected):
    """Equal by rounding, but where a unit is so near its kink that it falls over."""
    scale = np.abs(expected).max()
    assert np.isclose(maps, expected, rtol=0, atol=1e-5 * scale).mean() > 0.99
    assert np.abs(maps - expected).max() < 0.2 * scale


def test_maps_are_those_of_the_method(tmp_path):
    few = {"num_samples": 3}
    wanted = plan("grad_cam", "gradient", "smoothgrad", options={"smoothgrad": few})
    progress = run(tmp_path, wanted, noise(11))
    assert (progress.total, progress.done, progress.computed) == (11, 11, 11)
    found = open_run(tmp_path)
    images = jax.numpy.stack([Noise(11)[k]["image"] for k in range(11)]) / np.float32(
        255
    )
    model = wanted.pretrained.model
    targets = np.asarray(model(images)).argmax(-1)
    keys = jax.vmap(lambda k: jax.random.fold_in(jax.random.key(0), k))(np.arange(11))
    expected = {
        "grad_cam": xattr.grad_cam(model, images, targets, site="relu:1"),
        "gradient": xattr.gradient(model, images, targets),
        "smoothgrad": xattr.smoothgrad(xattr.gradient, **few)(
            model, images, targets, key=keys
        ),
    }
    for name, maps in expected.items():
        assert_close(found.maps[name][:], maps)
    rows = found.rows().to_pydict()
    assert rows["index"] == list(range(11))
    assert rows["target"] == rows["prediction"] == targets.tolist()
    assert rows["status"] == ["ok"] * 11
    probabilities = jax.nn.softmax(np.asarray(model(images)))
    np.testing.assert_allclose(rows["probability"], probabilities.max(-1), rtol=1e-4)
    sums = found.maps["gradient"][:].sum((1, 2, 3))
    np.testing.assert_allclose(rows["gradient_sum"], sums, rtol=1e-4)


@pytest.mark.parametrize("num_devices", [2, apart(1)])
def test_bytes_depend_on_neither_devices_nor_shares(tmp_path, num_devices):
    wanted, source = plan(), noise(300)
    run(tmp_path / "whole", wanted, source)
    computation = Computation(wanted, jax.devices()[:num_devices])
    for number in (1, 0):
        options = {"share": Share(number, 2), "computation": computation}
        run(tmp_path / "parts", wanted, source, **options)
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")


FEW = {
    "rise": {"num_masks": 33},
    "integrated_gradients": {"num_steps": 9},
    "occlusion": {"window": 5, "stride": 3},
}


@pytest.mark.parametrize(
    "methods",
    [("rise",), apart(("occlusion",)), apart(("integrated_gradients",))],
)
def test_perturbations_may_be_divided_among_devices(tmp_path, methods):
    options = {name: FEW[name] for name in methods}
    wanted, source = plan(*methods, options=options), noise(10)
    run(tmp_path / "one", wanted, source, computation=Computation(wanted))
    two = Computation(wanted, jax.devices()[:2], num_perturbation=2)
    assert two.num_tiles == 1
    run(tmp_path / "two", wanted, source, computation=two)
    one, other = open_run(tmp_path / "one"), open_run(tmp_path / "two")
    for name in wanted.methods:
        maps = one.maps[name][:]
        scale = np.abs(maps).max()
        np.testing.assert_allclose(other.maps[name][:], maps, atol=1e-5 * scale)


def test_another_tile_changes_rounding_only(tmp_path):
    source = noise(40)
    run(tmp_path / "a", plan(tile_size=8), source)
    run(tmp_path / "b", plan(tile_size=32), source)
    for name in ("grad_cam", "gradient"):
        a, b = (open_run(tmp_path / x).maps[name][:] for x in "ab")
        assert_close(a, b)


def test_unreadable_records_are_rows_and_cost_nothing_else(tmp_path):
    run(tmp_path / "a", plan(), noise(20, bad=(0, 3, 8, 9, 10, 11, 12, 13, 14, 15)))
    run(tmp_path / "b", plan(), noise(20))
    a, b = open_run(tmp_path / "a"), open_run(tmp_path / "b")
    rows = a.rows().to_pydict()
    assert rows["status"][3] == "skipped"
    assert "the disk is gone" in rows["reason"][3]
    assert a.statuses() == {"ok": 10, "skipped": 10}
    good = [1, 2, 4, 5, 6, 7, 16, 17, 18, 19]
    for name in a.methods:
        assert np.isnan(a.maps[name][3]).all()
        assert np.isnan(a.maps[name][10]).all()
        np.testing.assert_array_equal(a.maps[name][good], b.maps[name][good])


def test_labels_may_be_the_targets(tmp_path):
    run(tmp_path, plan(target="label"), noise(8))
    rows = open_run(tmp_path).rows().to_pydict()
    # "crane" names two classes, "nonsense" none.
    assert rows["target"] == [0, None, 3, None] * 2
    assert rows["label"][:4] == ["tench", "crane", "3", "nonsense"]
    assert rows["reason"][1] == "its label 'crane' names no class"


def test_a_class_may_be_the_target(tmp_path):
    run(tmp_path, plan(target=2), noise(8))
    rows = open_run(tmp_path).rows().to_pydict()
    assert rows["target"] == [2] * 8
    assert rows["target_label"] == ["tiger cat"] * 8


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("int8", 0.51 / 127), apart("float16", 1e-3)]
)
def test_maps_may_be_kept_small(tmp_path, dtype, tolerance):
    run(tmp_path / "full", plan(), noise(9))
    run(tmp_path / "small", plan(maps_dtype=dtype), noise(9, bad=(4,)))
    full, small = (open_run(tmp_path / x).maps for x in ("full", "small"))
    for name in full:
        assert small[name].array.dtype.name == dtype
        assert np.isnan(small[name][4]).all()
        for k in (0, 8):
            largest = np.abs(full[name][k]).max()
            difference = np.abs(full[name][k] - small[name][k]).max()
            assert difference <= tolerance * largest


def test_maps_may_be_enlarged(tmp_path):
    wanted = plan("grad_cam", options={}, resolution="input")
    run(tmp_path / "a", wanted, noise(3))
    run(tmp_path / "b", plan("grad_cam"), noise(3))
    large, raw = (open_run(tmp_path / x).maps["grad_cam"] for x in "ab")
    expected = xattr.images.resize(jax.numpy.asarray(raw[:]), (16, 16))
    np.testing.assert_allclose(large[:], expected, rtol=1e-4, atol=1e-6)


def test_half_precision_computes_nearly_the_same(tmp_path):
    run(tmp_path / "a", plan("grad_cam"), noise(3))
    run(tmp_path / "b", plan("grad_cam", compute_dtype="bfloat16"), noise(3))
    full, half = (open_run(tmp_path / x).maps["grad_cam"][:] for x in "ab")
    assert 0 < np.abs(full - half).max() < 0.05 * np.abs(full).max()


def test_a_map_that_is_not_finite_is_a_status(tmp_path):
    row = replace(METHODS["gradient"], method=_broken)
    wanted = replace(plan(), methods={"gradient": row})
    run(tmp_path, wanted, noise(9))
    rows = open_run(tmp_path).rows().to_pydict()
    assert rows["status"][0] == "gradient: not finite"
    assert set(rows["status"][1:]) == {"ok"}


def _broken(model, images, targets, *, key):
    """Gradients, the first record's not a number; told apart by its pixels."""
    first = Noise(1)[0]["image"]
    same = (jax.numpy.round(images * 255) == first[None]).all((1, 2, 3))[
        :, None, None, None
    ]
    return jax.numpy.where(same, np.nan, xattr.gradient(model, images, targets))


def test_what_fails_on_a_batch_is_tried_in_halves_and_then_recorded(tmp_path, caplog):
    sizes = []

    def prepare(images):
        sizes.append(len(images))
        first = Noise(6)[5]["image"] / np.float32(255)
        if (images == first).all((1, 2, 3)).any():
            raise MemoryError("no room for this one")
        return {}

    rows = {
        "grad_cam": METHODS["grad_cam"],
        "gradient": replace(METHODS["gradient"], prepare=prepare),
    }
    run(tmp_path / "a", replace(plan(), methods=rows), noise(20))
    run(tmp_path / "b", plan(), noise(20))
    assert sizes.count(1) == 3  # its shape, and the two of the last half
    assert sizes.count(2) == sizes.count(4) == 2
    a, b = open_run(tmp_path / "a"), open_run(tmp_path / "b")
    found = a.rows().to_pydict()
    assert found["status"] == ["ok"] * 5 + ["gradient: failed"] + ["ok"] * 14
    assert found["reason"][5] == "gradient: MemoryError: no room for this one"
    assert "is tried in parts" in caplog.text
    assert np.isnan(a.maps["gradient"][5]).all()
    rest = [k for k in range(20) if k != 5]
    whole = b.maps["gradient"][rest]
    scale = np.abs(whole).max()
    np.testing.assert_allclose(a.maps["gradient"][rest], whole, atol=1e-5 * scale)
    np.testing.assert_array_equal(a.maps["grad_cam"][:], b.maps["grad_cam"][:])


def test_a_program_too_large_for_a_batch_is_tried_on_less(tmp_path, caplog):
    def method(model, images, targets, *, key):
        if len(images) > 2:
            raise MemoryError("RESOURCE_EXHAUSTED: too much")
        return xattr.gradient(model, images, targets)

    rows = {
        "grad_cam": METHODS["grad_cam"],
        "gradient": replace(METHODS["gradient"], method=method),
    }
    run(tmp_path / "a", replace(plan(), methods=rows), noise(11))
    run(tmp_path / "b", plan(), noise(11))
    a, b = open_run(tmp_path / "a"), open_run(tmp_path / "b")
    assert a.statuses() == {"ok": 11}
    assert "RESOURCE_EXHAUSTED: too much" in caplog.text
    for name in rows:
        assert_close(a.maps[name][:], b.maps[name][:])
    probabilities = [x.rows()["probability"].to_numpy() for x in (a, b)]
    np.testing.assert_allclose(*probabilities, rtol=1e-5)


@pytest.mark.slow
def test_segments_of_any_number_serve_any_number_of_devices(tmp_path):
    wanted = plan("xrai", tile_size=2)
    for count in (1, 2):
        computation = Computation(wanted, jax.devices()[:count])
        run(tmp_path / str(count), wanted, noise(6), computation=computation)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_another_plan_is_refused_with_what_differs(tmp_path):
    run(tmp_path, plan(), noise(5))
    before = digests(tmp_path)
    with pytest.raises(RunMismatch, match=r"seed: 0 there, 1 here\n.*another folder"):
        run(tmp_path, plan(seed=1), noise(5))
    with pytest.raises(RunMismatch, match="tile_size: 8 there, 16 here"):
        run(tmp_path, plan(tile_size=16), noise(5))
    with pytest.raises(RunMismatch, match=r"records\.count: 5 there, 6 here"):
        run(tmp_path, plan(), noise(6))
    with pytest.raises(RunMismatch, match=r"methods\.gradient: .* there, nothing here"):
        run(tmp_path, plan("grad_cam"), noise(5))
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("smoothgrad", {"num_samples": 3}),
        ("integrated_gradients", {"baseline": np.zeros((1, 16, 16, 3), "f4")}),
        ("integrated_gradients", {"num_steps": 3}),
        ("gradient", {"score": xattr.probability}),
    ],
)
def test_all_hyperparameters_identify_a_run(method, options):
    usual, other = plan(method), plan(method, options={method: options})
    settings = [p.identity()["methods"][method] for p in (usual, other)]
    (name,) = options
    assert settings[0] != settings[1]
    json.dumps(settings)
    assert name in settings[0]


def test_what_decides_bytes_is_in_the_manifest(tmp_path):
    run(tmp_path, plan(), noise(3))
    settings = open_run(tmp_path).settings
    assert settings["methods"]["gradient"]["score"] == {
        "function": "xattr._scores.logit"
    }
    assert settings["compiler"]["num_perturbation"] == 1
    assert settings["compiler"]["random"]["prng"] == "threefry2x32"
    other = replace(plan(), pretrained=_with_classes(("a", "b", "c", "d", "e")))
    with pytest.raises(RunMismatch, match=r"model\.classes"):
        run(tmp_path, other, noise(3))
    two = Computation(plan(), jax.devices()[:2], num_perturbation=2)
    with pytest.raises(RunMismatch, match="num_perturbation: 1 there, 2 here"):
        run(tmp_path, plan(), noise(3), computation=two)


@pytest.mark.slow
def test_hyperparameters_of_combinators_may_be_set(tmp_path):
    wanted = plan("smoothgrad", options={"smoothgrad": {"num_samples": 2}})
    run(tmp_path / "a", wanted, noise(3))
    run(tmp_path / "b", plan("smoothgrad"), noise(3))
    a, b = (open_run(tmp_path / x).maps["smoothgrad"][:] for x in "ab")
    assert np.abs(a - b).max() > 1e-3


def _with_classes(classes):
    pretrained = plan().pretrained
    return SimpleNamespace(**{**vars(pretrained), "classes": classes})


def test_results_without_a_manifest_are_nobodys(tmp_path):
    run(tmp_path, plan(), noise(5))
    (tmp_path / "run.json").unlink()
    before = digests(tmp_path)
    with pytest.raises(RunMismatch, match=r"holds results, but no run\.json"):
        run(tmp_path, plan(seed=5), noise(5))
    assert digests(tmp_path) == before


def test_trouble_with_storage_removes_nothing(tmp_path, monkeypatch):
    run(tmp_path, plan(), noise(300))
    before = digests(tmp_path)
    place, read = Place(tmp_path), Place.read

    def failing(self, name):
        if name == "rows/part-00000.parquet":
            raise OSError(5, "Input/output error")
        return read(self, name)

    monkeypatch.setattr(Place, "read", failing)
    with pytest.raises(OSError, match="Input/output error"):
        execute(plan(), noise(300), place)
    monkeypatch.undo()
    after = digests(tmp_path)
    assert after == before


def test_half_precision_that_overflows_is_not_finite(tmp_path):
    row = replace(METHODS["gradient"], method=_huge)
    run(
        tmp_path,
        replace(plan(maps_dtype="float16"), methods={"gradient": row}),
        noise(3),
    )
    assert open_run(tmp_path).statuses() == {"gradient: not finite": 3}


def _huge(model, images, targets, *, key):
    return 1e6 * xattr.gradient(model, images, targets)


def test_classes_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`target`=5 is no class"):
        plan(target=5)
    wanted = replace(plan(), pretrained=_with_classes(("a", "b")))
    with pytest.raises(ValueError, match="`classes` has 2 names, .* 5 outputs"):
        run(tmp_path / "new", wanted, noise(3))
    with pytest.raises(ValueError, match="`number`=3 is no share of 2"):
        Share(3, 2)
    with pytest.raises(ValueError, match="`source` holds no records"):
        run(tmp_path / "new", plan(), noise(0))
    assert not (tmp_path / "new").exists()


def test_a_finished_run_is_left_as_it_is(tmp_path):
    run(tmp_path, plan(), noise(5))
    before = digests(tmp_path)
    progress = run(tmp_path, plan(), noise(5))
    assert (progress.done, progress.computed) == (5, 0)
    assert digests(tmp_path) == before


def test_an_interrupted_run_goes_on(tmp_path):
    def stop(progress):
        if progress.computed >= 16:
            raise KeyboardInterrupt

    source = noise(60)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "a", plan(), source, report=stop)
    left = open_run(tmp_path / "a")
    staged = left.num_staged
    assert 16 <= staged < 60
    assert not left.committed
    anew = Computation(plan())
    progress = run(tmp_path / "a", plan(), source, computation=anew)
    assert progress.computed == 60 - staged
    run(tmp_path / "b", plan(), source)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_truncated_files_are_computed_again(tmp_path):
    source = noise(300)
    run(tmp_path, plan(), source)
    before = digests(tmp_path)
    victims = [
        tmp_path / "maps.zarr/gradient/c/1/0/0/0",
        tmp_path / "rows/part-00000.parquet",
    ]
    for victim in victims:
        content = victim.read_bytes()
        victim.write_bytes(content[: len(content) - 40])
    assert run(tmp_path, plan(), source).computed == 300
    assert digests(tmp_path) == before
    victims[0].unlink()
    assert run(tmp_path, plan(), source).computed == 44
    assert digests(tmp_path) == before


def test_a_truncated_tile_is_computed_again(tmp_path):
    def stop(progress):
        if progress.computed >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, plan(), noise(60), report=stop)
    first, second, *rest = sorted((tmp_path / "staged/00000").iterdir())
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(b"")
    progress = run(tmp_path, plan(), noise(60))
    assert progress.computed == 60 - 8 * len(rest)
    run(tmp_path / "whole", plan(), noise(60))
    whole = digests(tmp_path / "whole")
    assert {k: v for k, v in digests(tmp_path).items() if k in whole} == whole


def test_storage_that_is_away_is_an_error_and_the_run_goes_on_later(tmp_path):
    from xattr.run import _store

    place, calls = Place(tmp_path), []
    write = place.write

    def failing(name, value):
        calls.append(name)
        if name.startswith("staged/") and len(calls) > 4:
            raise OSError("No space left on device")
        write(name, value)

    place.write = failing
    with pytest.raises(OSError, match="No space left on device"):
        execute(plan(), noise(60), place)
    assert _store is not None
    run(tmp_path, plan(), noise(60))
    assert not any((tmp_path / "locks").iterdir())
    assert open_run(tmp_path).statuses() == {"ok": 60}


def test_a_wrong_call_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"`site`"):
        run(tmp_path / "new", replace(plan(), site="nowhere"), noise(5))
    assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="`tile_size`=24 must divide the 256"):
        plan(tile_size=24)
    with pytest.raises(ValueError, match="`num_perturbation`=3 must divide the 2"):
        Computation(plan(), jax.devices()[:2], num_perturbation=3)


def test_a_source_that_is_lost_ends_the_run_and_it_goes_on(tmp_path):
    photos, gone = tmp_path / "photos", tmp_path / "gone"
    photos.mkdir()
    for index in range(60):
        image = Image.fromarray(Noise(60)[index]["image"])
        image.save(photos / f"{index:02d}.png")

    def lose(progress):
        if progress.computed >= 16 and photos.exists():
            photos.rename(gone)

    with pytest.raises(SourceLost, match="the run can be gone on with"):
        run(tmp_path / "a", plan(), FileSource([photos]), report=lose)
    gone.rename(photos)
    run(tmp_path / "a", plan(), FileSource([photos]))
    run(tmp_path / "b", plan(), FileSource([photos]))
    assert open_run(tmp_path / "a").statuses() == {"ok": 60}
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
