import json
import os
import subprocess
import sys
import threading
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


def test_a_lock_of_another_machine_is_taken_over_if_it_is_not_renewed(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(_lock, "STALE_SECONDS", 0.3)
    monkeypatch.setattr(_lock, "_LOOK_SECONDS", 0.01)
    place = Place(tmp_path)
    # Its clock is an hour ahead, or behind: no two clocks are compared.
    for hour in (-3600, 3600):
        pretend(place, machine="elsewhere", host="far", beat=time.time() + hour)
        start = time.monotonic()
        with Lock(place):
            assert holder(place)["host"] != "far"
        assert time.monotonic() - start >= 0.3
    assert "on far; waiting" in caplog.text


def test_a_lock_of_another_machine_that_is_renewed_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(_lock, "_LOOK_SECONDS", 0.01)
    place = Place(tmp_path)
    pretend(place, machine="elsewhere", host="far")
    renewing = threading.Timer(
        0.1, pretend, (place,), {"machine": "elsewhere", "host": "far"}
    )
    renewing.start()
    with pytest.raises(RunLocked, match="on far"):
        Lock(place).__enter__()
    assert holder(place)["host"] == "far"


def test_processes_with_other_counts_do_not_both_begin(tmp_path, monkeypatch):
    place = Place(tmp_path)
    other = Lock(place, 1, 2)
    write_if = place.write_if

    def late(name, value, state):
        # The other one comes between the look at the locks and this one's own.
        pretend(place, 1, count=2)
        return write_if(name, value, state)

    monkeypatch.setattr(place, "write_if", late)
    with pytest.raises(RunLocked, match="share 1 of 2"):
        Lock(place, 0, 1).__enter__()
    assert holder(place, 0) == {}
    assert other._state == b""


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
