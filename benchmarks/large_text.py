"""A large text of real text: its repetitions, each perturbed in another way.

    python -m benchmarks.large_text 4 large.txt --text tiny-shakespeare.txt

In each repetition one character in a hundred is replaced by another of the text, so that no two
are alike, and the text has the characters, and about the frequencies, that it had.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

PERTURBED = 0.01
GIGA = 10**9


def main(argv: Sequence[str] | None = None) -> None:
    """Write a text."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("gigabytes", type=float, help="its size, in 10⁹ bytes, at least")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--text", type=Path, required=True, help="the text to repeat, in UTF-8")
    options = parser.parse_args(argv)
    write(options.out, options.text.read_text(encoding="utf-8"), int(options.gigabytes * GIGA))


def write(path: Path, text: str, size: int) -> None:
    """Write so many bytes, and what is missing to the end of a repetition."""
    with path.open("wb") as file:
        for repetition in _repetitions(text):
            if file.tell() >= size:
                return
            file.write(repetition.encode())


def _repetitions(text: str) -> Iterator[str]:
    """The text, perturbed in one way after another, without end."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    rng = np.random.default_rng(0)
    while True:
        perturbed = points.copy()
        places = rng.integers(len(points), size=int(len(points) * PERTURBED))
        perturbed[places] = rng.choice(points, len(places))
        yield perturbed.tobytes().decode("utf-32-le")


if __name__ == "__main__":
    main()
