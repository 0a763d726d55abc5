"""Training speed of two versions of charlm, measured in turn in one run.

    python -m benchmarks.versions OLD/bin/charlm NEW/bin/charlm

Only the command line is used, so the versions can be any. It prints characters per second, medians
over the rounds, and the median of the ratios new / old; then the time of `charlm --help`.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.hashes import text

MODELS = {
    "lstm 1x256": ["--hidden", "256", "--steps", "400"],
    "lstm 2x128": ["--hidden", "128", "--layers", "2", "--steps", "500"],
}


def speed(charlm: str, options: list[str], corpus: Path, run: Path) -> float:
    """Characters per second of a training run."""
    command = [charlm, "train", str(corpus), *options, "--out", str(run), "--force", "--json"]
    command += ["--embedding", "0", "--head-layers", "0", "--batch-size", "32", "--dropout", "0"]
    command += ["--lr", "0.01", "--eval-every", "10000"]
    done = subprocess.run(
        command,
        env=os.environ | {"CHARLM_CACHE": str(run.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    last = json.loads(done.stdout.splitlines()[-1])
    return float(last["train_chars_per_second"])


def seconds_of_help(charlm: str) -> float:
    """The time of `charlm --help`."""
    started = time.perf_counter()
    subprocess.run([charlm, "--help"], capture_output=True, check=True)
    return time.perf_counter() - started


def compare(name: str, unit: str, pairs: list[tuple[float, float]]) -> None:
    """Print the medians of both versions, and that of their ratios."""
    old, new = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(b / a for a, b in pairs)
    print(f"{name}: {old:,.4g} and {new:,.4g} {unit}, ratio {ratio:.3f}", flush=True)


def main() -> None:
    """Measure each model with both versions, in turn."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", help="the charlm command of one version")
    parser.add_argument("new", help="the charlm command of the other version")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    versions = [str(Path(path).absolute()) for path in (arguments.old, arguments.new)]
    with TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus.txt")
        corpus.write_text(text() * 10, encoding="utf-8")
        for name, options in MODELS.items():
            pairs = []
            for k in range(arguments.rounds):
                turn = versions if k % 2 == 0 else versions[::-1]
                found = {v: speed(v, options, corpus, Path(folder, "run")) for v in turn}
                pairs.append((found[versions[0]], found[versions[1]]))
            compare(name, "characters per second", pairs)
    times = [
        (seconds_of_help(versions[0]), seconds_of_help(versions[1]))
        for _ in range(4 * arguments.rounds)
    ]
    compare("charlm --help", "seconds", times)


if __name__ == "__main__":
    main()
