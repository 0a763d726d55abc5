"""A write leaves the old file or the new one, touches no other file, and keeps permissions."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from charlm.errors import CharlmError
from charlm.system import regular_files
from charlm.system.atomic_files import (
    discard,
    new_temporary,
    remove_left_overs,
    write_atomically,
)
from charlm.system.file_lock import Lock
from charlm.system.regular_files import lock, open_regular, remove_unlocked
from charlm.training import history
from charlm.training.run_directory import RunDirectory
from charlm.training.summary import Summary

pytest.importorskip("fcntl", reason="no file locks on this system")

WRITES_AND_IS_KILLED = """
import os, signal, sys
from pathlib import Path
from charlm.system.atomic_files import new_temporary
file = new_temporary(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def write(path: Path, data: bytes = b"new") -> None:
    write_atomically(path, lambda file: file.write(data))


# What stands at a path where a regular file is expected, and is not followed.


@pytest.fixture
def victim(tmp_path) -> Iterator[Path]:
    """A file that must not change."""
    path = tmp_path / "victim"
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"


def link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def dangling(path: Path, victim: Path) -> None:
    path.symlink_to(victim.with_name("created"))


def hard_link(path: Path, victim: Path) -> None:
    os.link(victim, path)


def pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def device(path: Path, victim: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path, victim: Path) -> None:
    path.mkdir()


PLANTS = {
    link: "it is a symbolic link",
    dangling: "it is a symbolic link",
    device: "it is a symbolic link",
    hard_link: "it is a hard link",
    pipe: "it is not a regular file",
    folder: "it is a directory",
}


def do_as_advised(message: str) -> None:
    """Run the commands that a message ends with; a link to a file becomes a copy of it."""
    subprocess.run(message.rpartition(": ")[2], shell=True, check=True)


def lock_run(run: RunDirectory) -> None:
    with run.held():
        pass


def append(run: RunDirectory) -> None:
    history.append(run.history, [{"event": "step", "step": 1}])


def rewind(run: RunDirectory) -> None:
    history.rewind(run.history, 0, 0, Summary())


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize(
    ("name", "act"), [(".lock", lock_run), ("history.jsonl", append), ("history.jsonl", rewind)]
)
def test_a_run_directory_writes_through_no_link_and_into_no_device(
    tmp_path, victim, plant, name, act
):
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    plant(run.path / name, victim)
    with pytest.raises(
        CharlmError, match=f"cannot write {run.path / name}: {PLANTS[plant]}"
    ) as info:
        act(run)
    assert len(str(info.value).splitlines()) == 1
    assert os.listdir(run.path) == [name]
    assert not (tmp_path / "created").exists()
    do_as_advised(str(info.value))
    act(run)
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR | os.O_CREAT])
@pytest.mark.parametrize("plant", PLANTS)
def test_only_a_regular_file_with_one_name_is_opened(tmp_path, victim, plant, flags):
    plant(tmp_path / "it", victim)
    before = set(os.listdir("/proc/self/fd")) if sys.platform == "linux" else None
    with pytest.raises(OSError, match=PLANTS[plant]):
        open_regular(tmp_path / "it", flags)
    assert before is None or set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("plant", [link, dangling, hard_link])
def test_a_write_replaces_a_link_and_not_its_target(tmp_path, victim, plant):
    plant(tmp_path / "it", victim)
    write(tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == b"new"
    assert not (tmp_path / "it").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["it", "victim"]


@pytest.mark.parametrize("plant", [pipe, device, folder])
def test_a_write_replaces_nothing_but_files(tmp_path, victim, plant):
    plant(tmp_path / "it", victim)
    before = os.lstat(tmp_path / "it")
    with pytest.raises(OSError, match="not a regular file"):
        write(tmp_path / "it")
    assert os.path.samestat(before, os.lstat(tmp_path / "it"))
    assert sorted(os.listdir(tmp_path)) == ["it", "victim"]


# Permissions


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o444, 0o666])
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_a_file_keeps_its_mode_and_a_new_one_has_that_of_the_umask(tmp_path, mode, mask):
    path = tmp_path / "it"
    before = os.umask(mask)
    try:
        for expected in (0o666 & ~mask, mode):
            write(path)
            assert stat.S_IMODE(path.stat().st_mode) == expected
            path.chmod(mode)
    finally:
        os.umask(before)


def test_a_secret_is_never_readable_by_others(tmp_path):
    path = tmp_path / "it"
    path.touch(0o600)

    def check(file) -> None:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600

    write_atomically(path, check)


# Temporary files


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    command = [sys.executable, "-c", WRITES_AND_IS_KILLED, tmp_path]
    assert subprocess.run(command, timeout=60, check=False).returncode < 0
    assert len(os.listdir(tmp_path)) == 1
    others = (
        *(".x.tmp", ".charlm.tmp", ".charlm-0123.tmp", ".charlm-0123456789abcdef.tmp.bak"),
        *(".best.npz.0123456789abcdef.tmp", "charlm-0123456789abcdef.tmp", ".charlm-.tmp"),
    )
    for name in others:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    (tmp_path / ".charlm-00000000000000ff.tmp").symlink_to(tmp_path / ".x.tmp")
    remove_left_overs(tmp_path)
    assert set(os.listdir(tmp_path)) == {*others, ".charlm-00000000000000ff.tmp"}


def test_a_file_that_is_written_stays_however_old_it_is(tmp_path):
    file = new_temporary(tmp_path)
    os.utime(file.name, (0, 0))
    remove_left_overs(tmp_path)
    write(tmp_path / "other")
    assert set(os.listdir(tmp_path)) == {Path(file.name).name, "other"}
    discard(file)
    assert os.listdir(tmp_path) == ["other"]


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    swept = []

    def late(file: int) -> bool:
        if len(swept) < 2:
            swept.append(remove_left_overs(tmp_path))
        return lock(file)

    monkeypatch.setattr("charlm.system.atomic_files.lock", late)
    write(tmp_path / "it")
    assert len(swept) == 2
    assert os.listdir(tmp_path) == ["it"]


@pytest.mark.parametrize("number", sorted(regular_files.NO_LOCKS))
def test_a_file_system_without_locks_is_written_to_and_nothing_is_removed(
    tmp_path, monkeypatch, number
):
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(regular_files.fcntl, "flock", flock)
    file = new_temporary(tmp_path)
    write(tmp_path / "it")
    assert not remove_unlocked(Path(file.name))
    assert set(os.listdir(tmp_path)) == {Path(file.name).name, "it"}
    discard(file)


def test_a_write_that_fails_leaves_no_file_and_no_lock(tmp_path):
    with suppress(ZeroDivisionError):
        write_atomically(tmp_path / "it", lambda file: 1 / 0)
    assert os.listdir(tmp_path) == []
    Lock(tmp_path / ".lock", "it").release()
