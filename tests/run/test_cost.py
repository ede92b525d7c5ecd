"""What the calculator says, by hand; `experiments/scaling` has it beside a run."""

from dataclasses import replace

import pytest

from xattr.run import Host, Storage, Work, cost
from xattr.run import throughput as of

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
