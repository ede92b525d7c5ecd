import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import xattr
from xattr.cli._interruption import interruptible

# The signals come so long after the first batch is begun: while XLA compiles.
CHILD = """
import os, signal, sys, threading
from xattr.cli import main
from xattr.run import _execute

original, delays = _execute.begin, sys.argv.pop(1)

def begin(*arguments):
    for delay in delays.split(","):
        kill = [os.getpid(), signal.SIGINT]
        threading.Timer(float(delay), os.kill, kill).start()
    return original(*arguments)

_execute.begin = begin
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("delays", ["0.1", "0.8", "2", "0.4,1.2"])
def test_an_interruption_while_compiling(tmp_path, delays):
    photo, out = xattr.models.photographs()[1], tmp_path / "out"
    command = [sys.executable, "-c", CHILD, delays, "explain", photo, "--out", out]
    done = subprocess.run(
        [str(word) for word in (*command, "--method", "gradient,smoothgrad")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    if "," not in delays:
        assert "Ending after what is begun; once more ends at once." in done.stderr
        assert "interrupted" in done.stderr


def test_a_signal_is_raised_only_where_it_is_checked():
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible() as interruption:
        interruption.check()
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):
            time.sleep(0.01)
            if interruption.asked:
                break
        with pytest.raises(KeyboardInterrupt, match="^$"):
            interruption.check()
    after = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert after == handlers


def test_a_thread_without_signals_is_not_interrupted():
    states = []

    def work():
        with interruptible() as interruption:
            states.append(interruption.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert states == [False]
