"""Full and read-only disks, file-size limits, and permissions, without simulation."""

import ctypes
import errno
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.shim import FIRST, NEXT, Disk, check_goes_on, check_left, check_refusal
from tests.shell import Ended, end

# Runs in its own namespace: copies $1 to a new disk, mounted with the options $2 and then $3, runs
# the remaining arguments there, and copies the disk to $4.
MOUNTED = """
before=$1 options=$2 then=$3 after=$4
shift 4
mount -t tmpfs -o "$options" none disk && cp -rp "$before"/. disk || exit 99
test -z "$then" || mount -o "remount,$then" disk || exit 99
"$@"
code=$?
cp -rp disk/. "$after" || exit 99
exit $code
"""
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
PAGE = os.sysconf("SC_PAGE_SIZE")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # Linux's numbers


@pytest.fixture(scope="module")
def disks(tmp_path_factory) -> dict[tuple, Disk]:
    """The disk before each command."""
    folder = tmp_path_factory.mktemp("disks")
    return {
        FIRST: Disk.new(folder / "new"),
        NEXT: Disk.begun(folder / "begun"),
    }


@pytest.fixture(scope="module")
def wholes(disks, tmp_path_factory) -> dict[tuple, Disk]:
    """The disk after each command, without faults."""
    folder = tmp_path_factory.mktemp("whole")
    wholes = {}
    for k, (command, disk) in enumerate(disks.items()):
        wholes[command] = disk.copy(folder / str(k))
        assert wholes[command](*command) == Ended(0, "", "")
    return wholes


@pytest.fixture(scope="module")
def mounts() -> None:
    """Skip where nothing can be mounted."""
    script = "mount -t tmpfs none /mnt"
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "sh", "-c", script]).returncode:
        pytest.skip("needs Linux and permission to mount a disk in a separate namespace")


def mounted(disk: Disk, folder: Path, command: tuple, options: str, then: str = "") -> Ended:
    """Run a command on a mounted disk; afterwards `folder` has a copy of the disk."""
    mount_point = folder / "disk"
    mount_point.mkdir(parents=True)
    after = folder / "after"
    after.mkdir()
    arguments = ("sh", "-c", MOUNTED, "sh", disk.root, options, then, after)
    ended = subprocess.run(
        [*NAMESPACE, *map(str, (*arguments, sys.executable, "-m", "charlm", *command))],
        cwd=folder,
        env=disk.shell.environment | {"CHARLM_CACHE": str(mount_point / "text" / "cache")},
        capture_output=True,
        encoding="utf-8",
    )
    assert ended.returncode != 99, ended.stderr
    mount_point.rmdir()
    after.rename(mount_point)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def check(ended: Ended, error: int, disk: Disk, start: Disk, command: tuple, whole: Disk) -> bool:
    """Check the result of a command, and return whether it failed."""
    if ended.code == 0:
        assert ended == Ended(0, "", "")
        assert disk.ends_as(whole)
        return False
    check_refusal(ended, error)
    check_left(disk, start.bytes(), can_remove=True)
    check_goes_on(disk, command, whole, set())
    return True


