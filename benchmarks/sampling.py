"""Sampling speed of an LSTM with 256 units, vocabulary 65, in characters per second.

Ours: `LanguageModel.sample_streams` without filters, with one stream and with 64 streams shared by
threads. PyTorch: the usual eager loop of `nn.LSTM` on one step, softmax and multinomial under
`no_grad`, with one-hot and embedding input, with one thread and all threads; the fastest of the
four counts. Each unit of work samples 256 characters per stream from an initial state of zeros.
The contenders take turns.
"""

from collections.abc import Sequence
from itertools import product

from benchmarks import harness
from benchmarks.harness import Session

MODEL = {"hidden": 256, "vocabulary": 65}
STREAMS = (1, 64)
VARIANTS = tuple(product(("one-hot", "embedding"), (1, 0)))  # input, number of threads (0: all)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=5, seconds=0.5, peers=["torch"], avx2=True)
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
            ["contender, streams", "thousand characters per second"],
            [(name, speed.show(2, 1e-3)) for name, speed in speeds.items()],
        )
        harness.table("Ratios", ["", "times"], [(k, v.show()) for k, v in ratios.items()])
        session.finish(
            [{"contender": k, "per_second": v} for k, v in speeds.items()], ratios=ratios
        )


if __name__ == "__main__":
    main()
