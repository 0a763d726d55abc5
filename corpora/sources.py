"""Random texts with exactly known entropy, the loss of a perfect model.

Let p(c | s) be the probability of the character c after the context s, the last k characters.
The surprisal of the characters of a text x_1 … x_N is

    nats_t = −ln p(x_t | x_{t−k} … x_{t−1}),        t = k+1 … N,

and no model has a lower expected mean than the entropy rate

    h = −Σ_s π(s) Σ_c p(c | s) ln p(c | s)          nats per character.

π is the stationary distribution of the contexts, the solution of πP = π, Σ π = 1, where P is the
transition matrix: s = s_1 … s_k changes to s_2 … s_k c with probability p(c | s) (Cover and Thomas,
Elements of Information Theory, chapter 4). For k = 0 the only context is the empty one. Divide by
ln 2 for bits.

    python -m corpora.sources NAME LENGTH [--random-seed N]

writes a text to stdout and its entropy rate in bits per character to stderr.
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
    """A source of independent characters with these `probabilities`, `(V,)`."""

    def __init__(self, alphabet: str, probabilities: ArrayLike) -> None:
        self.alphabet = _alphabet(alphabet)
        self.probabilities = _distributions(probabilities, (len(alphabet),))

    def generate(self, length: int, rng: np.random.Generator) -> str:
        """Draw a text of `length` characters."""
        drawn = rng.choice(len(self.alphabet), size=_length(length), p=self.probabilities)
        return "".join(self.alphabet[i] for i in drawn)

    def nats(self, text: str) -> Floats:
        """The surprisal of each character in nats, `(N,)`; infinite if its probability is 0."""
        return _nats(self.probabilities[_ids(text, self.alphabet)])

    def entropy_rate(self) -> float:
        """The entropy in nats per character."""
        return float(_entropy(self.probabilities))


class MarkovSource:
    """A Markov chain of order k ≥ 1: each character depends on the k characters before it.

    Args:
        alphabet: V distinct characters.
        table: p(c | s_1 … s_k), an array `(V, …, V)` with k + 1 axes, indexed by positions in the
            alphabet, the oldest character first.

    The constructor computes the stationary distribution, in time cubic in the V^k contexts.
    """

    def __init__(self, alphabet: str, table: ArrayLike) -> None:
        self.alphabet = _alphabet(alphabet)
        self.order = np.ndim(table) - 1
        if self.order < 1:
            raise ValueError(f"table has {np.ndim(table)} axes; expected at least 2")
        self.table = _distributions(table, (len(alphabet),) * (self.order + 1))
        self.stationary = _stationary(self.table)

    @classmethod
    def random(
        cls, alphabet: str, order: int, rng: np.random.Generator, concentration: float = 1.0
    ) -> Self:
        """Draw each p(· | s) from a symmetric Dirichlet distribution.

        With `concentration` below 1 a few characters are likely after each context; far above 1
        all are about equally likely.
        """
        if order < 1:
            raise ValueError(f"order is {order}; expected an integer of at least 1")
        if not 0 < concentration < math.inf:
            raise ValueError(f"concentration is {concentration}; expected a finite number above 0")
        size = len(_alphabet(alphabet))
        return cls(alphabet, rng.dirichlet(np.full(size, concentration), (size,) * order))

    def generate(self, length: int, rng: np.random.Generator) -> str:
        """Draw a text of `length` characters; the first context comes from π."""
        size, contexts = len(self.alphabet), self.stationary.size
        context = int(rng.choice(contexts, p=self.stationary.ravel()))
        ids = [int(i) for i in np.unravel_index(context, self.stationary.shape)]
        # The last sum must be exactly 1: then no draw from [0, 1) gives an impossible character.
        sums = self.table.reshape(contexts, size).cumsum(axis=1)
        rows = (sums / sums[:, -1:]).tolist()
        for u in rng.random(max(0, _length(length) - self.order)).tolist():
            drawn = bisect_right(rows[context], u)
            context = (context * size + drawn) % contexts
            ids.append(drawn)
        return "".join(self.alphabet[i] for i in ids[:length])

    def nats(self, text: str) -> Floats:
        """The surprisal of each character in nats, `(N - k,)`; infinite if its probability is 0.

        The first k characters serve as context only.
        """
        ids = _ids(text, self.alphabet)
        count = max(0, ids.size - self.order)
        windows = tuple(ids[lag : lag + count] for lag in range(self.order + 1))
        return _nats(self.table[windows])

    def entropy_rate(self) -> float:
        """The entropy rate h in nats per character."""
        return float((self.stationary * _entropy(self.table)).sum())


def _stationary(table: Floats) -> Floats:
    """The stationary distribution π of the contexts, with one axis fewer than `table`."""
    size = table.shape[-1]
    contexts = table.size // size
    old = np.arange(contexts)[:, None]
    P = np.zeros((contexts, contexts))
    P[old, (old * size + np.arange(size)) % contexts] = table.reshape(contexts, size)
    system = np.vstack([P.T - np.eye(contexts), np.ones(contexts)])
    solution, _, rank, _ = np.linalg.lstsq(system, np.eye(contexts + 1)[-1])
    if rank < contexts:
        raise ValueError("the stationary distribution of the chain is not unique")
    weights: Floats = np.maximum(solution, 0)  # rounding can give −1e-17
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
        raise ValueError(f"alphabet is {alphabet!r}; expected one or more distinct characters")
    return alphabet


def _distributions(p: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Check the shape and values of `p`, and normalize it along the last axis."""
    array = np.array(p, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"probabilities have shape {array.shape}; expected {shape}")
    if not (array >= 0).all():
        raise ValueError("probabilities contain a negative number or NaN")
    sums = array.sum(axis=-1, keepdims=True)
    if not np.allclose(sums, 1, rtol=0, atol=1e-6):
        raise ValueError(f"probabilities sum to {sums.min()} to {sums.max()}; expected 1")
    array /= sums
    return array


