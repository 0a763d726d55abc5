"""Training speed of one process and of several ranks, and the cost of their communication.

Three models, LSTMs with vocabulary 65 and charlm's default batch of 32 streams of 64 characters:
1x256 (346,433 parameters), 1x832 (3,042,689) and 2x1104 (14,993,489). The benchmark times
`Trainer.step()` as `charlm train` runs it, with the BLAS variables that the command sets. Every
contender has 4 shards, so all compute the same function; the benchmark checks that all contenders
with a fixed order of summation end with bit-identical weights.

A turn is a new job (`contenders/ranks.py`): a warm-up step, some steps without a barrier, and as
many with a barrier before the exchange, which separates waiting for slower ranks from moving data.
The contenders take turns; figures are medians over the rounds with the range, ratios are taken
within a round. On a machine with two cores, four ranks have half a core each, and a rank waits
while others compute.

Then one process with two threads trains on batches of 2 to 128 streams in two shards. This gives
the time of a node per batch for the model of many nodes (`scaling_model.py`), which reads the JSON.
"""

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.contenders.ranks import PARTS
from benchmarks.harness import ROOT, Session, Spread, Turns
from benchmarks.tasks import Task
from charlm.system.blas import set_up_blas

SHARDS = 4
NODES = (2, 8, 16, 32, 64, 128)  # batch sizes of a node with two processors
# The models, and the number of timed steps, which take at least a second.
MODELS = {
    Task("lstm", 1, 256): 40,
    Task("lstm", 1, 832): 6,
    Task("lstm", 2, 1104): 3,
}
# Communication as a fraction of the step: in total without a barrier, its parts with one.
SHARES = {
    "communication": ("plain", "exchange", "gather"),
    "waiting": ("apart", "wait"),
    "all-reduce": ("apart", "exchange"),
    "all-gather": ("apart", "gather"),
}
Found = list[dict[str, Any]]  # the output of a job, for each round


@dataclass(frozen=True)
class Setup:
    """A contender.

    Attributes:
        ranks: number of processes that mpiexec starts; 1 runs without mpiexec.
        threads: threads per rank.
        in_order: whether gradients are added in a fixed order.
    """

    ranks: int = 1
    threads: int = 1
    in_order: bool = True

    @property
    def name(self) -> str:
        """The name, such as `2 ranks`."""
        if self.ranks == 1:
            return f"1 process, {self.threads} thread" + "s" * (self.threads > 1)
        return f"{self.ranks} ranks" + ", any order" * (not self.in_order)


ONE, TWO_THREADS, TWO_RANKS = Setup(), Setup(threads=2), Setup(2)
CONTENDERS = (
    ONE,
    TWO_THREADS,
    TWO_RANKS,
    Setup(2, in_order=False),
    Setup(4),
    Setup(4, in_order=False),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=3)
    options = harness.parse(parser, argv, rounds=1)
    set_up_blas()  # child processes inherit the variables
    with Session("scale", options) as session:
        rows = [_measure(session, task, steps) for task, steps in MODELS.items()]
        _print(rows)
        session.finish(rows)


def _measure(session: Session, task: Task, steps: int) -> dict[str, Any]:
    """All figures of one model."""
    steps = 1 if session.options.quick else steps
    found: dict[str, Found] = {setup.name: [] for setup in CONTENDERS}
    jobs = {setup.name: _settings(task, setup, steps) for setup in CONTENDERS}
    turns = _take_turns(session, jobs, found)
    _check(found)
    nodes: dict[str, Found] = {f"{streams}": [] for streams in NODES}
    _take_turns(session, {f"{n}": _of_node(task, n, steps) for n in NODES}, nodes)
    return {
        "task": task,
        "parameters": found[ONE.name][0]["parameters"],
        "per_second": {name: turns.spread(name) for name in found},
        "times_one": {name: turns.ratio(name, ONE.name) for name in found},
        "shares": {name: _shares(each) for name, each in found.items()},
        "parts": {name: _parts(each, "plain") for name, each in found.items()},
        "parts_apart": {name: _parts(each, "apart") for name, each in found.items()},
        "node": {name: _parts(each, "plain") for name, each in nodes.items()},
        "jitter": _jitter(found[TWO_THREADS.name]),
        "alone": _alone(found[TWO_RANKS.name]),
        "others_busy": turns.others,
    }


def _settings(task: Task, setup: Setup, steps: int) -> tuple[int, dict[str, Any]]:
    """The number of ranks and the arguments of `contenders.ranks.measure`."""
    return setup.ranks, {
        "task": asdict(task),
        "threads": setup.threads,
        "shards": SHARDS,
        "in_order": setup.in_order,
        "steps": steps,
        "apart": steps,
        "beside": setup == TWO_RANKS,
    }


