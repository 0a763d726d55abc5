"""Random texts whose entropy is known exactly: what a perfect model of them would score.

With p(c | s) the probability of the character c after the context s, the last k characters,
a text x_1 … x_N costs

    nats_t = −ln p(x_t | x_{t−k} … x_{t−1}),        t = k+1 … N,

and no model, however good, has a lower expected mean than the entropy rate

    h = −Σ_s π(s) Σ_c p(c | s) ln p(c | s)          nats a character.

π is the stationary distribution of the contexts, the solution of πP = π, Σ π = 1, where P moves
from a context to the next one, s = s_1 … s_k to s_2 … s_k c, with probability p(c | s)
(Cover and Thomas, Elements of Information Theory, chapter 4). For k = 0 there is one context,
the empty one. Divide by ln 2 for bits.

    python -m corpora.sources NAME LENGTH [--random-seed N]

writes a text to stdout and its entropy rate in bits a character to stderr.
"""

import argparse
import math
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class IndependentSource:
    """Every character is drawn from the same `probabilities` (V,), whatever came before."""

    def __init__(self, alphabet: str, probabilities: ArrayLike) -> None:
        self.alphabet = _alphabet(alphabet)
        self.probabilities = _distributions(probabilities, (len(alphabet),))

    def generate(self, length: int, rng: np.random.Generator) -> str:
        """A text of `length` characters."""
        drawn = rng.choice(len(self.alphabet), size=_length(length), p=self.probabilities)
        return "".join(self.alphabet[i] for i in drawn)

    def nats(self, text: str) -> Floats:
        """−ln p of each character, (N,); infinite for one that cannot occur."""
        return _nats(self.probabilities[_ids(text, self.alphabet)])

    def entropy_rate(self) -> float:
        """The entropy, in nats a character."""
        return float(_entropy(self.probabilities))


class MarkovSource:
    """Every character depends on the `order` k ≥ 1 characters before it.

    `table[s_1, …, s_k, c]` is p(c | s_1 … s_k), a (V, …, V) array with k + 1 axes, indexed by
    positions in `alphabet`, the oldest character first. The stationary distribution is solved
    for at once, at a cost that grows with the cube of the V^k contexts.
    """

    def __init__(self, alphabet: str, table: ArrayLike) -> None:
        self.alphabet = _alphabet(alphabet)
        self.order = np.ndim(table) - 1
        if self.order < 1:
            raise ValueError(f"table has {np.ndim(table)} axes, but takes at least 2")
        self.table = _distributions(table, (len(alphabet),) * (self.order + 1))
        self.stationary = _stationary(self.table)

    @classmethod
    def random(
        cls, alphabet: str, order: int, rng: np.random.Generator, concentration: float = 1.0
    ) -> Self:
        """A source with each p(· | s) from a symmetric Dirichlet distribution.

        Below 1, `concentration` makes a few characters likely after each context; far above
        it, all of them alike.
        """
        if order < 1:
            raise ValueError(f"order is {order}, but takes a whole number from 1 up")
        if not 0 < concentration < math.inf:
            raise ValueError(f"concentration is {concentration}, but takes a number above 0")
        size = len(_alphabet(alphabet))
        return cls(alphabet, rng.dirichlet(np.full(size, concentration), (size,) * order))

    def generate(self, length: int, rng: np.random.Generator) -> str:
        """A text of `length` characters, its first context drawn from π."""
        size, contexts = len(self.alphabet), self.stationary.size
        context = int(rng.choice(contexts, p=self.stationary.ravel()))
        ids = [int(i) for i in np.unravel_index(context, self.stationary.shape)]
        # A last sum of exactly 1 keeps every draw from [0, 1) on a character that can occur.
        sums = self.table.reshape(contexts, size).cumsum(axis=1)
        rows = (sums / sums[:, -1:]).tolist()
        for u in rng.random(max(0, _length(length) - self.order)).tolist():
            drawn = bisect_right(rows[context], u)
            context = (context * size + drawn) % contexts
            ids.append(drawn)
        return "".join(self.alphabet[i] for i in ids[:length])

    def nats(self, text: str) -> Floats:
        """−ln p of each character given the `order` before it, (N − order,).

        The first `order` characters are only context; a character that cannot occur costs
        infinity.
        """
        ids = _ids(text, self.alphabet)
        count = max(0, ids.size - self.order)
        windows = tuple(ids[lag : lag + count] for lag in range(self.order + 1))
        return _nats(self.table[windows])

    def entropy_rate(self) -> float:
        """The entropy rate h, in nats a character."""
        return float((self.stationary * _entropy(self.table)).sum())


