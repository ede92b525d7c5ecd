"""Runs in processes of their own: the bytes are those of one, with one device."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run.conftest import digests
from xattr.run._processes import join_processes

COUNT = 1100
COMMAND = [sys.executable, "-m", "tests.run.process"]


def start(folder, *mode, devices=1, launcher=()):
    flags = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [*launcher, *COMMAND, str(folder), str(COUNT), *map(str, mode)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
    )


def computed(process):
    """How many records a process computed, its prints summed."""
    printed, _ = process.communicate(timeout=500)
    assert process.returncode == 0, printed
    counts = [line for line in printed.splitlines() if line.startswith("computed")]
    return sum(int(line.split()[1]) for line in counts)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert computed(start(folder)) == COUNT
    return digests(folder)


@pytest.mark.slow
def test_eight_devices_give_the_same_bytes(whole, tmp_path):
    assert computed(start(tmp_path, devices=8)) == COUNT
    assert digests(tmp_path) == whole


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_over_loopback_give_the_same_bytes(whole, tmp_path, count):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        start(tmp_path, "join", address, count, number, devices=2)
        for number in range(count)
    ]
    assert sum(map(computed, processes)) == COUNT
    assert digests(tmp_path) == whole


@pytest.mark.slow
def test_processes_of_mpi_give_the_same_bytes(whole, tmp_path):
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec")
    if launcher is None:
        pytest.skip("there is no mpiexec")
    process = start(tmp_path, "mpi", devices=2, launcher=(launcher, "-n", "2"))
    assert computed(process) == COUNT
    assert digests(tmp_path) == whole


def test_half_an_address_is_refused():
    with pytest.raises(ValueError, match="`coordinator`='a:1' needs `process` as well"):
        join_processes("a:1", num_processes=2)
