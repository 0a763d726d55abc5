"""Hashes of trained weights, to compare two versions of charlm: equal hashes are equal arithmetic.

    CHARLM=.venv/bin/charlm python -m benchmarks.hashes > new.txt

Only the command line is used, so the same file runs on any version. Each line is a model and the
SHA-256 of the arrays `params/*` of its `last.npz` after 50 steps: names, types, shapes and bytes.
Where `mpiexec` stands beside the command, one model is also trained on two ranks.
"""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

STEPS = 50
SHARED = ["--steps", str(STEPS), "--random-seed", "7", "--eval-every", "25", "--quiet"]
SHARED += ["--embedding", "0", "--head-layers", "0", "--dropout", "0"]
SHARED += ["--batch-size", "32", "--lr", "0.01"]
CELLS = [
    "rnn",
    "jordan",
    "lstm",
    "lstm-peephole",
    "lstm-coupled",
    "gru",
    "gru-cho",
    "gru-minimal",
    "sru",
]
SMALL = ["--hidden", "64", "--shards", "2"]
MODELS = {cell: ["--cell", cell, "--hidden", "96", "--shards", "2"] for cell in CELLS} | {
    "rnn, relu, 3 layers": [*SMALL, "--cell", "rnn", "--activation", "relu", "--layers", "3"],
    "lstm, 256 units": ["--hidden", "256", "--shards", "2"],
    "lstm, dropout, 2 layers": [*SMALL, "--layers", "2", "--dropout", "0.3"],
    "gru, bidirectional": [*SMALL, "--cell", "gru", "--bidirectional"],
    "gru-cho, residual": [*SMALL, "--cell", "gru-cho", "--layers", "2", "--residual"],
    "sru, 2 layers, embedding": [
        *("--cell", "sru", "--hidden", "64", "--layers", "2", "--embedding", "64"),
        *("--head-layers", "1", "--accumulate", "2", "--shards", "4"),
    ],
}
RANKS = ["--cell", "lstm", "--hidden", "96", "--shards", "4"]


def text() -> str:
    """About 60,000 characters of words drawn from a fixed seed."""
    draw = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyzäé"
    words = ["".join(draw.choices(letters, k=draw.randint(1, 9))) for _ in range(300)]
    lines = (" ".join(draw.choices(words, k=8)) + ".\n" for _ in range(1_300))
    return "".join(lines)


def digest(path: Path) -> str:
    """The hash of a checkpoint's weights."""
    result = hashlib.sha256()
    with np.load(path, allow_pickle=False) as arrays:
        for name in sorted(name for name in arrays.files if name.startswith("params/")):
            array = arrays[name]
            result.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()


def main() -> None:
    """Train each model and print its line."""
    charlm = str(Path(os.environ.get("CHARLM", "charlm")).absolute())
    mpiexec = Path(charlm).with_name("mpiexec")
    jobs = {name: [charlm, "train", *SHARED, *options] for name, options in MODELS.items()}
    if mpiexec.exists():
        jobs["lstm, two ranks"] = [str(mpiexec), "-n", "2", charlm, "train", *SHARED, *RANKS]
    else:
        print("no mpiexec beside the command: the model on two ranks is left out", file=sys.stderr)
    with TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus.txt")
        corpus.write_text(text(), encoding="utf-8")
        for number, (name, command) in enumerate(jobs.items()):
            run = Path(folder, str(number))
            done = subprocess.run(
                [*command, str(corpus), "--out", str(run)],
                env=os.environ | {"CHARLM_CACHE": folder},
                capture_output=True,
                text=True,
            )
            if done.returncode:
                sys.exit(f"{name}: {done.stderr}")
            print(digest(run / "last.npz"), name, flush=True)


if __name__ == "__main__":
    main()