def used(disk: Disk) -> int:
    """The number of pages that the files of a disk take on a tmpfs, without directories."""
    return sum(-(-f.stat().st_size // PAGE) for f in disk.root.rglob("*") if f.is_file())


@pytest.mark.promise(
    3,
    "A full disk (tmpfs) with room for a given number of pages: one-line error, exit code 1, "
    "intact files, and training resumes to the same weights",
)
def test_disk_that_is_full(mounts, disks, wholes, tmp_path, counted, figure):
    small = []
    stride = counted(40, 1)
    for k, (command, start) in enumerate(disks.items()):
        first, last = used(start) + 1, used(wholes[command]) + 8
        for pages in (*range(first, last, stride), last):
            folder = tmp_path / f"{k}-{pages}"
            ended = mounted(start, folder, command, f"size={pages * PAGE}")
            disk = Disk(folder)
            small.append(check(ended, errno.ENOSPC, disk, start, command, wholes[command]))
    assert any(small)
    assert not small[-1]
    figure(f"{len(small)} sizes, {sum(small)} of them too small")


@pytest.mark.promise(
    3, "A disk that is mounted read-only: one-line error, exit code 1, and no byte is changed"
)
def test_disk_that_is_read_only(mounts, disks, wholes, tmp_path, figure):
    for k, (command, start) in enumerate(disks.items()):
        folder = tmp_path / str(k)
        ended = mounted(start, folder, command, "size=10m", then="ro")
        disk = Disk(folder)
        assert disk.bytes() == start.bytes()
        assert check(ended, errno.EROFS, disk, start, command, wholes[command])
    figure(f"{len(disks)} commands")


@pytest.mark.promise(
    3,
    "A limit on the file size (`ulimit -f`), from zero to sufficient: one-line error, exit code 1, "
    "intact files, and training resumes to the same weights",
)
def test_limit_on_the_size_of_files(disks, wholes, tmp_path, counted, figure):
    low = []
    for k, (command, start) in enumerate(disks.items()):
        largest = max(file.stat().st_size for file in wholes[command].root.rglob("*.*"))
        enough = largest + 1000  # numbers in a checkpoint vary in length
        for limit in range(0, enough + 1, enough // counted(1, 20)):
            disk = start.copy(tmp_path / f"{k}-{limit}")
            ended = limited(disk, command, limit)
            low.append(check(ended, errno.EFBIG, disk, start, command, wholes[command]))
    assert any(low)
    assert not low[-1]
    figure(f"{len(low)} limits, {sum(low)} of them too low")


def limited(disk: Disk, command: tuple, limit: int) -> Ended:
    """Run a command under a limit on the size of its files, in bytes."""

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    return end(disk.shell.start(*command, preexec_fn=limit_files))


@pytest.fixture
def permissions(tmp_path) -> None:
    """Skip where this process, without the capabilities of root, ignores permissions."""
    probe = tmp_path / "probe"
    probe.mkdir(0o555)
    command = [sys.executable, "-c", "import os; os.mkdir('probe/new')"]
    ended = subprocess.run(
        command, cwd=tmp_path, preexec_fn=as_others, stderr=subprocess.DEVNULL, check=False
    )
    if ended.returncode == 0:
        pytest.skip("permissions have no effect here")


def as_others() -> None:
    """Drop the capabilities with which root ignores permissions, before a program is executed."""
    if sys.platform == "linux":
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def refused(disk: Disk, *arguments: object) -> Ended:
    return end(disk.shell.start(*arguments, preexec_fn=as_others))


def chmod(folder: Path, of_directories: int, of_files: int) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(of_directories if path.is_dir() else of_files)


@pytest.mark.promise(
    3,
    "Files and directories without write permission: one-line error, exit code 1, and no byte is "
    "changed",
)
def test_disk_without_permission_to_write(permissions, disks, wholes, tmp_path, figure):
    for k, (command, start) in enumerate(disks.items()):
        disk = start.copy(tmp_path / str(k))
        chmod(disk.root, 0o555, 0o444)
        ended = refused(disk, *command)
        chmod(disk.root, 0o755, 0o644)
        assert disk.bytes() == start.bytes()
        assert check(ended, errno.EACCES, disk, start, command, wholes[command])
    disk = disks[NEXT].copy(tmp_path / "get")
    chmod(disk.root, 0o555, 0o444)
    check_refusal(refused(disk, *GET), errno.EACCES)
    check_refusal(refused(disk, "corpus", "prepare", "disk/text/corpus.txt"), errno.EACCES)
    chmod(disk.root, 0o755, 0o644)
    figure(f"{len(disks) + 2} commands")


GET = ("corpus", "get", "ordinary-things", "--out", "disk/things.txt")
READERS = (
    NEXT,
    (*FIRST[:2], "--out", "disk/another", "--quiet"),
    ("sample", "disk/run"),
    ("eval", "disk/run"),
    ("eval", "disk/run", "disk/text/corpus.txt"),
    ("corpus", "prepare", "disk/text/corpus.txt"),
)


@pytest.mark.promise(3, "Files without read permission: one-line error, exit code 1")
def test_files_without_permission_to_read(permissions, disks, tmp_path, figure):
    disk = disks[NEXT].copy(tmp_path / "unreadable")
    chmod(disk.root, 0o755, 0o000)
    for command in READERS:
        check_refusal(refused(disk, *command), errno.EACCES)
    figure(f"{len(READERS)} commands")
