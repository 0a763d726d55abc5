"""Documents: the cost of their boundaries in training, and seconds to score 20,000 lines.

Training: `Trainer.step()` with LSTM 256, batch size 32, 64 steps, on random characters as one text,
and cut into lines of 6 characters, each of them a document, whose state starts from zeros. Both
train on the same number of ids per step; the speed counts them, and the ratio is that of lines to
text. At least 0.9 was asked for.

Scoring: lines of random characters, of 1 to 39 and 20 on average, each with its end, by LSTM 256;
vocabulary 65; or the lines of a file, which begin alike more often, and ours reads each beginning
once. Ours: `LanguageModel.score(lines)`. PyTorch: lines sorted by length in batches of
256, `nn.LSTM` under `no_grad`, padded or packed, with one-hot or embedding input, on one or all
threads; a short trial finds the fastest of these, which takes part. Both start from strings and
return the NLL of each character of each line. At least 2 was asked for.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

from benchmarks import harness
from benchmarks.harness import Contender, Session, Spread, Worker
from benchmarks.tasks import Task

TASK = Task("lstm", 1, 256, 32, 64)
LINE = 6  # characters
SCORED = {"hidden": 256, "vocabulary": 65, "mean": 20}
LINES = 20_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=5, seconds=1.0, peers=["torch"])
    parser.add_argument("--lines", type=int, default=LINES, help="lines scored (%(default)s)")
    parser.add_argument("--lines-of", default="", help="score the first lines of this file")
    options = harness.parse(parser, argv, rounds=1, seconds=0.1, lines=500)
    with Session("documents", options) as session:
        ours = session.worker("ours")
        rows = [
            *_training(session, ours),
            *_scoring(session, ours, options.lines, options.lines_of),
        ]
        session.finish(rows, task=TASK)


def _training(session: Session, ours: Worker) -> list[dict[str, Any]]:
    """The speed of training on lines and on one text."""
    lines = f"lines of {LINE}"
    made = {
        "one text": ours.make("training", **asdict(TASK)),
        lines: ours.make("training", line=LINE, **asdict(TASK)),
    }
    turns = session.race(made)
    for contender in made.values():
        contender.drop()
    rows: list[dict[str, Any]] = [
        {"training": name, "per_second": turns.spread(name), "ratio": turns.ratio(name, "one text")}
        for name in made
    ]
    harness.table(
        f"Training {TASK.name}",
        ["ours", "thousand characters per second", "ratio to one text"],
        [(r["training"], r["per_second"].show(1, 1e-3), r["ratio"].show()) for r in rows],
    )
    return rows


def _scoring(session: Session, ours: Worker, count: int, path: str) -> list[dict[str, Any]]:
    """The seconds of scoring lines."""
    arguments = SCORED | {"count": count, "path": path}
    positions, distinct = ours.call("beginnings", **arguments)
    session.facts["lines"] = f"{positions:,} positions, {distinct:,} distinct beginnings"
    made = {"ours": ours.make("scoring_lines", **arguments)}
    torch = session.peer("torch")
    if torch:
        made |= _fastest(torch, arguments)
    turns = session.race(made, seconds=0.0)
    rows: list[dict[str, Any]] = [
        {
            "contender": name,
            "seconds": Spread.of(count / rate for rate in turns.values[name]),
            "ours_is_faster_by": turns.ratio("ours", name),
        }
        for name in made
    ]
    harness.table(
        f"Scoring {count:,} lines with LSTM 256",
        ["contender", "seconds", "ours is faster by"],
        [(r["contender"], r["seconds"].show(), r["ours_is_faster_by"].show()) for r in rows],
    )
    return rows


def _fastest(torch: Worker, arguments: dict[str, Any]) -> dict[str, Contender]:
    """The fastest padded and the fastest packed settings of PyTorch, from short trials."""
    part = arguments | {"count": max(256, arguments["count"] // 10)}

    def speed(setting: dict[str, Any]) -> float:
        trial = torch.make("scoring_lines", **part, **setting)
        rate = max(trial.rate() for _ in range(2))
        trial.drop()
        return rate

    found = {}
    for is_packed in (False, True):
        settings: list[dict[str, Any]] = [
            {"variant": variant, "threads": threads, "is_packed": is_packed}
            for variant, threads in product(("one-hot", "embedding"), (1, 0))
        ]
        best = max(settings, key=speed)
        batches = "packed" if is_packed else "padded"
        name = f"torch {batches}, {best['variant']}, threads: {best['threads'] or 'all'}"
        found[name] = torch.make("scoring_lines", **arguments, **best)
    return found


if __name__ == "__main__":
    main()
