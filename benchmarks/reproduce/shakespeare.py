"""Tiny-shakespeare in one minute: charlm beside a PyTorch LSTM of the same shape.

The text but for its last tenth is the training text; the last tenth is held out. LSTM 1x256, batch
size 32, 64 steps. Both have the same chunks of text, Adam, learning rate and schedule (that of
charlm), gradient clipping and dropout, and the number of steps that fit into the time, from a trial
of the same length, which is part of the time. They train one after the other, never at once, each
in a process of its own on the same number of processors. No validation takes part: the model is
that of the last step.

Then each reads the whole held-out text once, in one stream from a state of zeros, with its weights
fixed; the first character is not predicted.

The initial weights are each library's own, and so is what charlm does beyond the recipe: it
sometimes sets the state to zeros before a newline. PyTorch's input is one-hot, as charlm's, and
again an embedding of 256, which has more weights.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks import harness
from benchmarks.harness import Session
from benchmarks.reproduce.common import Source, facts, parser
from benchmarks.tasks import Task
from charlm.config import TrainConfig

TEXT = Source(
    "tinyshakespeare.txt",
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
TASK = Task("lstm", 1, 256, 32, 64)
HELD_OUT = 0.1
VARIANTS = ("one-hot", "embedding")


def main(argv: Sequence[str] | None = None) -> None:
    """Make the table."""
    own = parser(__doc__, peers=["torch"])
    own.add_argument("--minutes", type=float, default=1.0, help="for each model (%(default)s)")
    own.add_argument("--dropout", type=float, default=0.0, help="of each model (%(default)s)")
    options = harness.parse(own, argv, minutes=0.02)
    path = TEXT.find(options)
    with Session("reproduce-shakespeare", options) as session:
        workers = {"charlm": session.worker("ours"), "PyTorch": session.peer("torch")}
        contenders = [
            (name, worker, variant)
            for name, worker in workers.items()
            if worker
            for variant in (VARIANTS if name == "PyTorch" else ("",))
        ]
        arguments = asdict(TASK) | {
            "path": str(path.resolve()),
            "held_out": HELD_OUT,
            "minutes": options.minutes,
            "dropout": options.dropout,
            "threads": options.threads,
        }
        rows = list[dict[str, Any]]()
        for seed in options.random_seeds:
            for name, worker, variant in contenders:
                more = {"seed": seed} | ({"variant": variant} if variant else {})
                turn = partial(worker.call, "trained", **arguments, **more)
                trained = session.watched(turn)
                rows.append({"model": f"{name} {variant}".strip(), "random_seed": seed} | trained)
        _print(rows, options.minutes)
        session.facts |= facts(session, TrainConfig(TASK.steps, TASK.batch))
        session.finish(rows, task=TASK)


def _print(rows: Sequence[dict[str, Any]], minutes: float) -> None:
    columns = ["LSTM 1x256", "random seed", "parameters", "steps", "characters per second"]
    columns += ["seconds", "nats per character", "bits per character", "perplexity"]
    lines = [
        (
            row["model"],
            row["random_seed"],
            f"{row['parameters']:,}",
            f"{row['steps']:,}",
            f"{row['trained_characters'] / row['seconds']:,.0f}",
            f"{row['seconds']:.1f}",
            f"{(nats := row['nats_per_char']):.4f}",
            f"{nats / math.log(2):.4f}",
            f"{math.exp(nats):.3f}",
        )
        for row in rows
    ]
    scored = f"{rows[0]['scored_characters']:,}"
    harness.table(f"{minutes:g} minutes each, {scored} held-out characters", columns, lines)


if __name__ == "__main__":
    main()
