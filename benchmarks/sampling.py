"""Characters a second when text is drawn from an LSTM of 256 units, vocabulary 65.

Ours: `LanguageModel.sample_streams`, which filters nothing and yields characters, one stream, and
64 at once that threads share. PyTorch: the eager loop that one writes, `nn.LSTM` on one step,
softmax, multinomial, under `no_grad`, on one-hot and on embedding input, with one thread and with
all; the fastest of the four counts. All draw 256 characters of each stream from an empty memory,
again and again, and take turns.
"""

from collections.abc import Sequence
from itertools import product

from benchmarks import harness
from benchmarks.harness import Session

MODEL = {"hidden": 256, "vocabulary": 65}
STREAMS = (1, 64)
VARIANTS = tuple(product(("one-hot", "embedding"), (1, 0)))  # of input, and threads (0: all)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=7, seconds=1.0, peers=["torch"])
    options = harness.parse(parser, argv, rounds=1, seconds=0.1)
    with Session("sampling", options) as session:
        ours, torch = session.worker("ours"), session.peer("torch")
        made = {f"ours {n}": ours.make("sampling", streams=n, **MODEL) for n in STREAMS}
        if torch:
            for n, (variant, threads) in product(STREAMS, VARIANTS):
                made[f"torch {n}: {variant}, threads: {threads or 'all'}"] = torch.make(
                    "sampling", streams=n, variant=variant, threads=threads, **MODEL
                )
        turns = session.race(made)
        ratios = {"64 streams / 1 stream": turns.ratio("ours 64", "ours 1")}
        for n in STREAMS:
            fastest = turns.best(f"torch {n}:")
            if fastest:
                ratios[f"ours/torch, streams: {n}"] = turns.ratio(f"ours {n}", fastest)
        speeds = {name: turns.spread(name) for name in made}
        harness.table(
            "Sampling from LSTM 256",
            ["contender, streams", "thousand characters a second"],
            [(name, speed.show(2, 1e-3)) for name, speed in speeds.items()],
        )
        harness.table("Ratios", ["", "times"], [(k, v.show()) for k, v in ratios.items()])
        session.finish(
            [{"contender": k, "per_second": v} for k, v in speeds.items()], ratios=ratios
        )


if __name__ == "__main__":
    main()
