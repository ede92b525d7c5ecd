"""One writer for each share of a run."""

import json
import logging
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

_log = logging.getLogger("xattr")

BEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
_LOOK_SECONDS = 1.0


class RunLocked(Exception):
    """Another process writes the store."""


class Lock:
    """The right to write one share of a store, for as long as this process lives.

    A file says who writes, and is renewed every few seconds. That of a process of this
    machine that is gone is taken over at once. Any other is watched: if it is renewed,
    its holder lives, and this process is refused; after a minute without, it is taken
    over. No two clocks are compared. Of several that take over, one gets it.

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
            self._clear(name)
        value, state = self._place.read_with_state(self._name)
        if value is None:
            self._state = self._place.write_if(self._name, self._content(), state)
        if not self._state:
            raise RunLocked(f"Another process has just begun to write {self._place}.")
        # One that counts otherwise may have come meanwhile: both look, after writing.
        for name in self._place.names("locks/"):
            holder = _holder(self._place.read(name) or b"")
            if name != self._name and self._conflicts(name, holder):
                self._give_back()
                raise RunLocked(self._refusal(holder))
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
        self._give_back()

    def check(self) -> None:
        """Raise if another process has taken the lock, as after a long sleep.

        Raises:
          RunLocked: if so.
        """
        if not self._state:
            raise RunLocked(f"Another process has taken over {self._place}.")

    def _give_back(self) -> None:
        if self._state:
            self._place.write_if(self._name, None, self._state)

    def _clear(self, name: str) -> None:
        """Remove a lock that nobody holds; raise if it stands in the way."""
        value, state = self._place.read_with_state(name)
        if value is None or not self._conflicts(name, holder := _holder(value)):
            return
        if not _is_dead(holder):
            self._watch(name, holder, state)
        self._place.write_if(name, None, state)

    def _watch(self, name: str, holder: dict[str, Any], state: bytes) -> None:
        """Return when a lock is not renewed for a minute; raise if it is."""
        if _is_alive(holder):
            raise RunLocked(self._refusal(holder))
        _log.warning(
            "%s was being written by process %s on %s; waiting for %.0f s whether "
            "it still is",
            *(self._place, holder.get("pid"), holder.get("host"), STALE_SECONDS),
        )
        end = time.monotonic() + STALE_SECONDS
        while time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            value, now = self._place.read_with_state(name)
            if value is None:
                return
            if now != state:
                raise RunLocked(self._refusal(_holder(value)))

    def _conflicts(self, name: str, holder: dict[str, Any]) -> bool:
        """Whether this process and a holder cannot both write."""
        return name == self._name or holder.get("count") != self._count

    def _refusal(self, holder: dict[str, Any]) -> str:
        return (
            f"{self._place} is being written by process {holder.get('pid')} on "
            f"{holder.get('host')}, as share {holder.get('process')} of "
            f"{holder.get('count')}. Wait for it, or end it."
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
            "machine": _machine(),
            "pid": pid,
            "born": _birth(pid),
            "token": self._token,
            "beat": time.time(),
        }
        return json.dumps(holder).encode()


def live_holders(locks: Iterable[bytes]) -> list[dict[str, Any]]:
    """Those who hold some locks, those left out that are known to be dead."""
    holders = [_holder(lock) for lock in locks]
    return [holder for holder in holders if not _is_dead(holder)]


def _holder(value: bytes) -> dict[str, Any]:
    """What a lock says; a damaged one is nobody's."""
    try:
        holder = json.loads(value)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether it is certain that nobody holds it: a process of here that is gone."""
    return not holder or (_is_here(holder) and not _is_alive(holder))


def _is_alive(holder: dict[str, Any]) -> bool:
    """Whether it is certain that somebody holds it: a process of here that runs."""
    if not _is_here(holder):
        return False
    born = _birth(int(holder["pid"]))
    return born is not None and born in ("", holder.get("born"))


def _is_here(holder: dict[str, Any]) -> bool:
    """Whether its process is one that this process could see."""
    return bool(_machine()) and holder.get("machine") == _machine()


def _machine() -> str:
    """What two processes share that see each other by their numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _birth(pid: int) -> str | None:
    """When a process began, in the system's ticks, since numbers come again.

    None if it is gone, empty if the system does not tell.
    """
    try:
        os.kill(pid, 0)
        text = Path(f"/proc/{pid}/stat").read_text()
    except ProcessLookupError:
        return None
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