def _ids(text: str, alphabet: str) -> NDArray[np.intp]:
    index = {character: i for i, character in enumerate(alphabet)}
    if unknown := set(text) - index.keys():
        raise ValueError(f"the text contains {min(unknown)!r}, which is not in the alphabet")
    return np.array([index[character] for character in text], dtype=np.intp)


def _length(length: int) -> int:
    if length < 0:
        raise ValueError(f"length is {length}; expected an integer of at least 0")
    return length


def _independent() -> IndependentSource:
    weights = 1 / np.arange(1, 9)  # Zipf's law
    return IndependentSource("abcdefgh", weights / weights.sum())


def _markov(order: int) -> MarkovSource:
    # Seeded by the order, so that each name always stands for the same source.
    return MarkovSource.random("abcdefgh", order, np.random.default_rng(order), concentration=0.3)


# Functions, because the stationary distribution takes time to compute.
SOURCES: dict[str, Callable[[], IndependentSource | MarkovSource]] = {
    "independent": _independent,
    "markov-1": partial(_markov, 1),
    "markov-2": partial(_markov, 2),
    "markov-3": partial(_markov, 3),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a text to stdout and the entropy rate of its source to stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m corpora.sources", description="Write a random text with known entropy."
    )
    parser.add_argument("name", choices=SOURCES)
    parser.add_argument("length", type=int, help="number of characters")
    parser.add_argument("--random-seed", type=int, default=0, help="random seed (0)")
    options = parser.parse_args(arguments)
    source = SOURCES[options.name]()
    try:
        text = source.generate(options.length, np.random.default_rng(options.random_seed))
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.write(text)
    print(f"{source.entropy_rate() / math.log(2):.6f} bits per character", file=sys.stderr)


if __name__ == "__main__":
    main()
