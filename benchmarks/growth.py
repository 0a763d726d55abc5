"""How the training time per character grows with sizes that the user can choose.

The base is LSTM 1x256, batch size 32, 64 steps, vocabulary 65. One size at a time is varied:
hidden units, layers, batch size, steps, vocabulary, the number of processors (the number of
shards is then the largest number of processors), and the number of shards of a batch of 64, which
all processors carry. The benchmark times `Trainer.step()`, as in
`training.py`; the values of one size take turns.

The table also lists the operations per character (`tasks.py`: products, element-wise work,
softmax, optimizer). `growth` is the ratio of the times of a row and the row before it, divided by
the ratio of their operations: above 1, time grew faster than arithmetic. Over processors the
operations are divided, and a value above 1 is the loss from sharing the work.
The picture shows both; the arithmetic is scaled to match the time at the base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Session, Turns, Worker
from benchmarks.picture import Panel, Picture
from benchmarks.tasks import Task

BASE = Task("lstm", 1, 256, 32, 64, 65)
VARIED = {
    "hidden": (32, 64, 128, 256, 512, 1024),
    "layers": (1, 2, 3, 4),
    "batch": (8, 16, 32, 64, 128, 256),
    "steps": (16, 32, 64, 128, 256),
    "vocabulary": (16, 65, 128, 256, 1024, 4096),
}

SHARDS = (1, 2, 4, 8)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=5, seconds=0.25)
    parser.add_argument("--picture", type=Path, help="the SVG file (growth.svg in --results)")
    options = harness.parse(parser, argv, rounds=1, seconds=0.1)
    with Session("growth", options) as session:
        worker = session.worker("ours")
        cores: int = session.facts["cores"]
        counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= cores]
        rows = []
        for size, values in VARIED.items():
            settings = {value: asdict(BASE) | {size: value} for value in values}
            rows += _measure(session, worker, size, settings)
        settings = {n: asdict(BASE) | {"threads": n, "shards": max(counts)} for n in counts}
        rows += _measure(session, worker, "processors", settings)
        settings = {n: asdict(BASE) | {"batch": 64, "shards": n} for n in SHARDS}
        rows += _measure(session, worker, "shards", settings)
        _print(rows)
        picture(rows).save(options.picture or options.results / "growth.svg")
        session.finish(rows)


def _measure(
    session: Session, worker: Worker, size: str, settings: Mapping[int, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of one varied size."""
    made = {f"{value}": worker.make("training", **each) for value, each in settings.items()}
    turns = session.race(made)
    for contender in made.values():
        contender.drop()
    rows: list[dict[str, Any]] = []
    for value, setting in settings.items():
        task = Task(**{name: setting[name] for name in asdict(BASE)})
        row = {
            "thing": size,
            "value": value,
            "per_second": turns.spread(f"{value}"),
            "arithmetic": task.arithmetic / task.characters / setting.get("threads", 1),
        }
        rows.append(row | {"growth": _growth(turns, rows[-1], row) if rows else None})
    return rows


def _growth(turns: Turns, before: Mapping[str, Any], row: Mapping[str, Any]) -> float:
    """The growth of the time from one row to the next, relative to that of the arithmetic."""
    slowdown = turns.ratio(f"{before['value']}", f"{row['value']}").median
    return float(slowdown / (row["arithmetic"] / before["arithmetic"]))


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    lines = []
    for row in rows:
        per_second = row["per_second"]
        micro = [f"{1e6 / v:.1f}" for v in (per_second.median, per_second.high, per_second.low)]
        lines.append(
            (
                f"{row['thing']} {row['value']}",
                f"{micro[0]} ({micro[1]}–{micro[2]})",
                f"{row['arithmetic'] / 1e6:.2f}",
                "" if row["growth"] is None else f"{row['growth']:.2f}",
            )
        )
    harness.table(
        f"Training time per character around {BASE.name}, V {BASE.vocabulary}",
        ["varied", "microseconds", "million operations", "growth"],
        lines,
    )


def picture(rows: Sequence[Mapping[str, Any]]) -> Picture:
    """A panel for each varied size."""
    panels = []
    for size in dict.fromkeys(row["thing"] for row in rows):
        mine = [row for row in rows if row["thing"] == size]
        values = [row["value"] for row in mine]
        times = [1e6 / row["per_second"].median for row in mine]
        base = values.index(getattr(BASE, size, 1))
        scale = times[base] / mine[base]["arithmetic"]
        arithmetic = [row["arithmetic"] * scale for row in mine]
        panels.append(Panel(size, values, {"arithmetic": arithmetic}, {"measured": times}))
    title = "Time per character (µs); the line is proportional to the arithmetic"
    return Picture(title, panels, is_log=True)


if __name__ == "__main__":
    main()
