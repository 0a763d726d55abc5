"""Peak memory of training against a formula, for several shapes; the ratio should stay near 1.

Each shape is trained for some steps in a process of its own and the workers that it starts.
Measured is the peak of all of them together during steps: what each has for itself, and once what
they share (`resources.peak`). The peak of training a tiny model in the same way, with as many
workers, is taken off: interpreters, modules, BLAS's buffers. (Linux; elsewhere the peak is that of
the process that trains alone, and may be one of making the model.)

The formula, in numbers of 4 bytes, with T steps, B streams, S > 1 shards, H units, G gates, V
characters and P parameters:

    (5 + S) P                   weights, the best so far, Adam's two moments; shared with workers:
                                a copy of the weights, each shard's gradients
    + S H V                     a part of the head's gradient on its way into a shard's
    + T B Σ_l (k H + I_l)       what layers keep for their backward passes and compute there:
                                k = 2 for rnn, 5 for gru, 6 for lstm;
                                I_1 = 0 for characters, I_l = 2 H above: the input, copied, and
                                its gradient
    + T B H                     the gradient of the last layer's output
    + S Σ_l C_l                 the weights that act at each step of a layer, copied in blocks:
                                G H² numbers, for rnn and lstm above the first layer 2 G H²
                                (none where BLAS has other kernels)
    + S L r 2¹⁷                 what L layers compute for a run of steps at once:
                                r = 0 for rnn, 2 for gru, 5/4 for lstm
    + min(T B V, S 2²⁰)         logits, a bounded number at a time

k counts the arrays (T, B, H) of a cell's workspace. rnn: h, dz. gru: h; z, r, a and the candidate,
whose memory their gradients take. lstm: h; g, i, f, o, whose memory their gradients take; c.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import harness
from benchmarks.harness import Session, Worker
from benchmarks.tasks import GATES, Task

KEPT = {"rnn": 2, "gru": 5, "lstm": 6}
RUNS = {"rnn": 0, "gru": 2 << 17, "lstm": 5 << 15}
HEAD_CHUNK = 1 << 20
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
            shards = worker.call("shards", **asdict(task))
            least = of_a_tiny_model(worker, task)
            contender = worker.make("training", **asdict(task))
            peak = contender.run(options.seconds)["peak"] - least
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


def of_a_tiny_model(worker: Worker, task: Task, **arguments: Any) -> float:
    """The peak in bytes while a tiny model is trained on a batch of as many streams."""
    tiny = worker.make("training", **asdict(Task("rnn", 1, 16, task.batch, 8)), **arguments)
    peak = tiny.run(0)["peak"]
    tiny.drop()
    return peak


def predicted(task: Task, shards: int) -> int:
    """The formula, in bytes."""
    G, H, V, P, L = GATES[task.cell], task.hidden, task.vocabulary, task.parameters, task.layers
    kept = L * KEPT[task.cell] * H + (L - 1) * 2 * H
    copied = G * H * H * (L if task.cell == "gru" else 2 * L - 1)
    numbers = (
        (5 + shards) * P
        + shards * (H * V + copied + L * RUNS[task.cell])
        + task.characters * (kept + H)
        + min(task.characters * V, shards * HEAD_CHUNK)
    )
    return 4 * numbers


if __name__ == "__main__":
    main()
