"""Every recurrent system after the same training time: bits per character and speed.

Each is trained by `charlm train --minutes` with the settings of `SIZES`, one after another, on
`--text` (by default the corpus python-docs, which needs no network). Bits per character are those
of the best model on the validation split, the last tenth of the text. For the bidirectional model
they are based on its pseudo-likelihood and not comparable with the others.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Session
from charlm.nn.cells import CELLS

VARIANTS = (
    "rnn --activation relu",
    "rnn --activation sigmoid",
    "lstm --layers 2",
    "sru --layers 4",
    "sru --layers 4 --residual",
    "lstm --head-layers 1",
    "lstm --bidirectional",
)
SYSTEMS = (*CELLS, *VARIANTS)
SIZES = "--hidden 256 --embedding 0 --head-layers 0 --dropout 0 --batch-size 32 --lr 0.01"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--text", type=Path, help="a text file")
    parser.add_argument("--minutes", type=float, help="training time per system; 1 by default")
    parser.add_argument("--only", nargs="+", metavar="CELL", help="only these cells, with variants")
    options = harness.parse(parser, argv, rounds=1)
    minutes = options.minutes or (0.1 if options.quick else 1)
    systems = [s for s in SYSTEMS if not options.only or s.split()[0] in options.only]
    with Session("systems", options) as session, tempfile.TemporaryDirectory() as folder:
        text = options.text or _python_docs(Path(folder))
        rows = [_trained(system, text, minutes, Path(folder)) for system in systems]
        harness.table(
            f"{minutes:g} minutes of `charlm train {text.name} {SIZES} --cell …` each",
            [
                "--cell",
                "parameters",
                "thousand characters per second",
                "steps",
                "bits per character",
            ],
            [
                (
                    row["system"],
                    f"{row['parameters']:,}",
                    f"{(row['train_chars_per_second'] or math.nan) / 1e3:.0f}",
                    f"{row['step']:,}",
                    f"{row['bits_per_char']:.3f}" + " (pseudo)" * row["is_pseudo"],
                )
                for row in rows
            ],
        )
        session.finish(rows, text=text.name, minutes=minutes)


def _trained(system: str, text: Path, minutes: float, folder: Path) -> dict[str, Any]:
    """The final figures of the training of a system."""
    command = [
        sys.executable,
        "-m",
        "charlm",
        "train",
        str(text),
        *SIZES.split(),
        "--patience",
        "0",
    ]
    command += ["--cell", *system.split(), "--minutes", str(minutes)]
    command += ["--out", str(folder / "run"), "--force"]
    ended = subprocess.run(
        [*command, "--json", "--quiet"], stdout=subprocess.PIPE, text=True, check=True
    )
    lines = ended.stdout.splitlines()
    start, done = json.loads(lines[0]), json.loads(lines[-1])
    return done | {
        "system": system,
        "parameters": start["parameters"],
        "is_pseudo": start["model"]["bidirectional"],
    }


def _python_docs(folder: Path) -> Path:
    from charlm.text.datasets import find, get

    path = folder / "python-docs.txt"
    get(find("python-docs"), path)
    return path


if __name__ == "__main__":
    main()
