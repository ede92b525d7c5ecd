"""Ctrl-C, heeded where nothing is half done."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from xattr.cli._console import say

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether a run was asked to end."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raise if so; called wherever a run may end.

        Raises:
          KeyboardInterrupt: once a signal has come.
        """
        if self.asked:
            raise KeyboardInterrupt

    def _hear(self, pipe: int) -> None:
        """Note the first signal; leave at the second, whatever is being computed."""
        while len(number := os.read(pipe, 1)) and number[0] in SIGNALS:
            if self.asked:
                os._exit(INTERRUPTED)  # what is finished is on disk already
            self.asked = True
            say("Ending after what is begun; once more ends at once.", error=True)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn Ctrl-C and requests to terminate into a flag, for the time of a run.

    An exception out of a signal handler would be raised wherever the program is:
    inside a compilation it crashes the process or is lost. The signals' numbers go
    through a pipe to a thread, which hears them while a compilation goes on.
    """
    state = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield state
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    listener = threading.Thread(target=state._hear, args=(reader,), daemon=True)
    listener.start()
    before = {number: signal.signal(number, _ignore) for number in SIGNALS}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield state
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(writer, b"\0")
        listener.join()
        os.close(reader)
        os.close(writer)


def _ignore(number: int, frame: object) -> None:
    """Do nothing: the pipe has got the number."""
