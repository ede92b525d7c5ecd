import json
import os
import subprocess
import sys
import time

import pytest

from xattr.run import Place, RunLocked, _lock
from xattr.run._lock import Lock


def holder(place, process=0):
    value = place.read(f"locks/{process:05d}.json")
    return {} if value is None else json.loads(value)


def pretend(place, process=0, **facts):
    """Write a lock as another process would."""
    content = json.loads(Lock(place, process)._content()) | facts
    place.write(f"locks/{process:05d}.json", json.dumps(content).encode())


def test_a_lock_is_held_and_given_back(tmp_path):
    place = Place(tmp_path)
    with Lock(place) as lock:
        lock.check()
        assert holder(place)["pid"] == os.getpid()
    assert holder(place) == {}


def test_a_second_writer_is_refused(tmp_path):
    place = Place(tmp_path)
    with Lock(place):
        with pytest.raises(
            RunLocked, match=rf"process {os.getpid()} on .*share 0 of 1"
        ):
            Lock(place).__enter__()
        assert holder(place)


def test_shares_of_one_run_stand_side_by_side(tmp_path):
    place = Place(tmp_path)
    with Lock(place, 0, 2), Lock(place, 1, 2):
        assert holder(place, 1)["process"] == 1
        with pytest.raises(RunLocked, match="share 0 of 2"):
            Lock(place, 0, 1).__enter__()
        with pytest.raises(RunLocked, match="share 0 of 2"):
            Lock(place, 2, 3).__enter__()


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path):
    place = Place(tmp_path)
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        text=True,
        check=True,
    )
    pretend(place, pid=int(dead.stdout))
    with Lock(place):
        assert holder(place)["pid"] == os.getpid()


def test_a_number_that_came_again_is_another_process(tmp_path):
    place = Place(tmp_path)
    pretend(place, born="1")
    with Lock(place):
        assert holder(place)["born"] != "1"


def test_a_lock_of_another_machine_is_stale_after_a_minute(tmp_path):
    place = Place(tmp_path)
    pretend(place, host="elsewhere", beat=time.time() - 30)
    with pytest.raises(RunLocked, match="on elsewhere"):
        Lock(place).__enter__()
    pretend(place, host="elsewhere", beat=time.time() - 61)
    with Lock(place):
        assert holder(place)["host"] != "elsewhere"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}"])
def test_a_damaged_lock_is_nobodys(tmp_path, content):
    place = Place(tmp_path)
    place.write("locks/00000.json", content)
    with Lock(place):
        assert holder(place)["pid"] == os.getpid()


def test_a_lock_is_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(_lock, "BEAT_SECONDS", 0.02)
    place = Place(tmp_path)
    with Lock(place) as lock:
        first = holder(place)["beat"]
        deadline = time.monotonic() + 10
        while holder(place)["beat"] == first and time.monotonic() < deadline:
            time.sleep(0.01)
        assert holder(place)["beat"] > first
        lock.check()
    assert holder(place) == {}


def test_a_lock_that_was_taken_over_is_noticed_and_left(tmp_path, monkeypatch):
    monkeypatch.setattr(_lock, "BEAT_SECONDS", 0.02)
    place = Place(tmp_path)
    with Lock(place) as lock:
        pretend(place, host="elsewhere")
        deadline = time.monotonic() + 10
        while lock._state and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(RunLocked, match="has taken over"):
            lock.check()
    assert holder(place)["host"] == "elsewhere"
