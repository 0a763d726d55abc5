"""Training where the system refuses something: the same result by other means, or one line."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import charlm as package
from charlm.distributed import data_parallel, worker_process
from charlm.distributed.scheduling import thread_map
from charlm.errors import WorkerError
from charlm.system.blas import BLAS_THREADS
from tests.helpers import small_trainer
from tests.shell import Ended

pytestmark = pytest.mark.skipif(not data_parallel.HAS_WORKERS, reason="needs worker processes")


def refusing(number: int):
    """A function that raises the error of a system call."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def weights(threads: int = 2) -> bytes:
    """The weights after two steps of two shards."""
    trainer = small_trainer(batch_size=8, shards=2, threads=threads)
    trainer.step()
    trainer.step()
    return trainer.p.flat.tobytes()


MEMFD, DISK = "os.memfd_create", "tempfile.TemporaryFile"
SPACE, NPROC = "os.posix_fallocate", "subprocess.Popen"

MANAGED = {
    "memfd is refused": {MEMFD: errno.EPERM},
    "memfd is unknown": {MEMFD: errno.ENOSYS},
    "affinity is refused": {"os.sched_getaffinity": errno.EPERM},
    "system files": {"pathlib.Path.open": errno.EACCES, "pathlib.Path.read_text": errno.EACCES},
}
REFUSED = {
    "no anonymous file": {MEMFD: errno.EPERM, DISK: errno.ENOENT},
    "full disk": {MEMFD: errno.EPERM, SPACE: errno.ENOSPC},
    "limit of the file size": {SPACE: errno.EFBIG},
    "limit of processes": {NPROC: errno.EAGAIN},
    "no interpreter": {NPROC: errno.ENOENT},
    "limit of open files": {"charlm.distributed.worker_process.Pipe": errno.EMFILE},
}


@pytest.fixture(scope="module")
def expected() -> bytes:
    return weights(threads=1)


@pytest.mark.parametrize("case", MANAGED)
def test_result_is_the_same(case, expected, monkeypatch):
    for name, number in MANAGED[case].items():
        monkeypatch.setattr(name, refusing(number), raising=False)
    assert weights() == expected


@pytest.mark.parametrize(
    "missing", ["os.memfd_create", "os.posix_fallocate", "os.sched_getaffinity"]
)
def test_result_is_the_same_on_a_system_without(missing, expected, monkeypatch):
    monkeypatch.setattr(MEMFD, refusing(errno.ENOSYS), raising=False)
    monkeypatch.delattr(missing, raising=False)
    assert weights() == expected


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize("case", REFUSED)
def test_refusal_is_one_line_with_a_remedy(case, single, expected, monkeypatch):
    for name, number in REFUSED[case].items():
        monkeypatch.setattr(name, refusing(number), raising=False)
    for module in (data_parallel, worker_process):
        monkeypatch.setattr(module, "blas_can_be_single", lambda: single)
    with pytest.raises(WorkerError, match=r"`threads=1`") as refused:
        weights()
    assert "\n" not in str(refused.value)
    assert os.strerror(number) in str(refused.value)
    assert ("OPENBLAS_NUM_THREADS=1" in str(refused.value)) == (not single)
    monkeypatch.setattr(data_parallel, "blas_can_be_single", lambda: True)
    assert weights(threads=1) == expected  # the remedy


def origin(buffer: object):
    """Return the function that a worker runs: it returns where it has imported charlm from."""
    return lambda: package.__file__


def test_workers_import_the_package_from_a_folder_with_a_colon(tmp_path):
    folder = tmp_path / "a:b c"
    shutil.copytree(Path(package.__file__).parent, folder / "charlm")
    shutil.copytree(Path(__file__).parents[1], folder / "tests")
    program = f"""
import sys
sys.path[:0] = [{str(folder)!r}]
from charlm.distributed.worker_process import SharedMemory, Worker
from tests.distributed.test_poor_surroundings import origin
worker = Worker(SharedMemory(8), origin)
worker.submit()
print(worker.result())
worker.close()
"""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.stderr, ended.stdout) == ("", f"{folder / 'charlm/__init__.py'}\n")


@pytest.mark.parametrize("allowed", [0, 1, 2, 3])
def test_calls_run_one_after_the_other_where_threads_are_refused(allowed, monkeypatch):
    start, started = threading.Thread.start, []

    def limited(thread: threading.Thread) -> None:
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr("charlm.distributed.scheduling.blas_can_be_single", lambda: True)
    monkeypatch.setattr(threading.Thread, "start", limited)
    run = thread_map(4, 3)
    monkeypatch.undo()
    assert (run is map) == (allowed < 3)
    assert list(run(np.square, range(9))) == [n * n for n in range(9)]
    for thread in started * (allowed < 3):
        thread.join(60)
        assert not thread.is_alive()


NOWHERE = "/dev/null/folder"  # which nobody can make
RUBBISH = {
    "threads and kernels of BLAS": {
        **dict.fromkeys((*BLAS_THREADS, "OMP_NUM_THREADS"), "abc"),
        "OPENBLAS_CORETYPE": "rubbish",
    },
    "negative threads": {"OMP_NUM_THREADS": "-5", "OPENBLAS_NUM_THREADS": "99999999"},
    "folders and terminal": {
        **dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME"), NOWHERE),
        **dict.fromkeys(("COLUMNS", "LINES", "LC_ALL", "TERM"), "rubbish"),
        "CHARLM_CACHE": "",
    },
    "empty": dict.fromkeys(("TMPDIR", "HOME", "COLUMNS", "PMI_RANK", "PMI_SIZE", "PMIX_RANK"), ""),
}


@pytest.mark.parametrize("case", RUBBISH)
def test_rubbish_in_the_environment_changes_nothing(case, charlm):
    ended = charlm("train", "corpus.txt", "--quiet", "--out", "run", variables=RUBBISH[case])
    assert ended == Ended(0, "", "")
    assert {path.name for path in charlm.folder.iterdir()} == {"corpus.txt", "run"}
