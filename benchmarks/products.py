"""The product of a recurrent step, [h, 1, x] W, with different divisions of the weights.

The shapes are those of the twelve models of `training.py`, with the rows of one shard: forward, and
transposed as in the backward pass. Each figure is the speed of a sequence of 64 steps, for which
the weights are copied once, in GFLOP/s on one processor. The divisions take turns. `in use` is the
one that `charlm.system.kernels` has for this processor; a row of `MEASURED` there is chosen by this
table. `large` is a product of 1024³ on one thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from benchmarks import harness
from benchmarks.harness import Session, Worker
from benchmarks.tasks import GATES, Task, chosen
from charlm.distributed.scheduling import default_shards
from charlm.system.kernels import SMALL, WHOLE, Blocks

WIDTHS = (16, 32, 64, 128)
DIVISIONS: dict[str, Blocks | None] = {
    "in use": None,
    "whole": WHOLE,
    "in place": Blocks(SMALL, widest_transposed=32),
    **{f"{n} columns": Blocks(SMALL, n, n, is_split=True) for n in WIDTHS},
}


class Shape(NamedTuple):
    """A product of B rows with weights `(K, N)`."""

    name: str
    K: int
    B: int
    N: int
    gates: int
    is_transposed: bool


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=3, seconds=0.03, avx2=True)
    parser.add_argument("--only", default="", help="only models whose names contain this")
    options = harness.parse(parser, argv, rounds=1, seconds=0.01)
    with Session("products", options) as session:
        inside = session.worker("inside")
        limit = max(inside.call("one_thread", size=1024) for _ in range(5))
        shapes = dict.fromkeys(shape for task in chosen(options.only) for shape in _shapes(task))
        rows = [_row(session, inside, shape) for shape in shapes]
        columns = ["rows, K, N", *DIVISIONS]
        title = f"Products of a step, GFLOP/s on one processor (large: {limit / 1e9:.0f})"
        harness.table(title, columns, [_line(row) for row in rows])
        session.finish(rows, one_thread_limit=limit)


def _shapes(task: Task) -> list[Shape]:
    """The products of a step of a model, of the first layer and of those above it."""
    G, H = GATES[task.cell], task.hidden
    B = task.batch // default_shards(task.batch)
    above = task.layers > 1 and task.cell != "gru"  # a GRU multiplies its input before the steps
    sums = [H + 1, *[2 * H + 1] * above]
    forward = [Shape(task.cell, K, B, G * H, G, is_transposed=False) for K in sums]
    return [*forward, Shape(f"{task.cell} back", G * H, B, H, 1, is_transposed=True)]


def _row(session: Session, inside: Worker, shape: Shape) -> dict[str, Any]:
    """The speed of one product with each division."""
    name, *_ = shape
    arguments = shape._asdict()
    del arguments["name"]
    made = {
        division: inside.make(
            "step_product", blocks=None if blocks is None else asdict(blocks), **arguments
        )
        for division, blocks in DIVISIONS.items()
    }
    turns = session.race(made)
    for contender in made.values():
        contender.drop()
    speeds = {division: turns.spread(division) for division in DIVISIONS}
    return {"shape": f"{name} {shape.B}, {shape.K}, {shape.N}", "speed": speeds}


def _line(row: Mapping[str, Any]) -> list[str]:
    speeds = row["speed"]
    best = max(spread.median for spread in speeds.values())
    cells = (f"{s.median / 1e9:.0f}{' *' * (s.median == best)}" for s in speeds.values())
    return [row["shape"], *cells]


if __name__ == "__main__":
    main()
