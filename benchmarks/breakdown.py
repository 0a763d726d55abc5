"""Where the time of a training step goes on our side, in parts that sum up to the step.

With BLAS set up as the command does, these take turns, and the medians of their times are taken
(`contenders/inside.py`):

    step      `Trainer.step()`, shards carried by processes as in training
    dealt     one shard by `Shards`, alone, in one process
    cells     the recurrent layers of that shard alone, forward and backward
    head      `CharLM.loss_and_grad` on that shard with the cells' output given
    watched   the same on arrays that report each call of NumPy while it is made
    optimiser sum of the shards' gradients, clipping, Adam
    data      the chunk of ids

so that the table can say

    products        matrix products in the recurrent layers, timed call by call in `watched`
    element-wise    NumPy's other universal functions there, in the same way
    calls, copies   the rest of `cells`: the interpreter, views, assignments, gathering, sorting
    head, loss      `head`: logits, softmax, their gradients, products included
    dealing         dealt - cells - head: forgotten states, seeds
    optimiser, data as they are
    at once         what is left of the step: what it costs that processes carry the shards at
                    once: messages, the copy of the weights for workers, waiting for the slower,
                    caches and memory that they share

The parts that processes carry at once are counted once if there is a process for each shard, and
otherwise as often as a process has shards. The speed of the products is that of one process alone,
to be compared with a large product on one thread. Of the rounds, the one whose step took the
median time is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks import harness
from benchmarks.harness import Session
from benchmarks.tasks import chosen

PARTS = (
    "products",
    "element-wise",
    "calls, copies",
    "head, loss",
    "dealing",
    "optimiser",
    "data",
    "at once",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=3, seconds=4.0)
    parser.add_argument("--only", default="", help="combinations whose names contain this")
    options = harness.parse(parser, argv, rounds=1, seconds=0.1)
    with Session("breakdown", options) as session:
        inside = session.worker("inside")
        limit = max(inside.call("one_thread", size=1024) for _ in range(5))
        rows = []
        for task in chosen(options.only):
            ask = partial(inside.call, "breakdown", seconds=options.seconds, **asdict(task))
            rounds = [
                session.watched(ask) | {"others busy": session.others[-1] if session.others else 0}
                for _ in range(options.rounds)
            ]
            rounds.sort(key=lambda times: times["step"])
            rows.append({"task": task, "seconds": rounds[len(rounds) // 2], "rounds": rounds})
        _print(rows, limit)
        session.finish(rows, one_thread_limit=limit)


def _print(rows: Sequence[Mapping[str, Any]], limit: float) -> None:
    """The table: each part of the step in milliseconds and as a share of it."""
    lines = []
    for row in rows:
        times = row["seconds"]
        parts = [f"{times[p] * 1e3:.2f} {times[p] / times['step']:4.0%}" for p in PARTS]
        speed = f"{times['product speed'] / 1e9:.0f}"
        others = f"{times['others busy']:.2f}"
        lines.append([row["task"].name, f"{times['step'] * 1e3:.2f}", *parts, speed, others])
    harness.table(
        "A step of training in milliseconds, of the round with the median step; the speed of "
        f"the products in GFLOP/s (a large one on one thread: {limit / 1e9:.0f})",
        ["cell layers x H, B, T", "step", *PARTS, "speed", "others busy"],
        lines,
    )


if __name__ == "__main__":
    main()
