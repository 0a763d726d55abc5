"""Make a large text by repeating a real text, each time with different perturbations.

    python -m benchmarks.large_text 4 large.txt --text tiny-shakespeare.txt

Each repetition replaces 1 % of the characters by random characters of the text. So no two
repetitions are equal, and the character frequencies stay about the same.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

PERTURBED = 0.01
GIGA = 10**9


def main(argv: Sequence[str] | None = None) -> None:
    """Write the text."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("gigabytes", type=float, help="minimum size in 10⁹ bytes")
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--text", type=Path, required=True, help="the text to repeat, UTF-8")
    options = parser.parse_args(argv)
    write(options.out, options.text.read_text(encoding="utf-8"), int(options.gigabytes * GIGA))


def write(path: Path, text: str, size: int) -> None:
    """Write at least `size` bytes, in whole repetitions."""
    with path.open("wb") as file:
        for repetition in _repetitions(text):
            if file.tell() >= size:
                return
            file.write(repetition.encode())


def _repetitions(text: str) -> Iterator[str]:
    """Perturbed copies of the text, without end."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    rng = np.random.default_rng(0)
    while True:
        perturbed = points.copy()
        positions = rng.integers(len(points), size=int(len(points) * PERTURBED))
        perturbed[positions] = rng.choice(points, len(positions))
        yield perturbed.tobytes().decode("utf-32-le")


if __name__ == "__main__":
    main()
