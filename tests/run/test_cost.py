"""What the calculator says, by hand and beside a run of this machine."""

import time
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest
from PIL import Image

from xattr.cli.methods import METHODS
from xattr.data import open_source, pixels_of
from xattr.models import load
from xattr.run import Computation, Host, Place, Plan, Storage, Work, cost, execute
from xattr.run import throughput as of
from xattr.run._rows import schema
from xattr.run._store import Staged, Store

WORK = Work(operations=1e10, read_bytes=1e5, written_bytes=2e5, stored_bytes=5e4)
HOST = Host(
    accelerators=8,
    peak=1e14,
    reached=0.4,
    price=1.5,
    cores=100,
    decoded=200,
    read_bandwidth=4e9,
    write_bandwidth=1e10,
    fed=1e6,
    recorded=1e5,
)


def test_each_stage_by_hand():
    found = of(WORK, HOST, 16)
    assert found.read == pytest.approx(2 * 4e9 / 1e5)
    assert found.decode == pytest.approx(2 * 100 * 200)
    assert found.feed == pytest.approx(2e6)
    assert found.compute == pytest.approx(16 * 1e14 * 0.4 / 1e10)
    # A host's 20 µs for the bytes and 10 µs for the rest, on two hosts.
    assert found.write == pytest.approx(2 / 30e-6)
    assert found.images == pytest.approx(40_000)


@pytest.mark.parametrize(
    ("stage", "small"),
    [
        ("read", {"read_bandwidth": 1e6}),
        ("decode", {"decoded": 0.5}),
        ("decode", {"cores": 0.1}),
        ("feed", {"fed": 10}),
        ("compute", {"peak": 1e9}),
        ("compute", {"reached": 1e-6}),
        ("write", {"write_bandwidth": 1e6}),
        ("write", {"recorded": 10}),
    ],
)
def test_the_smallest_stage_is_the_bottleneck(stage, small):
    whole, found = of(WORK, HOST, 8), of(WORK, replace(HOST, **small), 8)
    assert found.bottleneck == stage
    assert found.images == getattr(found, stage) < whole.images
    others = vars(whole).keys() - {stage}
    assert all(getattr(found, other) == getattr(whole, other) for other in others)


def test_all_stages_grow_with_the_accelerators():
    one = of(WORK, HOST, 1)
    for count in (8, 64, 512):
        many = of(WORK, HOST, count)
        assert many.bottleneck == one.bottleneck
        for stage, rate in vars(one).items():
            assert getattr(many, stage) == pytest.approx(count * rate)


def test_what_is_shared_does_not_grow():
    storage = Storage(read_bandwidth=4e9, write_bandwidth=1.5e10)
    rates = [of(WORK, HOST, count, storage) for count in (8, 64, 512)]
    assert [rate.bottleneck for rate in rates] == ["decode", "read", "read"]
    assert rates[1].read == rates[2].read == pytest.approx(4e9 / 1e5)
    assert of(WORK, HOST, 8, storage) == of(WORK, HOST, 8)
    assert rates[2].write < 1.5e10 / 2e5 < of(WORK, HOST, 512).write


def test_the_cost_of_a_data_set_by_hand():
    found = cost(WORK, HOST, 8, num_images=72_000_000)
    assert found.hours == pytest.approx(1.0)
    assert found.accelerator_hours == pytest.approx(8.0)
    assert found.price == pytest.approx(12.0)
    assert found.read_bytes == pytest.approx(7.2e12)
    assert found.stored_bytes == pytest.approx(3.6e12)


def test_more_accelerators_cost_the_same_until_storage_binds():
    price = [cost(WORK, HOST, count, 10**9).price for count in (1, 8, 512)]
    assert price == pytest.approx([price[0]] * 3)
    storage = Storage(read_bandwidth=4e9)
    assert cost(WORK, HOST, 512, 10**9, storage).price > 30 * price[0]


def test_no_accelerator_is_refused():
    with pytest.raises(ValueError, match="`num_accelerators`=0 must be 1 or more"):
        of(WORK, HOST, 0)


def best(action, repetitions=3):
    """The least seconds that an action takes."""
    seconds = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def photographs(folder, count, side):
    """Files of noise that is costly enough to decode."""
    for k in range(count):
        noise = np.random.default_rng(k).integers(0, 255, (side // 8, side // 8, 3))
        image = Image.fromarray(noise.astype(np.uint8)).resize((side, side))
        image.save(folder / f"{k}.jpg", quality=95)


def staging(place, computation, tile_size):
    """Stage and commit a tile's worth of maps; the bytes written."""
    layouts, names = computation.layouts(), list(computation.plan.methods)
    facts = {"num_records": tile_size, "tile_size": tile_size, "schema": schema(names)}
    store = Store(place, layouts, **facts)
    noise = np.random.default_rng(0)
    arrays = {
        a.name: noise.random((tile_size, *a.shape), "f4").astype(a.dtype)
        for a in layouts
    }
    store.stage(0, Staged(arrays, [{"index": k} for k in range(tile_size)]))
    store.commit(0)
    return 2 * sum(array.nbytes for array in arrays.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "side", "bottleneck"),
    [("integrated_gradients", 256, "compute"), ("grad_cam", 4000, "decode")],
)
def test_a_run_goes_as_fast_as_its_pieces_say(tmp_path, method, side, bottleneck):
    tile, count = 8, 32
    (tmp_path / "images").mkdir()
    photographs(tmp_path / "images", count, side)
    source = open_source([str(tmp_path / "images")])
    pretrained = load("mobilenet_v2")
    rows, options = {method: METHODS[method]}, {}
    if method == "integrated_gradients":
        options = {method: {"num_steps": 8}}
    plan = Plan(pretrained, rows, options, site=pretrained.site, tile_size=tile)
    computation = Computation(plan)
    prepare = pretrained.preprocess.pixels
    pixels = np.stack([prepare(pixels_of(source[k])) for k in range(tile)])
    numbers = computation.put([np.arange(tile, dtype=np.int32)])
    again = partial(computation.compute, computation.put([pixels]), numbers, numbers)
    jax.block_until_ready(again())

    computing = best(lambda: jax.block_until_ready(again())) / tile
    decoding = best(lambda: prepare(pixels_of(source[0])))
    written = staging(Place(tmp_path / "staged"), computation, tile)
    writing = best(lambda: staging(Place(tmp_path / "staged"), computation, tile))
    reading = best((tmp_path / "images" / "0.jpg").read_bytes)
    file = (tmp_path / "images" / "0.jpg").stat().st_size
    # What decodes is taken from what computes: one core for the loader's two threads.
    host = Host(
        accelerators=1,
        peak=1 / computing,
        reached=1,
        price=0,
        cores=1,
        decoded=1 / decoding,
        read_bandwidth=file / reading,
        write_bandwidth=written / writing,
    )
    predicted = of(Work(1, file, written / tile, written / tile), host, 1)

    # The first run compiles.
    execute(plan, source, Place(tmp_path / "first"), computation=computation)
    begun = time.perf_counter()
    progress = execute(plan, source, Place(tmp_path / "run"), computation=computation)
    measured = count / (time.perf_counter() - begun)
    assert progress.statuses == {"ok": count}
    assert predicted.bottleneck == bottleneck
    assert predicted.images / 2 < measured < predicted.images * 2
