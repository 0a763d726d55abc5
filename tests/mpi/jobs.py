"""`charlm` under mpiexec, as its users start it, and what a run leaves behind."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from charlm.training.checkpoint import load
from charlm.training.run_directory import RunDirectory
from tests.helpers import bits, untimed
from tests.shell import TEXT, Ended, Shell, end

MPIEXEC = Path(sys.executable).with_name("mpiexec")

if not (find_spec("mpi4py") and MPIEXEC.exists()):
    pytest.skip("needs charlm[mpi]: make test-mpi", allow_module_level=True)

CHARLM = ("-m", "charlm")
HERE = Path(__file__).parent

# An epoch is 19 chunks of each of the 10 streams, the last of them short.
SMALL = [
    *("train", "corpus.txt", "--out", "run", "--json"),
    *("--hidden", 8, "--batch-size", 10, "--seq-len", 15, "--steps", 25, "--eval-every", 4),
]
FOUR = [*SMALL, "--shards", 4]


def shell_in(folder: Path) -> Shell:
    """A folder, made if it is not there, with a corpus.txt."""
    folder.mkdir(exist_ok=True)
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return Shell(folder)


def start(
    shell: Shell, group: int, *arguments: object, program: tuple[object, ...] = CHARLM
) -> subprocess.Popen[str]:
    """A job that has just begun; see `conftest.end`, and that ends all of its processes."""
    command = [MPIEXEC, "-n", group, sys.executable, *program, *arguments]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(
        list(map(str, command)), cwd=shell.folder, env=shell.environment, encoding="utf-8", **pipes
    )


def mpiexec(shell: Shell, group: int, *arguments: object) -> Ended:
    """`mpiexec -n <ranks> charlm …`."""
    return end(start(shell, group, *arguments))


def on_all(shell: Shell, group: int, name: str, *arguments: object) -> list[Any]:
    """What a function of `inside.py` gives on each rank."""
    ended = end(start(shell, group, name, *arguments, program=(HERE / "inside.py",)))
    assert (ended.code, ended.err) == (0, "")
    return [json.loads((shell.folder / f"{rank}.json").read_text()) for rank in range(group)]


def left_by(run: Path) -> dict[str, Any]:
    """All that a run leaves behind, bit for bit, but for when and where it began and went on."""
    history = RunDirectory(run).read_history()
    left: dict[str, Any] = {"history": [untimed(r) for r in history if r["event"] != "start"]}
    for name in ("last.npz", "best.npz"):
        checkpoint = load(run / name)
        progress = replace(checkpoint.training.progress, seconds=0)
        text = replace(checkpoint.training.corpus, sources=())
        training = replace(checkpoint.training, progress=progress, corpus=text)
        left[name] = bits(replace(checkpoint, training=training))
    return left
