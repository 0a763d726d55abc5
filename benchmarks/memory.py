"""Peak memory of training against a formula, for several shapes; the ratio should stay near 1.

Each shape is trained for some steps in a process of its own, which has trained a tiny model
before, so that modules, threads and BLAS's buffers are there. Measured is the process's peak
during steps, less what it had before the model was made. (Linux counts the peak anew once the
model is made; elsewhere the peak may be one of making it.)

The formula, in numbers of 4 bytes, with T steps, B streams, S shards, H units, G gates, V
characters and P parameters:

    (4 + S) P                   weights, the best so far, Adam's two moments; gradients of shards
    + S D                       products on their way into a shard's gradients: D numbers, P
                                without the rows that characters pick
    + T B Σ_l (k H + I_l)       what layers keep for their backward passes and compute there:
                                k = 2 for rnn, 5 for gru, 6 for lstm;
                                I_1 = 0 for characters, I_l = 2 H above: the input and its gradient
    + T B H                     the gradient of the last layer's output
    + min(T B V, S 2²⁰)         logits, a bounded number at a time

k counts the arrays (T, B, H) of a cell's workspace. rnn: h, dz. gru: h; z, r, a and the candidate,
whose memory their gradients take. lstm: h; g, i, f, o, whose memory their gradients take; c.
"""

from collections.abc import Sequence
from dataclasses import asdict

from benchmarks import harness
from benchmarks.harness import Session
from benchmarks.tasks import GATES, Task

KEPT = {"rnn": 2, "gru": 5, "lstm": 6}
HEAD_CHUNK = 1 << 20
MEGABYTE = 1 << 20
TINY = Task("lstm", 1, 16, 8, 8)
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
            worker.make("training", **asdict(TINY)).drop()
            shards = worker.call("shards", **asdict(task))
            contender = worker.make("training", **asdict(task))
            peak = contender.run(options.seconds)["peak"] - contender.resident
            formula = predicted(task, shards)
            rows.append({"task": task, "shards": shards, "peak": peak, "formula": formula})
            session.close(worker)
        harness.table(
            "Peak memory of training, MB",
            ["cell layers x H, B, T", "V", "shards", "measured", "formula", "ratio"],
            [
                (
                    row["task"].name,
                    row["task"].vocabulary,
                    row["shards"],
                    f"{row['peak'] / MEGABYTE:.1f}",
                    f"{row['formula'] / MEGABYTE:.1f}",
                    f"{row['peak'] / row['formula']:.2f}",
                )
                for row in rows
            ],
        )
        session.finish(rows)


def predicted(task: Task, shards: int) -> int:
    """The formula, in bytes."""
    G, H, V, P = GATES[task.cell], task.hidden, task.vocabulary, task.parameters
    gathered = G * H * V
    kept = task.layers * KEPT[task.cell] * H + (task.layers - 1) * 2 * H
    numbers = (
        (4 + shards) * P
        + shards * (P - gathered)
        + task.characters * (kept + H)
        + min(task.characters * V, shards * HEAD_CHUNK)
    )
    return 4 * numbers


if __name__ == "__main__":
    main()
