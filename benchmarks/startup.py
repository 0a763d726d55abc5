"""Seconds that whole processes take from start to exit.

A bare interpreter, `charlm --help`, `charlm --version`, `charlm sample` of 100 characters from an
LSTM of 256 units (initial weights, vocabulary 65, in a temporary directory), and
`python -c "import torch"`. They take turns. The first round fills the file and bytecode caches and
is ignored. `over bare` is the difference to the bare interpreter in the same round.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Session, Spread

BARE = "bare interpreter"
CHARACTERS = 100
# Keep bytecode caches, as users do.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=9, peers=["torch"])
    options = harness.parse(parser, argv, rounds=2)
    with Session("startup", options) as session, tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.npz"
        ours = session.worker("ours")
        ours.call("save", path=str(model), hidden=256, vocabulary=65)
        torch = session.peer("torch")
        for worker in (ours, torch):
            if worker:
                session.close(worker)
        installed = Path(sys.executable).with_name("charlm")
        charlm = [str(installed)] if installed.exists() else [sys.executable, "-m", "charlm"]
        commands = {
            BARE: [sys.executable, "-c", "pass"],
            "charlm --help": [*charlm, "--help"],
            "charlm --version": [*charlm, "--version"],
            f"charlm sample --length {CHARACTERS}": [
                *charlm, "sample", str(model), "--length", str(CHARACTERS)
            ],
        }  # fmt: skip
        if torch:
            commands['python -c "import torch"'] = [sys.executable, "-c", "import torch"]
        turns = {name: partial(seconds, command) for name, command in commands.items()}
        for turn in turns.values():
            turn()
        times = session.alternate(turns, options.rounds)
        rows: list[dict[str, Any]] = []
        for name in commands:
            over = zip(times.values[name], times.values[BARE], strict=True)
            rows.append(
                {
                    "process": name,
                    "seconds": times.spread(name),
                    "over_bare": Spread.of(a - b for a, b in over),
                }
            )
        harness.table(
            "Whole processes, milliseconds",
            ["process", "takes", "over bare"],
            [(r["process"], r["seconds"].show(0, 1e3), r["over_bare"].show(0, 1e3)) for r in rows],
        )
        session.finish(rows, command=" ".join(charlm))


def seconds(command: Sequence[str]) -> float:
    """The seconds that a process takes.

    Raises:
        CalledProcessError: the process failed.
    """
    started = time.perf_counter()
    subprocess.run(command, cwd=harness.ROOT, env=ENVIRONMENT, capture_output=True, check=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