def _of_node(task: Task, streams: int, steps: int) -> tuple[int, dict[str, Any]]:
    """The settings of a node with two processors that share the streams."""
    ranks, settings = _settings(replace(task, batch=streams), TWO_THREADS, steps)
    return ranks, settings | {"shards": 2, "apart": 0, "steps": max(1, steps // 2)}


def _take_turns(
    session: Session, jobs: Mapping[str, tuple[int, dict[str, Any]]], found: Mapping[str, Found]
) -> Turns:
    """Run jobs in turns and add their output to `found`; return characters per second."""

    def turn(name: str) -> float:
        result = _run(*jobs[name])
        found[name].append(result)
        steps = np.array(result["plain"])[0].sum(axis=1)
        return float(result["characters"] / steps.mean())

    turns = {name: partial(turn, name) for name in jobs}
    return session.alternate(turns, session.options.rounds)


def _run(ranks: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The output of a job."""
    launcher = [_mpiexec(), "-n", f"{ranks}"] if ranks > 1 else []
    job = [sys.executable, "-m", "benchmarks.contenders.ranks", json.dumps(settings)]
    done = subprocess.run([*launcher, *job], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _mpiexec() -> str:
    """The mpiexec of this environment, or of the system."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not found:
        raise SystemExit("mpiexec is missing; run pip install 'charlm[mpi]'")
    return found


def _check(found: Mapping[str, Found]) -> None:
    """Check for equal weights with a fixed order of summation, and for close losses otherwise."""
    weights = {
        each["weights"] for setup in CONTENDERS if setup.in_order for each in found[setup.name]
    }
    losses = [each["loss"] for name in found for each in found[name]]
    if len(weights) > 1 or max(losses) - min(losses) > 1e-3:
        raise SystemExit(f"contenders differ: weights {weights}, losses {losses}")


def _parts(found: Found, which: str) -> dict[str, Spread]:
    """Seconds of the parts of a step and of the whole step, means over ranks and steps."""
    means = [np.array(each[which]).mean(axis=(0, 1)) for each in found]
    parts = {name: Spread.of(mean[k] for mean in means) for k, name in enumerate(PARTS)}
    return parts | {"step": Spread.of(float(mean.sum()) for mean in means)}


def _jitter(found: Found) -> list[float]:
    """The compute time of each step, relative to the median of its turn."""
    jitter: list[float] = []
    for each in found:
        compute = np.array(each["plain"] + each["apart"])[:, :, 0].ravel()
        jitter += (compute / np.median(compute)).tolist()
    return jitter


def _alone(found: Found) -> dict[str, float]:
    """The measurements other than steps, medians over the rounds."""
    names = ("add", "node", "latency", "bandwidth")
    return {name: statistics.median(each[name] for each in found) for name in names}


def _share(found: Found, which: str, *names: str) -> Spread:
    """Some parts as a fraction of the step."""
    means = [np.array(each[which]).mean(axis=(0, 1)) for each in found]
    return Spread.of(float(sum(m[PARTS.index(n)] for n in names) / m.sum()) for m in means)


def _shares(found: Found) -> dict[str, Spread]:
    """Communication and its parts as fractions of the step."""
    return {name: _share(found, which, *parts) for name, (which, *parts) in SHARES.items()}


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    speeds, milliseconds = [], []
    for row in rows:
        name = f"{row['task'].name.partition(',')[0]}, {row['parameters']:,}"
        for setup, speed in row["per_second"].items():
            line = [name, setup, speed.show(2, 1e-3), row["times_one"][setup].show()]
            if setup in (ONE.name, TWO_THREADS.name):
                speeds.append([*line, *("" for _ in SHARES)])
                continue
            speeds.append([*line, *(f"{x.median:.1%}" for x in row["shares"][setup].values())])
            parts = [row["parts_apart"][setup][part].show(1, 1e3) for part in (*PARTS, "step")]
            milliseconds.append([name, setup, *parts])
    harness.table(
        "Training, thousand characters per second; communication as a fraction of the step",
        ["model, parameters", "processes", "speed", "times 1", *SHARES],
        speeds,
    )
    harness.table(
        "Milliseconds of a step on several ranks, with a barrier before the exchange",
        ["model, parameters", "processes", *PARTS, "step"],
        milliseconds,
    )
    lines = []
    for row in rows:
        name = f"{row['task'].name.partition(',')[0]}, {row['parameters']:,}"
        compute = [parts["compute"].median for parts in row["node"].values()]
        lines.append([name, *(f"{1e3 * each:.1f}" for each in compute)])
    harness.table(
        "Compute time of two processors in milliseconds, by batch size",
        ["model, parameters", *map(str, NODES)],
        lines,
    )


if __name__ == "__main__":
    main()
