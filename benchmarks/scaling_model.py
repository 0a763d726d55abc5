"""A model of the training step on up to 1,024 nodes, based on measurements on one machine.

It reads `scale.json`, which `python -m benchmarks.scale` writes. A node is one rank whose
processors share its streams. With N nodes, P parameters and A chunks per step (`--accumulate`):

    T(N) = A C(s) + E(N) + G(N) + U
    C(s)   compute time of a chunk with s streams per processor: measured for 1 to 64 with two
           processors, linear in between and beyond; processors are inefficient for few streams.
           The model assumes that more processors of a node do not slow each other down
    E(N)   2 (N-1)/N · 4 P bytes / bandwidth                 data: each piece to its rank and back
         + 2 (N-1) latencies                                 all-to-all, then ring all-gather
         + (N-1)/N · P additions + (N-1) nodes of the tree   measured
    G(N)   4 collectives of log2 N latencies: all-gathers of losses and stop requests, each first
           of lengths and then of values
    U      clipping and Adam on all P, the same on every node: measured

`--any-order` is a recursive-halving all-reduce: the same number of bytes, but 2 log2 N latencies
and no tree. The messages of an all-to-all count as sequential, which is the worst case; MPICH
keeps 32 of them in flight. Contention in switches is not modeled.

The efficiency of N nodes with a constant number of streams each is T(1)/T(N). In the simulation,
the time of each chunk on each node is drawn from the measured steps, relative to their median, and
the slowest node decides. The difference to the formula is the cost of variation between nodes.

Both are checked against the measured steps with 1, 2 and 4 ranks on this machine. There the
exchange takes 2 to 5 times as long as the formula predicts, so limits are also given for 3 times.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS, table
from benchmarks.picture import Panel, Picture
from benchmarks.tasks import Task

BYTES = 4  # per parameter
COLLECTIVES = 4  # besides the exchange
MOST = 1024
NODES = tuple(2**k for k in range(3, 11))
SIMULATED = 200  # steps
TARGETS = (0.5, 0.9)  # efficiencies
SLOWER = 3  # factor on the time of an exchange; measured were 2 to 5
STREAMS = 4  # per processor by default: few, where scaling is hard
CHECKED = (
    *("parameters", "processes", "exchange", "measured", "error", "waiting, simulated", "measured"),
    *("step", "simulated", "measured", "errors"),
)
# Cases of the tables: streams, accumulate; processors per node, batch size, accumulate.
WEAK = [(1, 1), (1, 8), (4, 1), (16, 1)]
STRONG = [(2, 256, 1), (2, 2048, 1), (2, 2048, 8), (32, 2048, 1)]
SHARDS = 4  # of the measured batch
SHARD = 8  # streams per shard
PROCESSORS = 2
# Contenders of `scale.py` to check the model against: name, ranks, threads per rank.
SETUPS = (
    ("1 process, 1 thread", 1, 1),
    ("1 process, 2 threads", 1, 2),
    ("2 ranks", 2, 1),
    ("4 ranks", 4, 1),
)


@dataclass(frozen=True)
class Link:
    """A link between nodes, with nominal figures.

    Attributes:
        name: the name.
        bandwidth: bytes per second, each way.
        latency: seconds of a short message, from program to program.
    """

    name: str
    bandwidth: float
    latency: float


LINKS = (
    Link("1 GbE", 1e9 / 8, 40e-6),
    Link("10 GbE", 10e9 / 8, 10e-6),
    Link("25 GbE", 25e9 / 8, 10e-6),
    Link("100 GbE RoCE", 100e9 / 8, 2e-6),
    Link("HDR 200", 200e9 / 8, 1e-6),
    Link("NDR 400", 400e9 / 8, 1e-6),
)


@dataclass(frozen=True)
class Model:
    """A trained model and its measurements.

    Attributes:
        task: the shape.
        parameters: P.
        chunk: seconds to compute a chunk, by streams per processor.
        update: seconds of clipping and the optimizer.
        add: seconds per addition.
        sum_: overhead in seconds per node of the tree of sums.
        jitter: compute times of steps, relative to their median.
    """

    task: Task
    parameters: int
    chunk: Mapping[float, float]
    update: float
    add: float
    sum_: float
    jitter: Sequence[float]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Model":
        """Create from a row of `scale.json`."""
        return cls(
            Task(**row["task"]),
            row["parameters"],
            {int(n) / 2: parts["compute"]["median"] for n, parts in row["node"].items()},
            row["parts"]["1 process, 2 threads"]["update"]["median"],
            row["alone"]["add"],
            row["alone"]["node"],
            row["jitter"],
        )

    @property
    def name(self) -> str:
        """The name, such as `15.0 million`."""
        return f"{self.parameters / 1e6:.1f} million"

    def compute(self, streams: float) -> float:
        """C: seconds for a chunk, given the streams per processor."""
        known = sorted(self.chunk)
        above = next((k for k, n in enumerate(known) if n >= streams), len(known) - 1)
        a, b = known[max(0, above - 1)], known[max(1, above)]
        slope = (self.chunk[b] - self.chunk[a]) / (b - a)
        return self.chunk[a] + slope * (streams - a)


def exchange(model: Model, link: Link, nodes: int, *, in_order: bool = True) -> float:
    """E: seconds of the all-reduce of the gradients."""
    share = (nodes - 1) / nodes
    moved = 2 * share * BYTES * model.parameters / link.bandwidth
    added = share * model.parameters * model.add
    if not in_order:
        return moved + added + 2 * _rounds(nodes) * link.latency
    return moved + added + (nodes - 1) * (2 * link.latency + model.sum_)


def _rounds(nodes: int) -> int:
    return math.ceil(math.log2(nodes))


def around(model: Model, link: Link, nodes: int, *, in_order: bool = True) -> float:
    """E + G + U: a step without computing."""
    small = COLLECTIVES * _rounds(nodes) * link.latency
    return exchange(model, link, nodes, in_order=in_order) + small + model.update


def step(
    model: Model,
    link: Link,
    nodes: int,
    streams: float,
    accumulate: int = 1,
    *,
    in_order: bool = True,
) -> float:
    """T: seconds of a step, given the streams per processor."""
    computed = accumulate * model.compute(streams)
    return computed + around(model, link, nodes, in_order=in_order)


def efficiency(model: Model, link: Link, nodes: int, streams: float, accumulate: int = 1) -> float:
    """The efficiency, T(1) / T(N)."""
    alone = step(model, link, 1, streams, accumulate)
    return alone / step(model, link, nodes, streams, accumulate)


def drawn(model: Model, nodes: int, accumulate: int) -> tuple[float, float]:
    """The compute time of a step relative to C: mean over nodes, and mean of the slowest node."""
    rng = np.random.default_rng(nodes)
    times = rng.choice(model.jitter, (SIMULATED, accumulate, nodes)).sum(axis=1)
    return float(times.mean()), float(times.max(axis=1).mean())


def simulated_step(
    model: Model, link: Link, nodes: int, streams: int, accumulate: int = 1
) -> float:
    """Seconds of a step if the time of each chunk varies between nodes."""
    _, slowest = drawn(model, nodes, accumulate)
    return model.compute(streams) * slowest + around(model, link, nodes)


def simulated(model: Model, link: Link, nodes: int, streams: int, accumulate: int = 1) -> float:
    """The efficiency in the simulation."""
    mean, _ = drawn(model, nodes, accumulate)
    alone = model.compute(streams) * mean + around(model, link, 1)
    return alone / simulated_step(model, link, nodes, streams, accumulate)


def slower(model: Model, link: Link, times: float) -> tuple[Model, Link]:
    """Both with an exchange that takes `times` as long; the rest is unchanged."""
    return (
        replace(model, add=times * model.add, sum_=times * model.sum_),
        replace(link, bandwidth=link.bandwidth / times, latency=times * link.latency),
    )


def largest(model: Model, link: Link, streams: int, accumulate: int, target: float) -> int:
    """The largest number of nodes with at least the target efficiency."""
    counts = range(MOST, 1, -1)
    return next((n for n in counts if efficiency(model, link, n, streams, accumulate) >= target), 1)


def fastest(
    model: Model, link: Link, batch: int, accumulate: int, processors: int
) -> tuple[int, float]:
    """The fastest number of nodes, with at least a stream per processor, and the speedup."""
    counts = [2**k for k in range(11) if 2**k * processors <= batch]
    times = {n: step(model, link, n, batch / n / processors, accumulate) for n in counts}
    best = min(times, key=lambda n: times[n])
    return best, times[1] / times[best]


def hidden(model: Model, link: Link, nodes: int, streams: int) -> float:
    """The largest fraction of a step by which overlap with the backward pass can shorten it.

    The gradients of the head and of the layers above the first are available early. They can be
    exchanged during the backward pass of the first layer, two thirds of its work.
    """
    task = model.task
    H, gates = task.hidden, 4 * task.hidden
    above = task.layers - 1
    early = task.vocabulary * (H + 1) + above * gates * (2 * H + 1)
    exchanging = early / model.parameters * exchange(model, link, nodes)
    backward = 2 / 3 / (1 + 2 * above) * model.compute(streams)
    return min(exchanging, backward) / step(model, link, nodes, streams)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables of the model and draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--results", type=Path, default=RESULTS, help="directory of scale.json (%(default)s)")
    add("--picture", type=Path, help="the SVG file (scaling.svg in --results)")
    options = parser.parse_args(argv)
    rows = json.loads((options.results / "scale.json").read_text(encoding="utf-8"))["rows"]
    models = [Model.of(row) for row in rows]
    print("\n# scaling model")
    _print_check(rows, models)
    _print_weak(models)
    _print_strong(models)
    _print_orders(models)
    _print_hidden(models)
    _print_simulated(models)
    picture(models).save(options.picture or options.results / "scaling.svg")


def _print_check(rows: Sequence[Mapping[str, Any]], models: Sequence[Model]) -> None:
    table(
        "Check on this machine: milliseconds by the formula, simulated and measured; errors of the "
        "formula, and for the step also of the simulation",
        CHECKED,
        [
            check(row, model, *setup)
            for row, model in zip(rows, models, strict=True)
            for setup in SETUPS
        ],
    )


def check(row: Mapping[str, Any], model: Model, setup: str, ranks: int, threads: int) -> list[str]:
    """A line of the check. Ranks that share a processor take turns."""
    measured = {name: part["median"] for name, part in row["parts_apart"][setup].items()}
    here = Link("here", row["alone"]["bandwidth"], row["alone"]["latency"])
    chunks = SHARDS // (ranks * threads)
    turns = max(1, ranks / PROCESSORS)
    exchanging = turns * exchange(model, here, ranks)
    mean, slowest = drawn(model, ranks, chunks)
    waiting = turns * model.compute(SHARD) * (slowest - mean)
    steps = [turns * f(model, here, ranks, SHARD, chunks) for f in (step, simulated_step)]
    return [
        model.name,
        setup,
        *_milliseconds(exchanging, measured["exchange"]),
        f"{exchanging / measured['exchange'] - 1:+.0%}" if ranks > 1 else "",
        *_milliseconds(waiting, measured["wait"], *steps, measured["step"]),
        ", ".join(f"{seconds / measured['step'] - 1:+.0%}" for seconds in steps),
    ]


def _milliseconds(*seconds: float) -> list[str]:
    return [f"{1e3 * each:.1f}" for each in seconds]


def _per_link(models: Sequence[Model], cases: Sequence[Any], cell: Any) -> list[list[str]]:
    """A row for each model and case, a column for each link."""
    return [
        [model.name, *map(str, case), *(cell(model, link, *case) for link in LINKS)]
        for model in models
        for case in cases
    ]


def _print_weak(models: Sequence[Model]) -> None:
    def cell(model: Model, link: Link, streams: int, accumulate: int) -> str:
        def most(model: Model, link: Link) -> str:
            counts = [largest(model, link, streams, accumulate, target) for target in TARGETS]
            return ", ".join(f"{n}" if n < MOST else "all" for n in counts)

        return f"{most(model, link)} ({most(*slower(model, link, SLOWER))})"

    table(
        f"The largest number of nodes, up to {MOST:,}, with an efficiency of 50 % and of 90 %; "
        f"in parentheses with an exchange {SLOWER} times as long",
        ["parameters", "streams", "accumulate", *(link.name for link in LINKS)],
        _per_link(models, WEAK, cell),
    )


def _print_strong(models: Sequence[Model]) -> None:
    def cell(model: Model, link: Link, processors: int, batch: int, accumulate: int) -> str:
        nodes, times = fastest(model, link, batch, accumulate, processors)
        return f"{nodes:,}: {times:.1f}"

    table(
        "A fixed batch on nodes of 2 or 32 processors: the number of nodes with the shortest "
        "epoch, and the speedup over one node",
        ["parameters", "processors", "batch", "accumulate", *(link.name for link in LINKS)],
        _per_link(models, STRONG, cell),
    )


def _print_orders(models: Sequence[Model]) -> None:
    def cell(model: Model, link: Link, nodes: int) -> str:
        times = (exchange(model, link, nodes, in_order=order) for order in (True, False))
        return ", ".join(f"{1e3 * seconds:.1f}" for seconds in times)

    table(
        "Milliseconds of an exchange in fixed order and in any order",
        ["parameters", "nodes", *(link.name for link in LINKS)],
        _per_link(models, [(64,), (1024,)], cell),
    )


def _print_hidden(models: Sequence[Model]) -> None:
    def cell(model: Model, link: Link, nodes: int, streams: int) -> str:
        return f"{hidden(model, link, nodes, streams):.1%}"

    table(
        "The largest fraction of a step that an exchange during the backward pass could save",
        ["parameters", "nodes", "streams", *(link.name for link in LINKS)],
        _per_link(models, [(64, STREAMS)], cell),
    )


def _print_simulated(models: Sequence[Model]) -> None:
    def cell(model: Model, link: Link, nodes: int) -> str:
        plain = efficiency(model, link, nodes, STREAMS)
        return f"{plain:.0%}, {simulated(model, link, nodes, STREAMS):.0%}"

    table(
        f"Efficiency by the formula and simulated; {STREAMS} streams per processor",
        ["parameters", "nodes", *(link.name for link in LINKS)],
        _per_link(models, [(64,), (1024,)], cell),
    )


def picture(models: Sequence[Model]) -> Picture:
    """Efficiency against nodes: a panel for each model and accumulation, a line for each link."""
    panels = []
    for accumulate in (1, 8):
        for model in models:
            lines, dots = (
                {
                    link.name: [f(model, link, n, STREAMS, accumulate) for n in NODES]
                    for link in LINKS
                }
                for f in (efficiency, simulated)
            )
            panels.append(Panel(f"{model.name}, --accumulate {accumulate}", NODES, lines, dots))
    title = (
        f"Efficiency against number of nodes, {STREAMS} streams per processor; "
        "lines: formula, dots: simulation"
    )
    return Picture(title, panels, is_log=False)


if __name__ == "__main__":
    main()
