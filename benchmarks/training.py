"""Training speed of charlm, PyTorch and JAX on the same random characters.

Twelve models: rnn, gru and lstm in four shapes, vocabulary 65; and three small ones, in a table of
their own. The benchmark times whole steps:

- charlm: `Trainer.step()` as `charlm train` runs it (float32, shards on worker processes, sum of
  their gradients, clipping, Adam), with BLAS set up as the command does.
- PyTorch: `nn.RNN`, `nn.GRU`, `nn.LSTM` with one-hot and embedding input, of which the faster
  counts, with `clip_grad_norm_` and fused Adam on all cores.
- JAX: one jitted function for the step, with gathered input rows and one-hot products, of which
  the faster counts.

The other cells, a deep and a bidirectional LSTM are timed too, with 256 units and without peers.

All carry the state over from chunk to chunk and read the loss at each step. The contenders take
one turn each per round. Characters per second are medians over the rounds; ratios are taken within
each round, and their median and range are shown.

The limit: each round also times a large product (2048³, float32, all cores) with our threads and
BLAS kernels, with NumPy's defaults, and with PyTorch. The best of all these turns is the limit of
the machine. The fraction of the limit is

    (operations of the matrix products of the step / limit) / time of the step,

where `needed` counts the products that the model needs, by the formula in `tasks.py`, and `done`
those that the step computes, counted per call (`contenders/inside.py`); it also multiplies biases
by ones.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks import harness
from benchmarks.harness import Contender, Session, Spread, Turns, Worker
from benchmarks.tasks import COMBINATIONS, GATES, SMALL, Task, chosen
from charlm.nn.cells import CELLS

PRODUCT = 2048
LARGE = "large product"
OTHERS: list[tuple[Task, dict[str, bool]]] = [
    *((Task(cell), {}) for cell in CELLS if cell not in GATES),
    (Task(layers=4), {}),
    (Task(), {"bidirectional": True}),
]
VARIANTS = {"torch": ("one-hot", "embedding"), "jax": ("one-hot", "gather")}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=5, seconds=0.2, peers=list(VARIANTS), avx2=True)
    parser.add_argument("--only", default="", help="only models whose names contain this")
    options = harness.parse(parser, argv, rounds=1, seconds=0.1)
    with Session("training", options) as session:
        ours = session.worker("ours")
        found = {name: session.peer(name) for name in VARIANTS}
        peers = {name: worker for name, worker in found.items() if worker}
        multiply = {"ours": ours, "NumPy": session.worker("plain")}
        multiply |= {name: peers[name] for name in ("torch",) if name in peers}
        limits = {
            f"{LARGE}, {name}": worker.make("product", size=PRODUCT)
            for name, worker in multiply.items()
        }
        turns = {}
        for task in chosen(options.only, [*COMBINATIONS, *SMALL]):
            turns[task] = _measure(session, task, ours, peers, limits)
            speed = turns[task].spread("ours").show(1, 1e-3)
            print(f"{task.name}: {speed} thousand characters per second", flush=True)
        limit = max(max(t.values[name]) for t in turns.values() for name in limits)
        inside = session.worker("inside")
        rows = [
            _row(task, t, inside.call("operations", **asdict(task)), limit)
            for task, t in turns.items()
        ]
        means = {}
        for name, tasks in (("", COMBINATIONS), ("small models, ", SMALL)):
            if some := [row for row in rows if row["task"] in tasks]:
                _print(some)
                means |= {name + ratio: mean for ratio, mean in _means(some).items()}
        for name, mean in means.items():
            print(f"geometric mean of {name}: {mean:.2f}")
        products = {
            name: Spread.of(value for t in turns.values() for value in t.values[name])
            for name in limits
        }
        for name, spread in products.items():
            print(f"{name}, {PRODUCT}³: {spread.show(0, 1e-9)} GFLOP/s")
        others = _others(session, ours) if not options.only else []
        session.finish(rows, geometric_means=means, limit=limit, products=products, others=others)


def _others(session: Session, ours: Worker) -> list[dict[str, Any]]:
    """The speed of other models, which take turns; without peers and without the limit."""
    made = {
        f"{task.name}{' bidirectional' * bool(more)}": ours.make("training", **asdict(task), **more)
        for task, more in OTHERS
    }
    turns = session.race(made)
    rows = [{"model": name, "per_second": turns.spread(name)} for name in made]
    harness.table(
        "Other models, thousand characters per second",
        ["cell layers x H, B, T", "ours"],
        [(row["model"], row["per_second"].show(1, 1e-3)) for row in rows],
    )
    print()
    return rows


def _measure(
    session: Session,
    task: Task,
    ours: Worker,
    peers: Mapping[str, Worker],
    limits: Mapping[str, Contender],
) -> Turns:
    """The turns of all contenders at one task, and of the large products."""
    arguments = asdict(task)
    made = {"ours": ours.make("training", **arguments)}
    for name, worker in peers.items():
        for variant in VARIANTS[name]:
            made[f"{name} {variant}"] = worker.make("training", variant=variant, **arguments)
    seconds = session.options.seconds
    contenders = {name: partial(each.rate, seconds) for name, each in made.items()}
    contenders |= {name: partial(each.rate, seconds / 5) for name, each in limits.items()}
    turns = session.alternate(contenders, session.options.rounds)
    for contender in made.values():
        contender.drop()
    return turns


def _row(task: Task, turns: Turns, done: int, limit: float) -> dict[str, Any]:
    """All figures of one task."""
    best = {name: turns.best(name) for name in VARIANTS}
    there = {name: variant for name, variant in best.items() if variant}
    seconds = task.characters / turns.spread("ours").median
    return {
        "task": task,
        "per_second": {k: turns.spread(k) for k in turns.values if not k.startswith(LARGE)},
        "best_variant": there,
        "ours_by": {name: turns.ratio("ours", variant) for name, variant in there.items()},
        "needed": task.needed,
        "done": done,
        "share_needed": task.needed / limit / seconds,
        "share_done": done / limit / seconds,
        "others_busy": turns.others,
    }


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Geometric means of our ratio to each peer and to the faster of them."""
    ratios: dict[str, list[float]] = {}
    for row in rows:
        by = {name: spread.median for name, spread in row["ours_by"].items()}
        for name, value in by.items():
            ratios.setdefault(f"ours/{name}", []).append(value)
        if by:
            ratios.setdefault("ours/best peer", []).append(min(by.values()))
    return {name: statistics.geometric_mean(values) for name, values in ratios.items()}


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    peers = list(rows[0]["best_variant"])
    columns = ["cell layers x H, B, T", "ours", *peers]
    columns += [f"ours/{name}" for name in peers]
    columns += ["needed", "done", "others busy"]
    lines = []
    for row in rows:
        speed = row["per_second"]
        line = [row["task"].name, f"{speed['ours'].median / 1e3:.1f}"]
        for name in peers:
            variant = row["best_variant"][name]
            line.append(f"{speed[variant].median / 1e3:.1f} {variant.removeprefix(name).strip()}")
        line += [row["ours_by"][name].show() for name in peers]
        line += [f"{row['share_needed']:.0%}", f"{row['share_done']:.0%}"]
        lines.append([*line, f"{row['others_busy']:.2f}"])
    harness.table(
        "Training, thousand characters per second; needed and done: fractions of the limit",
        columns,
        lines,
    )
    print()


if __name__ == "__main__":
    main()
