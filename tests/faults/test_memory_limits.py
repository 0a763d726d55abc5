"""Models that do not fit into memory, and training that runs out of memory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.config import CELL_NAMES
from charlm.training.checkpoint import load
from tests.shell import TEXT, Ended, Shell, end

MB = 1 << 20

# Not the limit of the address space: when that is reached, a stack cannot grow, and the process
# crashes instead of raising an error.
LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
try:
    bytearray(2 << 30)
except MemoryError:
    print("heeded")
"""


def heeds_limits() -> bool:
    command = [sys.executable, "-c", LIMITED]
    return (
        sys.platform == "linux" and b"heeded" in subprocess.run(command, capture_output=True).stdout
    )


limited = pytest.mark.skipif(not heeds_limits(), reason="the system does not limit data memory")

# The message states the required and the free memory.
REFUSAL = re.compile(
    r"charlm: training a model of [\d,]{7,} parameters requires about [\d,.]+ [GM]B of memory, "
    r"but only [\d,.]+ [GM]B are available; choose a smaller .+"
)

TOO_LARGE = [
    *(("--cell", cell, "--hidden", 10**9) for cell in CELL_NAMES if cell != "jordan"),
    ("--cell", "jordan", "--hidden", 10**14),
    ("--hidden", 200_000),
    ("--hidden", 10**6, "--layers", 3, "--residual"),
    ("--hidden", 10**6, "--bidirectional"),
    ("--layers", 10**12),
    ("--cell", "gru", "--head-layers", 10**12),
    ("--embedding", 10**14),
    ("--hidden", 10**6, "--shards", 32, "--accumulate", 4),
    ("--hidden", 10**6, "--optimizer", "sgd", "--steps", 1),
    ("--hidden", 10**6, "--minutes", 5),
]


# Runs a command and prints its peak memory after its own output. The peak of a process includes
# that of its parent before the program was loaded, so the parent is this small one.
MEASURE = """
import os, sys
command = [sys.executable, "-m", "charlm", *sys.argv[1:]]
process = os.posix_spawn(sys.executable, command, os.environ)
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def most_memory(shell: Shell, *arguments: object) -> tuple[Ended, int]:
    """Run a command that prints nothing to stdout; return its peak memory in bytes, too."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, arguments)],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        encoding="utf-8",
    )
    unit = 1 if sys.platform == "darwin" else 1024
    return Ended(done.returncode, "", done.stderr), int(done.stdout) * unit


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="the system does not report peak memory")
@pytest.mark.promise(13, "A model that does not fit is rejected before memory is allocated for it")
def test_model_that_cannot_fit_is_refused(charlm, counted, figure):
    most = 0
    cases = TOO_LARGE[: counted(3, len(TOO_LARGE))]
    for options in cases:
        ended, used = most_memory(charlm, "train", "corpus.txt", *options)
        assert REFUSAL.fullmatch(ended.refusal), options
        most = max(most, used)
    assert most < 200 * MB
    assert not (charlm.folder / "runs").exists()
    figure(
        f"{len(cases)} shapes of up to 10^18 parameters and more: {len(cases)} one-line errors "
        f"with both sizes, from processes of at most {most // MB} MB"
    )


@limited
def test_limit_of_the_process_is_heeded(charlm):
    import resource

    limits = (2048 * MB, 2048 * MB)
    process = charlm.start(
        "train",
        "corpus.txt",
        "--hidden",
        4096,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, limits),
    )
    assert REFUSAL.fullmatch(end(process).refusal)


def data_of(pid: int) -> int:
    """The private writable memory of a process, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmData:\s+(\d+) kB", status)[0]) * 1024


# A model whose arrays are larger than the remaining memory, so that the allocation of an array
# fails: NumPy may crash when a small internal allocation fails.
SQUEEZED = ["--hidden", 768, "--steps", 5, "--eval-every", 1, "--threads", 1, "--force"]
ROOM = range(6, 10)  # MB


@limited
@pytest.mark.promise(13, "Running out of memory during training ends it with one line")
def test_memory_that_ends_in_training_ends_it_with_one_line(charlm, counted, figure):
    import resource

    (charlm.folder / "long.txt").write_text(TEXT * 20, encoding="utf-8")
    rooms = ([*ROOM] * 6)[: counted(1, 24)]
    for room in rooms:
        process = charlm.start("train", "long.txt", "--out", "run", "--json", *SQUEEZED)
        assert any('"event": "eval"' in line for line in iter(process.stdout.readline, ""))
        limit = data_of(process.pid) + room * MB
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit, limit))
        ended = end(process)
        check_said(ended)
        assert ended.code == 1
        load(charlm.folder / "run/last.npz")
    figure(
        f"{len(rooms)} limits set during training: {len(rooms)} one-line errors, and an intact "
        "checkpoint after each"
    )


def check_said(ended: Ended) -> None:
    """Check that a command succeeded, or reported in one line that memory ran out."""
    assert ended.code in (0, 1), ended
    lines = ended.err.splitlines()
    assert len(lines) == ended.code, ended.err
    assert all(line.startswith("charlm: out of memory") for line in lines), ended.err


# Imported by each process at startup: in the selected process, the k-th allocation of a NumPy array
# fails.
FAILING = """
import os, sys
is_worker = any("charlm.distributed.worker_process" in word for word in sys.orig_argv)
if is_worker == (os.environ["WHERE"] == "helper"):
    import numpy as np
    calls = 0
    def failing(make):
        def made(*args, **options):
            global calls
            calls += 1
            if calls == int(os.environ["FAILING"]):
                raise MemoryError("as if")
            return make(*args, **options)
        return made
    np.empty, np.zeros = failing(np.empty), failing(np.zeros)
"""


ARRAYS = {"process": 160, "helper": 40}  # allocations that are tried


@pytest.mark.promise(
    13, "An array that cannot be allocated, whichever it is, ends training with one line"
)
def test_array_that_does_not_fit_ends_training_with_one_line(charlm, counted, figure):
    (charlm.folder / "sitecustomize.py").write_text(FAILING, encoding="utf-8")
    path = os.pathsep.join([str(charlm.folder), charlm.environment["PYTHONPATH"]])
    ended_by = dict.fromkeys(ARRAYS, 0)
    for where, most in ARRAYS.items():
        for k in range(1, most, counted(most // 2, 1)):
            failing = {"OPENBLAS_NUM_THREADS": "1", "WHERE": where, "FAILING": str(k)}
            variables = failing | {"PYTHONPATH": path}
            ended = charlm("train", "corpus.txt", "--quiet", "--threads", 2, variables=variables)
            check_said(ended)
            ended_by[where] += ended.code
    assert all(ended_by.values())
    figure(
        f"{sum(ended_by.values())} arrays, each failing once, {ended_by['helper']} of them in a "
        f"worker process: {sum(ended_by.values())} one-line errors"
    )
