"""Shared parts of the tables: the texts, the options, training, what the figures depend on."""

import argparse
import hashlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import charlm
from benchmarks import harness
from benchmarks.fields.common import commit
from benchmarks.harness import Session
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.language_model import LanguageModel
from charlm.training.events import Done, Eval, Record, Start, Step

Row: TypeAlias = Mapping[str, float | str]


@dataclass(frozen=True)
class Source:
    """A text that a table is about; its figures hold for this text alone.

    Attributes:
        name: the name of its file in the folder of `--data`.
        url: where to download it.
        sha256: its hash.
    """

    name: str
    url: str
    sha256: str

    def find(self, options: argparse.Namespace) -> Path:
        """The path of the file. With `--quick`, its content may differ.

        Raises:
            SystemExit: there is no such file, or its content differs.
        """
        path: Path = options.data / self.name
        if not path.is_file():
            raise SystemExit(f"{path} is missing; download it from {self.url}")
        got = hashlib.sha256(path.read_bytes()).hexdigest()
        if got != self.sha256:
            differs = f"{path} has SHA-256 {got} instead of {self.sha256}"
            if not options.quick:
                raise SystemExit(f"{differs}; download it from {self.url}")
            print(f"note: {differs}", file=sys.stderr)
        return path


def parser(
    description: str | None, seeds: Sequence[int] = (0,), peers: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """A parser with the options of all tables."""
    result = harness.parser(description, peers=peers)
    add = result.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder of the texts")
    add("--threads", type=int, default=0, help="processors for training, 0 for all (%(default)s)")
    shown = f"random seeds, a training for each ({' '.join(map(str, seeds))})"
    add("--random-seeds", type=int, nargs="+", default=list(seeds), metavar="N", help=shown)
    return result


@dataclass(frozen=True)
class Training:
    """A trained model and the events of its training.

    Attributes:
        model: the model.
        start: the first event.
        steps: all steps.
        done: the last event.
    """

    model: LanguageModel
    start: Start
    steps: list[Step]
    done: Done


def train(
    text: str | list[str], model: ModelConfig, config: TrainConfig, budget: Budget, threads: int
) -> Training:
    """Train a model; its evaluations are notes on stderr."""
    records = list[Record]()
    what = f"{model.cell} {model.layers}x{model.hidden}, random seed {config.random_seed}"

    def on_record(record: Record) -> None:
        records.append(record)
        if isinstance(record, Eval):
            figures = {"training": record.train_perplexity, "validation": record.val_perplexity}
            shown = [f"{name} perplexity {x:.4f}" for name, x in figures.items() if x is not None]
            print(", ".join([f"{what}: step {record.step:,}", *shown]), file=sys.stderr, flush=True)

    trained = charlm.train(text, model, config, budget, on_record=on_record, threads=threads)
    start, done = records[0], records[-1]
    assert isinstance(start, Start)
    assert isinstance(done, Done)
    return Training(trained, start, [each for each in records if isinstance(each, Step)], done)


def note(row: Row) -> None:
    """Print a finished row on stderr, since all trainings of a table take long."""
    print(", ".join(f"{name}: {shown(x)}" for name, x in row.items()), file=sys.stderr, flush=True)


def table(title: str, rows: Sequence[Row]) -> None:
    """Print a Markdown table with the columns of the first row; other rows may lack some."""
    columns = list(rows[0])
    harness.table(title, columns, [[shown(row.get(name, "")) for name in columns] for row in rows])


def shown(value: float | str) -> str:
    """A cell: four digits after the point, or a whole number, or text as it is."""
    return value if isinstance(value, str) else f"{value:,.{4 * isinstance(value, float)}f}"


def facts(session: Session, config: TrainConfig) -> dict[str, Any]:
    """What the figures depend on, besides the machine and the libraries."""
    command = ["python", "-m", "benchmarks.reproduce", session.name.removeprefix("reproduce-")]
    schedule = f"cosine decay to a hundredth after {config.warmup} steps of warm-up"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "command": shlex.join([*command, *sys.argv[1:]]),
        "random seeds": " ".join(map(str, session.options.random_seeds)),
        "training": f"batch size {config.batch_size}, {config.seq_len} steps, {config.optimizer}, "
        f"peak learning rate {config.peak_lr:g}, {schedule}, gradient norm at most {config.clip:g}",
    }
