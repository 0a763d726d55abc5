"""How the time of training a character grows with what the user can choose.

Around LSTM 1x256, batch 32, 64 steps, vocabulary 65, one thing at a time is varied: hidden size,
layers, batch, steps, vocabulary, and how many processors carry the shards (of which there are then
as many as the most processors). Measured is `Trainer.step()`, as in `training.py`; the values of
one thing take turns.

Next to each time stands the arithmetic of a character (`tasks.py`: products, element-wise work,
softmax, optimiser). `growth` is how many times the row before the time is, divided by how many
times the arithmetic is: above 1, time grew faster than arithmetic. Over processors the arithmetic
is divided, and what is above 1 is what is lost by sharing.
The picture shows both, the arithmetic scaled to meet the time at the common point.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import harness
from benchmarks.harness import Session, Turns, Worker
from benchmarks.picture import Panel, svg
from benchmarks.tasks import Task

BASE = Task("lstm", 1, 256, 32, 64, 65)
VARIED = {
    "hidden": (32, 64, 128, 256, 512, 1024),
    "layers": (1, 2, 3, 4),
    "batch": (8, 16, 32, 64, 128, 256),
    "steps": (16, 32, 64, 128, 256),
    "vocabulary": (16, 65, 128, 256, 1024, 4096),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=5, seconds=1.0)
    parser.add_argument("--picture", type=Path, help="the SVG (growth.svg beside the JSON)")
    options = harness.parse(parser, argv, rounds=1, seconds=0.1)
    with Session("growth", options) as session:
        worker = session.worker("ours")
        cores: int = session.facts["cores"]
        counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n <= cores]
        rows = []
        for thing, values in VARIED.items():
            settings = {value: asdict(BASE) | {thing: value} for value in values}
            rows += _measure(session, worker, thing, settings)
        settings = {n: asdict(BASE) | {"threads": n, "shards": max(counts)} for n in counts}
        rows += _measure(session, worker, "processors", settings)
        _print(rows)
        picture = options.picture or options.results / "growth.svg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(_draw(rows), encoding="utf-8")
        print(f"\nwritten: {picture}")
        session.finish(rows)


def _measure(
    session: Session, worker: Worker, thing: str, settings: Mapping[int, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of one thing that is varied."""
    made = {f"{value}": worker.make("training", **each) for value, each in settings.items()}
    turns = session.race(made)
    for contender in made.values():
        contender.drop()
    rows: list[dict[str, Any]] = []
    for value, setting in settings.items():
        task = Task(**{name: setting[name] for name in asdict(BASE)})
        row = {
            "thing": thing,
            "value": value,
            "per_second": turns.spread(f"{value}"),
            "arithmetic": task.arithmetic / task.characters / setting.get("threads", 1),
        }
        rows.append(row | {"growth": _growth(turns, rows[-1], row) if rows else None})
    return rows


def _growth(turns: Turns, before: Mapping[str, Any], row: Mapping[str, Any]) -> float:
    """How much faster than the arithmetic the time grew from one row to the next."""
    slower = turns.ratio(f"{before['value']}", f"{row['value']}").median
    return float(slower / (row["arithmetic"] / before["arithmetic"]))


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table."""
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
        f"A character of training around {BASE.name}, V {BASE.vocabulary}",
        ["varied", "microseconds", "million operations", "growth"],
        lines,
    )


def _draw(rows: Sequence[Mapping[str, Any]]) -> str:
    """The picture: a panel for each thing."""
    panels = []
    for thing in dict.fromkeys(row["thing"] for row in rows):
        mine = [row for row in rows if row["thing"] == thing]
        values = [row["value"] for row in mine]
        times = [1e6 / row["per_second"].median for row in mine]
        base = values.index(getattr(BASE, thing, 1))
        scale = times[base] / mine[base]["arithmetic"]
        expected = [row["arithmetic"] * scale for row in mine]
        panels.append(Panel(thing, values, times, expected))
    return svg(panels, "microseconds a character", ("time", "arithmetic"))


if __name__ == "__main__":
    main()
