"""Characters a second of one process and of several ranks, and what the exchange costs them.

Three models, LSTMs of 65 characters with charlm's default batch of 32 streams and 64 characters:
1x256 (346,433 parameters), 1x832 (3,042,689) and 2x1104 (14,993,489). Measured is
`Trainer.step()` as `charlm train` runs it, with the variables of BLAS that the command sets. The
batch has 4 shards for everybody, so all compute the same; that they did is seen by their weights,
which have to be equal to the last bit but where ranks add in any order.

A turn is a new job of the ranks (`contenders/ranks.py`): a step that does not count, then some as
they are, then as many in which the ranks wait for each other before they exchange, so that
waiting for the slower and moving data are told apart. The contenders take turns; figures are
medians over the rounds with the range, ratios are taken within a round. Four ranks share two cores
here: a rank then has half a core, and waits for others while they compute.

Then one process with two threads trains on batches of 2 to 128 streams in two shards: what a node
needs for a batch, for the model of many nodes (`scaling_model.py`), which reads the JSON.
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
NODES = (2, 8, 16, 32, 64, 128)  # streams that a node of two processors reads
# a model, and how many steps are timed: a second or more
MODELS = {
    Task("lstm", 1, 256): 40,
    Task("lstm", 1, 832): 6,
    Task("lstm", 2, 1104): 3,
}
# the share of the step spent exchanging, as it is; and where the waiting is apart, its parts
SHARES = {
    "exchanging": ("plain", "exchange", "gather"),
    "waiting": ("apart", "wait"),
    "moving, adding": ("apart", "exchange"),
    "losses": ("apart", "gather"),
}
Found = list[dict[str, Any]]  # what a job printed, of each round


@dataclass(frozen=True)
class Who:
    """A contender.

    Attributes:
        ranks: how many processes mpiexec starts; 1 does without it.
        threads: of each.
        in_order: how they add.
    """

    ranks: int = 1
    threads: int = 1
    in_order: bool = True

    @property
    def name(self) -> str:
        """Such as `2 ranks`."""
        if self.ranks == 1:
            return f"1 process, {self.threads} thread" + "s" * (self.threads > 1)
        return f"{self.ranks} ranks" + ", any order" * (not self.in_order)


ONE, TWO_THREADS, TWO_RANKS = Who(), Who(threads=2), Who(2)
CONTENDERS = (ONE, TWO_THREADS, TWO_RANKS, Who(2, in_order=False), Who(4), Who(4, in_order=False))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=3)
    options = harness.parse(parser, argv, rounds=1)
    set_up_blas()  # for the processes that are started
    with Session("scale", options) as session:
        rows = [_measure(session, task, steps) for task, steps in MODELS.items()]
        _print(rows)
        session.finish(rows)


def _measure(session: Session, task: Task, steps: int) -> dict[str, Any]:
    """All figures of a model."""
    steps = 1 if session.options.quick else steps
    found: dict[str, Found] = {who.name: [] for who in CONTENDERS}
    jobs = {who.name: _settings(task, who, steps) for who in CONTENDERS}
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


def _settings(task: Task, who: Who, steps: int) -> tuple[int, dict[str, Any]]:
    """How many processes, and what they are to measure."""
    return who.ranks, {
        "task": asdict(task),
        "threads": who.threads,
        "shards": SHARDS,
        "in_order": who.in_order,
        "steps": steps,
        "apart": steps,
        "beside": who == TWO_RANKS,
    }


def _of_node(task: Task, streams: int, steps: int) -> tuple[int, dict[str, Any]]:
    """A node with so many streams: half of them for each of its two processors."""
    ranks, settings = _settings(replace(task, batch=streams), TWO_THREADS, steps)
    return ranks, settings | {"shards": 2, "apart": 0, "steps": max(1, steps // 2)}


def _take_turns(
    session: Session, jobs: Mapping[str, tuple[int, dict[str, Any]]], found: Mapping[str, Found]
) -> Turns:
    """Run jobs in turns; what they print is added to `found`. Returns characters a second."""

    def turn(name: str) -> float:
        result = _run(*jobs[name])
        found[name].append(result)
        steps = np.array(result["plain"])[0].sum(axis=1)
        return float(result["characters"] / steps.mean())

    turns = {name: partial(turn, name) for name in jobs}
    return session.alternate(turns, session.options.rounds)


def _run(ranks: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a job of so many processes prints."""
    launcher = [_mpiexec(), "-n", f"{ranks}"] if ranks > 1 else []
    job = [sys.executable, "-m", "benchmarks.contenders.ranks", json.dumps(settings)]
    done = subprocess.run([*launcher, *job], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _mpiexec() -> str:
    """The one of this environment, or of the system."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not found:
        raise SystemExit("mpiexec is missing; pip install 'charlm[mpi]' brings it")
    return found


def _check(found: Mapping[str, Found]) -> None:
    """See that all who add in order have come to the same weights, and the others close to it."""
    weights = {each["weights"] for who in CONTENDERS if who.in_order for each in found[who.name]}
    losses = [each["loss"] for name in found for each in found[name]]
    if len(weights) > 1 or max(losses) - min(losses) > 1e-3:
        raise SystemExit(f"not the same training: weights {weights}, losses {losses}")


def _parts(found: Found, which: str) -> dict[str, Spread]:
    """Seconds of the parts of a step, means over ranks and steps; and of the whole step."""
    means = [np.array(each[which]).mean(axis=(0, 1)) for each in found]
    parts = {name: Spread.of(mean[k] for mean in means) for k, name in enumerate(PARTS)}
    return parts | {"step": Spread.of(float(mean.sum()) for mean in means)}


def _jitter(found: Found) -> list[float]:
    """How many times the median of its turn each step's computing took."""
    jitter: list[float] = []
    for each in found:
        compute = np.array(each["plain"] + each["apart"])[:, :, 0].ravel()
        jitter += (compute / np.median(compute)).tolist()
    return jitter


def _alone(found: Found) -> dict[str, float]:
    """What was timed beside the steps, medians over the rounds."""
    names = ("add", "node", "latency", "bandwidth")
    return {name: statistics.median(each[name] for each in found) for name in names}


def _share(found: Found, which: str, *names: str) -> Spread:
    """The share that some parts have of the step."""
    means = [np.array(each[which]).mean(axis=(0, 1)) for each in found]
    return Spread.of(float(sum(m[PARTS.index(n)] for n in names) / m.sum()) for m in means)


def _shares(found: Found) -> dict[str, Spread]:
    """The share of the step spent exchanging as it is, and what it consists of."""
    return {name: _share(found, which, *parts) for name, (which, *parts) in SHARES.items()}


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    """The tables."""
    speeds, milliseconds = [], []
    for row in rows:
        name = f"{row['task'].name.partition(',')[0]}, {row['parameters']:,}"
        for who, speed in row["per_second"].items():
            line = [name, who, speed.show(2, 1e-3), row["times_one"][who].show()]
            if who in (ONE.name, TWO_THREADS.name):
                speeds.append([*line, *("" for _ in SHARES)])
                continue
            speeds.append([*line, *(f"{x.median:.1%}" for x in row["shares"][who].values())])
            parts = [row["parts_apart"][who][part].show(1, 1e3) for part in (*PARTS, "step")]
            milliseconds.append([name, who, *parts])
    harness.table(
        "Training, thousand characters a second; shares of the step spent exchanging",
        ["model, parameters", "who", "speed", "times 1", *SHARES],
        speeds,
    )
    harness.table(
        "A step's milliseconds on several ranks, the waiting apart",
        ["model, parameters", "who", *PARTS, "step"],
        milliseconds,
    )
    lines = []
    for row in rows:
        name = f"{row['task'].name.partition(',')[0]}, {row['parameters']:,}"
        compute = [parts["compute"].median for parts in row["node"].values()]
        lines.append([name, *(f"{1e3 * each:.1f}" for each in compute)])
    harness.table(
        "Milliseconds that two processors compute for a batch of so many streams",
        ["model, parameters", *map(str, NODES)],
        lines,
    )


if __name__ == "__main__":
    main()
