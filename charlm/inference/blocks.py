"""The precision of a mean NLL, from sums over blocks of the text.

The surprisals of neighboring characters are dependent, so their variance does not say how precise
their mean is. Sums over blocks that are long compared with the dependence are nearly independent:
the method of batch means (Conway 1963; Schmeiser 1982), a block method for dependent observations
as the jackknife and bootstrap of Künsch (1989). Of documents, each is a block.

Blocks differ in length, so the mean R is the ratio of two sums over k blocks, those of the NLL n_i
and of the number of characters m_i. Its variance is that of a ratio estimator (Cochran, Sampling
Techniques, 1977, chapter 6), in which only sums over blocks occur:

    R = Σ n_i / Σ m_i
    var R ≈ k / (k - 1) · Σ (n_i - R m_i)² / (Σ m_i)²
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

BLOCK = 1000  # the minimum number of characters of a block of a text, if the text has as many
LEAST = 10  # blocks of which an interval is computed

Z = 1.959963984540054  # the 97.5 % quantile of the normal distribution


@dataclass(frozen=True)
class Cut:
    """The scored characters of a text, cut into blocks whose lengths differ by at most one.

    The blocks depend on nothing but the number of characters, however these are read.
    """

    characters: int

    def __len__(self) -> int:
        return max(1, self.characters // BLOCK)

    def block(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """The block of each of some characters, which are counted from 0."""
        return positions * len(self) // max(1, self.characters)

    def lengths(self) -> NDArray[np.int64]:
        """The number of characters of each block."""
        edges = -(-np.arange(len(self) + 1, dtype=np.int64) * self.characters // len(self))
        return np.diff(edges)

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over each block of values, one for each character."""
        blocks = self.block(np.arange(len(values)))
        return np.bincount(blocks, values, len(self)).astype(np.float64)


@dataclass(frozen=True)
class Blocks:
    """Sums over blocks, of which n is the NLL and m the number of characters.

    Attributes:
        count: the number of blocks.
        characters: Σ m.
        nats: Σ n.
        nn, nm, mm: Σ n², Σ n m and Σ m².
    """

    count: int = 0
    characters: int = 0
    nats: float = 0.0
    nn: float = 0.0
    nm: float = 0.0
    mm: float = 0.0

    @staticmethod
    def of(nats: NDArray[np.float64], characters: NDArray[np.int64]) -> "Blocks":
        """The sums over blocks, given n and m of each; blocks without characters are left out."""
        n, m = nats[characters > 0], characters[characters > 0].astype(np.float64)
        return Blocks(len(m), int(m.sum()), *map(float, (n.sum(), n @ n, n @ m, m @ m)))

    @staticmethod
    def of_text(surprisals: NDArray[np.float64]) -> "Blocks":
        """The sums over the blocks of a text, given -ln p of each scored character."""
        cut = Cut(len(surprisals))
        return Blocks.of(cut.sums(surprisals), cut.lengths())

    def __add__(self, other: "Blocks") -> "Blocks":
        """The sums over the blocks of two texts."""
        return Blocks(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Blocks)))

    @property
    def standard_error(self) -> float:
        """The standard error of the mean NLL of a character; NaN of fewer than two blocks."""
        if self.count < 2:
            return math.nan
        R = self.nats / self.characters
        squares = max(0.0, self.nn - 2 * R * self.nm + R * R * self.mm)  # Σ (n - R m)²
        return math.sqrt(self.count / (self.count - 1) * squares) / self.characters

    @property
    def margin(self) -> float | None:
        """Half of the 95 % confidence interval of that mean; None if there are too few blocks."""
        if self.count < LEAST:
            return None
        return t_quantile(self.count - 1) * self.standard_error


NONE = Blocks()


def t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's distribution with so many degrees of freedom, of 9 or more.

    The expansion around the normal distribution of Abramowitz and Stegun (1964), 26.7.5; the error
    is below 0.001.
    """
    z = Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(z + sum(term / freedom**power for power, term in enumerate(terms, 1)))
