"""Seconds to score a million characters with an LSTM of 256 units, vocabulary 65.

Ours: `LanguageModel.score`, as `charlm eval` calls it. It splits the streams into 64 parts in
total and scores them as a batch, 128 characters at a time. Each part starts with a warm-up on the
1,024 characters before it. If the state at the start of a part differs from the final state of the
part before, the part is scored again, so the result equals that of sequential streams.

PyTorch: `nn.LSTM` under `no_grad`, summed cross-entropy, the state carried over, sequential
streams. A short trial finds the fastest input (one-hot or embedding) and number of threads (one or
all) for chunks of 128 characters, then the fastest chunk length; both contenders take part.

`--characters` sets the number of characters per turn; the seconds are per million.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

from benchmarks import harness
from benchmarks.harness import Contender, Session, Spread, Worker

MODEL = {"hidden": 256, "vocabulary": 65}
STREAMS = (1, 32)
CHUNK = 128
CHUNKS = (32, 512, 2048)  # other chunk lengths for PyTorch
MILLION = 1_000_000


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=3, peers=["torch"], avx2=True)
    parser.add_argument(
        "--characters", type=int, default=MILLION // 4, help="characters per turn (%(default)s)"
    )
    options = harness.parse(parser, argv, rounds=1, characters=40_000)
    with Session("scoring", options) as session:
        ours, torch = session.worker("ours"), session.peer("torch")
        rows: list[dict[str, Any]] = []
        for n in STREAMS:
            arguments = MODEL | {"streams": n, "characters": options.characters}
            made = {"ours": ours.make("scoring", **arguments)}
            if torch:
                made |= _fastest(torch, arguments)
            turns = session.race(made, seconds=0.0)
            for name, contender in made.items():
                rows.append(
                    {
                        "streams": n,
                        "contender": name,
                        "seconds": Spread.of(MILLION / rate for rate in turns.values[name]),
                        "ours_is_faster_by": turns.ratio("ours", name),
                    }
                )
                contender.drop()
        harness.table(
            "Scoring a million characters with LSTM 256",
            ["contender", "streams", "seconds", "ours is faster by"],
            [
                (r["contender"], r["streams"], r["seconds"].show(), r["ours_is_faster_by"].show())
                for r in rows
            ],
        )
        session.finish(rows)


def _fastest(torch: Worker, arguments: dict[str, Any]) -> dict[str, Contender]:
    """The fastest settings of PyTorch with chunks of 128 and with any, from short trials."""
    part = arguments | {"characters": arguments["characters"] // 20}

    def speed(setting: dict[str, Any]) -> float:
        trial = torch.make("scoring", **part, **setting)
        rate = max(trial.rate() for _ in range(2))
        trial.drop()
        return rate

    settings: list[dict[str, Any]] = [
        {"variant": variant, "threads": threads, "chunk": CHUNK}
        for variant, threads in product(("one-hot", "embedding"), (1, 0))
    ]
    same = max(settings, key=speed)
    free = max([same, *(same | {"chunk": chunk} for chunk in CHUNKS)], key=speed)
    named = {_label(**setting): setting for setting in (same, free)}
    return {name: torch.make("scoring", **arguments, **each) for name, each in named.items()}


def _label(variant: str, threads: int, chunk: int) -> str:
    return f"torch {variant}, threads: {threads or 'all'}, chunks of {chunk}"


if __name__ == "__main__":
    main()
