"""A process that holds the interpreter lock, as in MPI_Init, ends in time or at a signal."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from charlm.distributed import watchdog
from charlm.distributed.watchdog import watched
from tests.shell import SECONDS

pytestmark = pytest.mark.skipif(not watchdog.IS_SUPPORTED, reason="needs another process")

PROGRAM = """
import ctypes, signal, sys
from charlm.distributed.watchdog import watched
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
with watched(float(sys.argv[1]), "charlm: late \\udc80"):
    print("started", flush=True)
    ctypes.PyDLL(None).sleep(int(sys.argv[2]))
"""


def start(limit: float, sleep: int) -> subprocess.Popen[str]:
    """A process that is in the context, where it sleeps for some seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(limit), str(sleep)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def test_process_that_waits_too_long_says_so_and_is_killed():
    process = start(0.5, SECONDS)
    assert process.communicate(timeout=SECONDS) == ("", "charlm: late \\udc80\n")
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("limit", [0, 30, 1e300])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_ends_a_process_that_waits(name, limit):
    process = start(limit, SECONDS)
    process.send_signal(getattr(signal, name))
    # the output ends when the watchdog has ended too
    assert process.communicate(timeout=SECONDS / 2) == ("", "")
    assert process.returncode == -getattr(signal, name)


@pytest.mark.parametrize("limit", [0, 30, 1e300])
def test_process_that_leaves_in_time_goes_on(limit):
    process = start(limit, 0)
    assert process.communicate(timeout=SECONDS) == ("", "")
    assert process.returncode == 0


def test_handlers_are_the_same_afterwards_also_after_an_error():
    def handler(*_: object) -> None:
        pass

    def fail() -> None:
        with watched(30, "late"):
            inside.append(signal.getsignal(signal.SIGTERM))
            raise KeyError

    inside: list[object] = []
    before = signal.getsignal(signal.SIGTERM)
    try:
        for own in (handler, signal.SIG_IGN):  # nohup sets the latter
            signal.signal(signal.SIGTERM, own)
            with pytest.raises(KeyError):
                fail()
            assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    assert inside == [signal.SIG_DFL, signal.SIG_IGN]


def test_another_thread_has_no_handlers_to_replace():
    def wait() -> None:
        with watched(30, "late"):
            done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(SECONDS)
    assert done == [True]


def test_process_is_not_watched_where_no_process_can_be_started(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with watched(0.01, "late"):
        time.sleep(0.1)