def _stationary(table: Floats) -> Floats:
    """π of the contexts, with one axis fewer than `table`."""
    size = table.shape[-1]
    contexts = table.size // size
    old = np.arange(contexts)[:, None]
    P = np.zeros((contexts, contexts))
    P[old, (old * size + np.arange(size)) % contexts] = table.reshape(contexts, size)
    system = np.vstack([P.T - np.eye(contexts), np.ones(contexts)])
    solution, _, rank, _ = np.linalg.lstsq(system, np.eye(contexts + 1)[-1])
    if rank < contexts:
        raise ValueError("the chain falls apart: where it ends up depends on where it starts")
    weights: Floats = np.maximum(solution, 0)  # rounding can leave a −1e-17
    weights /= weights.sum()
    return weights.reshape(table.shape[:-1])


def _entropy(p: Floats) -> Floats:
    """−Σ p ln p over the last axis, where 0 ln 0 = 0."""
    entropy: Floats = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)
    return entropy


def _nats(p: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return -np.log(p)


def _alphabet(alphabet: str) -> str:
    if not alphabet or len(set(alphabet)) < len(alphabet):
        raise ValueError(f"alphabet is {alphabet!r}, but takes one or more different characters")
    return alphabet


def _distributions(p: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """`p` with each row along the last axis summing to 1 as exactly as floats can."""
    array = np.array(p, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"the probabilities have shape {array.shape}, but take {shape}")
    if not (array >= 0).all():
        raise ValueError("the probabilities hold a negative number or a NaN")
    sums = array.sum(axis=-1, keepdims=True)
    if not np.allclose(sums, 1, rtol=0, atol=1e-6):
        raise ValueError(
            f"the rows of probabilities sum to {sums.min()} up to {sums.max()}, but take 1"
        )
    array /= sums
    return array


def _ids(text: str, alphabet: str) -> NDArray[np.intp]:
    index = {character: i for i, character in enumerate(alphabet)}
    if unknown := set(text) - index.keys():
        raise ValueError(f"the text holds {min(unknown)!r}, which the alphabet does not")
    return np.array([index[character] for character in text], dtype=np.intp)


def _length(length: int) -> int:
    if length < 0:
        raise ValueError(f"length is {length}, but takes a whole number from 0 up")
    return length


def _independent() -> IndependentSource:
    weights = 1 / np.arange(1, 9)  # Zipf's law
    return IndependentSource("abcdefgh", weights / weights.sum())


def _markov(order: int) -> MarkovSource:
    # Its own seed, the order: a name means one source, whichever text is drawn from it.
    return MarkovSource.random("abcdefgh", order, np.random.default_rng(order), concentration=0.3)


# Made when asked for: a stationary distribution takes its time.
SOURCES: dict[str, Callable[[], IndependentSource | MarkovSource]] = {
    "independent": _independent,
    "markov-1": partial(_markov, 1),
    "markov-2": partial(_markov, 2),
    "markov-3": partial(_markov, 3),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a text to stdout, and the entropy rate of its source to stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m corpora.sources", description="Write a text of exactly known entropy."
    )
    parser.add_argument("name", choices=SOURCES)
    parser.add_argument("length", type=int, help="number of characters")
    parser.add_argument("--random-seed", type=int, default=0, help="seed of the text (0)")
    options = parser.parse_args(arguments)
    source = SOURCES[options.name]()
    try:
        text = source.generate(options.length, np.random.default_rng(options.random_seed))
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.write(text)
    print(f"{source.entropy_rate() / math.log(2):.6f} bits a character", file=sys.stderr)


if __name__ == "__main__":
    main()
