"""Peak memory of training against the estimate, for several shapes; the ratio should be near 1.

Each shape is trained for some steps in a process of its own with its worker processes. The
measured figure is their joint peak during steps: the private memory of each, and the shared memory
once (`resources.peak`). The peak of training a tiny model in the same way, with as many workers,
is subtracted: interpreters, modules, buffers of BLAS. (This needs Linux; elsewhere the peak is
that of the process that trains alone, and may come from creating the model.)

The estimate is `charlm.training.memory_estimate.training_bytes`, without scoring.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import harness
from benchmarks.harness import Session, Worker
from benchmarks.tasks import Task

MEGABYTE = 1 << 20
TASKS = (
    Task("lstm", 1, 256, 32, 64),
    Task("lstm", 2, 512, 64, 64),
    Task("lstm", 1, 128, 64, 256),
    Task("lstm", 1, 512, 64, 64, vocabulary=5000),
    Task("gru", 2, 256, 64, 128),
    Task("gru", 1, 256, 32, 64, vocabulary=1000),
    Task("rnn", 2, 512, 64, 128),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = harness.parse(harness.parser(__doc__, seconds=1.0), argv, seconds=0.1)
    with Session("memory", options) as session:
        rows = []
        for task in TASKS:
            worker = session.worker("ours")
            estimate = worker.call("memory_estimate", **asdict(task))
            baseline = peak_of_tiny_model(worker, task)
            contender = worker.make("training", **asdict(task))
            peak = contender.run(options.seconds)["peak"] - baseline
            rows.append(
                {
                    "task": task,
                    "shards": estimate["shards"],
                    "peak": peak,
                    "estimate": estimate["bytes"],
                }
            )
            session.close(worker)
        harness.table(
            "Peak memory of training, MB",
            ["cell layers x H, B, T", "V", "shards", "measured", "estimate", "ratio"],
            [
                (
                    row["task"].name,
                    row["task"].vocabulary,
                    row["shards"],
                    f"{row['peak'] / MEGABYTE:.1f}",
                    f"{row['estimate'] / MEGABYTE:.1f}",
                    f"{row['peak'] / row['estimate']:.2f}",
                )
                for row in rows
            ],
        )
        session.finish(rows)


def peak_of_tiny_model(worker: Worker, task: Task, **arguments: Any) -> float:
    """The peak in bytes of training a tiny model with the same batch size."""
    tiny = worker.make("training", **asdict(Task("rnn", 1, 16, task.batch, 8)), **arguments)
    peak = tiny.run(0)["peak"]
    tiny.drop()
    return peak


if __name__ == "__main__":
    main()
