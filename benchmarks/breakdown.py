"""The parts of the time of a charlm training step; they add up to the step.

BLAS is set up as the command does. These measurements take turns, and medians are reported
(`contenders/inside.py`):

    step      `Trainer.step()`, shards on worker processes as in training
    sharded   one shard through `DataParallel`, in one process
    cells     the recurrent layers of that shard alone, forward and backward
    head      `CharLM.loss_and_grad` on that shard with the output of the cells given
    watched   `cells` on arrays that time each NumPy call
    optimizer sum of the gradients of the shards, clipping, Adam
    data      the chunk of ids

The table has these parts:

    products        matrix products in the recurrent layers, timed per call in `watched`
    element-wise    other NumPy ufuncs there, timed in the same way
    calls, copies   the rest of `cells`: interpreter, views, assignments, gathering, sorting
    head, loss      `head`: logits, softmax, their gradients, products included
    sharding        sharded - cells - head: resetting of states, seeds
    optimizer, data as above
    parallel        the rest of the step, which is the cost of running shards in parallel: messages,
                    the copy of the weights for workers, waiting for the slowest, shared caches
                    and memory bandwidth

Parts that run in parallel count once if each shard has a process of its own, and otherwise as
many times as a process has shards. The speed of the products is that of one process; compare it
with the large product on one thread. The table shows the round with the median step time.
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
    "sharding",
    "optimizer",
    "data",
    "parallel",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=3, seconds=0.5)
    parser.add_argument("--only", default="", help="only models whose names contain this")
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
    """Print each part of the step in milliseconds and as a fraction of the step."""
    lines = []
    for row in rows:
        times = row["seconds"]
        parts = [f"{times[p] * 1e3:.2f} {times[p] / times['step']:4.0%}" for p in PARTS]
        speed = f"{times['product speed'] / 1e9:.0f}"
        others = f"{times['others busy']:.2f}"
        lines.append([row["task"].name, f"{times['step'] * 1e3:.2f}", *parts, speed, others])
    harness.table(
        "Training step in milliseconds, round with the median step; speed of the products in "
        f"GFLOP/s (a large product on one thread: {limit / 1e9:.0f})",
        ["cell layers x H, B, T", "step", *PARTS, "speed", "others busy"],
        lines,
    )


if __name__ == "__main__":
    main()
