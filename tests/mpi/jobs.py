"""Start `charlm` under mpiexec, and read the results of a run."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from charlm.training import history
from charlm.training.checkpoint import load
from tests.helpers import bits, untimed
from tests.shell import TEXT, Ended, Shell, end

MPIEXEC = Path(sys.executable).with_name("mpiexec")

if not (find_spec("mpi4py") and MPIEXEC.exists()):
    pytest.skip("needs charlm[mpi]: make test-mpi", allow_module_level=True)

CHARLM = ("-m", "charlm")
HERE = Path(__file__).parent

# An epoch has 19 chunks of each of the 10 streams; the last chunk is short.
SMALL = [
    *("train", "corpus.txt", "--out", "run", "--json"),
    *("--hidden", 8, "--batch-size", 10, "--seq-len", 15, "--steps", 25, "--eval-every", 4),
]
FOUR = [*SMALL, "--shards", 4]


def shell_in(folder: Path) -> Shell:
    """Return a shell in a folder with a corpus.txt; make the folder if needed."""
    folder.mkdir(exist_ok=True)
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return Shell(folder)


def start(
    shell: Shell, ranks: int, *arguments: object, program: tuple[object, ...] = CHARLM
) -> subprocess.Popen[str]:
    """Start a job; `tests.shell.end` waits for it."""
    command = [MPIEXEC, "-n", ranks, sys.executable, *program, *arguments]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(
        list(map(str, command)), cwd=shell.folder, env=shell.environment, encoding="utf-8", **pipes
    )


def mpiexec(shell: Shell, ranks: int, *arguments: object) -> Ended:
    """Run `mpiexec -n <ranks> charlm ...`."""
    return end(start(shell, ranks, *arguments))


def on_all(shell: Shell, ranks: int, name: str, *arguments: object) -> list[Any]:
    """Call a function of `rank_program.py` on all ranks; return the results by rank."""
    ended = end(start(shell, ranks, name, *arguments, program=(HERE / "rank_program.py",)))
    assert (ended.code, ended.err) == (0, "")
    return [json.loads((shell.folder / f"{rank}.json").read_text()) for rank in range(ranks)]


def results_of(run: Path) -> dict[str, Any]:
    """Return all that a run wrote, as bits, without times and paths."""
    records = history.read(run / "history.jsonl")
    results: dict[str, Any] = {"history": [untimed(r) for r in records if r["event"] != "start"]}
    for name in ("last.npz", "best.npz"):
        checkpoint = load(run / name)
        progress = replace(checkpoint.training.progress, seconds=0)
        corpus = replace(checkpoint.training.corpus, sources=(), validation=None)
        training = replace(checkpoint.training, progress=progress, corpus=corpus)
        results[name] = bits(replace(checkpoint, training=training))
    return results
