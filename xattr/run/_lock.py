"""One writer for each share of a run."""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from xattr.run._place import Place

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0


class RunLocked(Exception):
    """Another process writes the store."""


class Lock:
    """The right to write one share of a store, for as long as this process lives.

    A file says who writes, and is renewed every few seconds. One that is not renewed
    for a minute is stale, and so is that of a process of this machine that is gone.
    Of two that find it stale, one gets it.

    Args:
      place: the store.
      process: number of this share.
      count: how many shares there are. Processes that count otherwise, or have the
        same number, are refused.

    Raises:
      RunLocked: on entering, if another process writes.
    """

    def __init__(self, place: Place, process: int = 0, count: int = 1) -> None:
        self._place, self._process, self._count = place, process, count
        self._name = f"locks/{process:05d}.json"
        self._token = secrets.token_hex(8)
        self._state = b""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "Lock":
        """Take the lock, and those of dead processes away."""
        for name in self._place.names("locks/"):
            self._check(name)
        value, state = self._place.read_with_state(self._name)
        if value is None:
            self._state = self._place.write_if(self._name, self._content(), state)
        if not self._state:
            raise RunLocked(f"Another process has just begun to write {self._place}.")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back."""
        self._end.set()
        self._thread.join()
        if self._state:
            self._place.write_if(self._name, None, self._state)

    def check(self) -> None:
        """Raise if another process has taken the lock, as after a long sleep.

        Raises:
          RunLocked: if so.
        """
        if not self._state:
            raise RunLocked(f"Another process has taken over {self._place}.")

    def _check(self, name: str) -> None:
        """Raise if a lock is another's; remove it if nobody holds it."""
        value, state = self._place.read_with_state(name)
        if value is None:
            return
        holder = _holder(value)
        if _is_stale(holder):
            self._place.write_if(name, None, state)
        elif name == self._name or holder.get("count") != self._count:
            raise RunLocked(
                f"{self._place} is being written by process {holder.get('pid')} on "
                f"{holder.get('host')}, as share {holder.get('process')} of "
                f"{holder.get('count')}. Wait for it, or end it; a lock that is not "
                f"renewed for {STALE_SECONDS:.0f} seconds is taken over."
            )

    def _renew(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            try:
                self._state = self._place.write_if(
                    self._name, self._content(), self._state
                )
            except Exception:  # storage that is away for a while; writing will tell
                continue
            if not self._state:
                return

    def _content(self) -> bytes:
        pid = os.getpid()
        holder = {
            "process": self._process,
            "count": self._count,
            "host": socket.gethostname(),
            "pid": pid,
            "born": _birth(pid),
            "token": self._token,
            "beat": time.time(),
        }
        return json.dumps(holder).encode()


def live_holders(locks: Iterable[bytes]) -> list[dict[str, Any]]:
    """Those who hold some locks, the dead left out."""
    holders = [_holder(lock) for lock in locks]
    return [holder for holder in holders if not _is_stale(holder)]


def _holder(value: bytes) -> dict[str, Any]:
    """What a lock says; a damaged one is nobody's."""
    try:
        holder = json.loads(value)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_stale(holder: dict[str, Any]) -> bool:
    """Whether nobody holds it any more."""
    if time.time() - float(holder.get("beat", 0)) > STALE_SECONDS:
        return True
    if holder.get("host") != socket.gethostname():
        return False
    pid = int(holder["pid"])
    return not _is_alive(pid) or _birth(pid) != holder.get("born")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _birth(pid: int) -> str:
    """When a process began, in the system's ticks, so that numbers may come again."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
