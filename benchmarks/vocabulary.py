"""Training with a vocabulary of 5,000: LSTM 512, batch size 64, 64 steps; speed and memory.

Ours twice: with an embedding of 512, the model that PyTorch trains, and without one, the default,
where the first layer has a row of weights for each character (more parameters). PyTorch:
`nn.Embedding` of 512, `nn.LSTM`, a linear head and cross-entropy, on all cores. Each runs in a
process of its own, ours with its worker processes, and they take turns.

Memory is the joint peak of these processes during steps, minus the peak for a tiny model, as in
`memory.py`: weights, gradients, moments of Adam, activations for the backward pass, and logits.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import harness
from benchmarks.harness import Contender, Session, Worker
from benchmarks.memory import MEGABYTE, peak_of_tiny_model
from benchmarks.tasks import Task

TASK = Task("lstm", 1, 512, 64, 64, vocabulary=5000)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=5, seconds=1.0, peers=["torch"])
    options = harness.parse(parser, argv, rounds=1, seconds=0.1)
    with Session("vocabulary", options) as session:
        made: dict[str, Contender] = {}
        baseline: dict[str, float] = {}

        def make(name: str, worker: Worker, **arguments: Any) -> None:
            baseline[name] = peak_of_tiny_model(worker, TASK, **arguments)
            made[name] = worker.make("training", **asdict(TASK), **arguments)

        make("ours", session.worker("ours"), embedding=TASK.hidden)
        make("ours, no embedding", session.worker("ours"), embedding=0)
        torch = session.peer("torch")
        if torch:
            make("torch", torch, variant="embedding")
        turns = session.race(made)
        rows: list[dict[str, Any]] = [
            {
                "contender": name,
                "per_second": turns.spread(name),
                "memory": contender.run(0)["peak"] - baseline[name],
                "ours_by": turns.ratio("ours", name),
            }
            for name, contender in made.items()
        ]
        harness.table(
            f"Training {TASK.name}, vocabulary {TASK.vocabulary:,}",
            ["contender", "thousand characters per second", "ours is faster by", "memory, MB"],
            [
                (
                    row["contender"],
                    row["per_second"].show(2, 1e-3),
                    row["ours_by"].show(),
                    f"{row['memory'] / MEGABYTE:.0f}",
                )
                for row in rows
            ],
        )
        session.finish(rows, task=TASK)


if __name__ == "__main__":
    main()
