"""A lock has one holder at a time, names it, and ends with its process."""

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.errors import RunError
from charlm.system import file_lock, regular_files
from charlm.system.file_lock import Lock

HOLDS_AND_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from charlm.system.file_lock import Lock
held = Lock(Path(sys.argv[1]), "it")
os.kill(os.getpid(), signal.SIGKILL)
"""

fcntl = pytest.importorskip("fcntl", reason="no file locks on this system")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / ".lock"


def test_lock_file_names_its_holder(path):
    held = Lock(path, "it")
    assert path.read_text() == f"{os.getpid()} {platform.node()}\n"
    held.release()


def test_second_lock_raises_an_error_that_names_the_holder(path):
    held = Lock(path, "runs/a")
    with pytest.raises(RunError) as info:
        Lock(path, "runs/a")
    assert str(info.value).startswith(f"runs/a is in use by process {os.getpid()};")
    assert path.read_text().split()[0] == str(os.getpid())
    held.release()


def test_release_removes_the_file_and_allows_a_new_lock(path):
    for _ in range(3):
        Lock(path, "it").release()
        assert not path.exists()


def test_lock_of_a_killed_process_is_released(path):
    done = subprocess.run([sys.executable, "-c", HOLDS_AND_IS_KILLED, path], timeout=60)
    assert done.returncode < 0
    left = path.read_text()
    held = Lock(path, "it")
    assert left != path.read_text() == f"{os.getpid()} {platform.node()}\n"
    held.release()


def test_content_that_is_no_text_is_replaced(path):
    path.write_bytes(b"\xff" * 1000)
    held = Lock(path, "it")
    assert path.read_text() == f"{os.getpid()} {platform.node()}\n"
    held.release()


@pytest.mark.parametrize(
    ("content", "holder"),
    [
        ("", "another process"),
        ("\x1b[2J elsewhere\n", "another process"),
        ("9" * 1000, "process " + "9" * 300),
        ("77 elsewhere\n", "process 77 on elsewhere"),
        (f"77 {platform.node()}\n", "process 77"),
    ],
)
def test_error_names_the_holder_if_it_is_known(path, content, holder):
    with path.open("w") as file:
        file.write(content)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match=f"in use by {holder};"):
            Lock(path, "it")


def test_lock_on_a_file_that_was_just_removed_is_taken_again(path, monkeypatch):
    first, take = Lock(path, "it"), Lock._lock
    calls = []

    def late(self: Lock, file: object) -> None:
        if not calls:
            first.release()
        calls.append(file)
        take(self, file)

    monkeypatch.setattr(Lock, "_lock", late)
    second = Lock(path, "it")
    assert len(calls) == 2
    with pytest.raises(RunError, match="in use"):
        Lock(path, "it")
    second.release()


@pytest.mark.parametrize("number", sorted(regular_files.NO_LOCKS))
def test_file_system_without_locks_is_not_an_error(path, monkeypatch, number):
    monkeypatch.setattr(fcntl, "flock", failing(number))
    Lock(path, "it").release()
    assert not path.exists()


def test_disk_error_is_reported(path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(RunError, match=f"cannot write {path}: {os.strerror(errno.EIO)}"):
        Lock(path, "it")


def failing(number: int):
    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_missing_directory_is_reported(tmp_path):
    path = tmp_path / "none" / ".lock"
    with pytest.raises(RunError, match=f"cannot write {path}: "):
        Lock(path, "it")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the full disk is /dev/full")
def test_full_disk_is_reported_and_the_lock_removed(path, monkeypatch):
    path.touch()
    monkeypatch.setattr(file_lock, "open_regular", lambda *_: os.open("/dev/full", os.O_RDWR))
    monkeypatch.setattr(file_lock, "is_at", lambda *_: True)
    with pytest.raises(RunError, match="cannot write"):
        Lock(path, "it")
    assert not path.exists()


def test_lock_file_that_cannot_be_inspected_is_reported(tmp_path, monkeypatch):
    def fails(*_: object) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("charlm.system.file_lock.is_at", fails)
    with pytest.raises(RunError, match=r"cannot write .*\.lock: Input/output error"):
        Lock(tmp_path / ".lock", "it")
