"""An n-gram model with interpolated modified Kneser-Ney smoothing.

For a context c of k-1 symbols, a symbol w, and c' as c without its first symbol,

    p_k(w | c) = (u(cw) - D(u(cw))) / U(c) + γ(c) p_{k-1}(w | c')
    U(c) = Σ_v u(cv),  γ(c) = Σ_v D(u(cv)) / U(c)
    p_0(w) = 1 / V

so the probabilities of all symbols sum to one, and each is positive. If nothing was seen after c,
p_k is p_{k-1}.

u counts occurrences in the highest order, and the distinct symbols before cw in the lower ones
(Kneser and Ney 1995). The discount D(u) is 0, D_1, D_2 or D_3 for counts of 0, 1, 2, and 3 or more,
estimated for each order from the numbers n_1, …, n_4 of n-grams with these counts (Chen and Goodman
1998):

    Y = n_1 / (n_1 + 2 n_2),  D_i = i - (i+1) Y n_{i+1} / n_i

What stands before the start of a text is a symbol of its own for each text. So an n-gram that only
begins documents counts as often as it occurs, as in KenLM (Heafield et al. 2013).

- Reinhard Kneser and Hermann Ney. 1995. Improved backing-off for m-gram language modeling. ICASSP.
- Stanley F. Chen and Joshua Goodman. 1998. An empirical study of smoothing techniques for language
  modeling. Technical report TR-10-98, Harvard University.
- Kenneth Heafield, Ivan Pouzyrevsky, Jonathan H. Clark and Philipp Koehn. 2013. Scalable modified
  Kneser-Ney language model estimation. ACL.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.baselines.ngram_counts import NONE, Level, Numbers, Sequences, count_ngrams
from charlm.text.splits import Texts

Floats = NDArray[np.float64]

BLOCK = 1 << 18  # ids scored at once
WITHOUT_SINGLETONS = 0.5  # the discount if no n-gram occurs once


def discounts(counts: Numbers) -> Floats:
    """The discount of a count of 0, of 1, of 2, and of 3 or more, `(4,)`.

    If one of the estimates is undefined, or is not between 0 and its count, the discount is Y for
    all counts, as in the method of 1995. It is never 0, so no symbol gets the probability 0.
    """
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].tolist()
    if n1 == 0:
        return np.array([0, *[WITHOUT_SINGLETONS] * 3])
    Y = n1 / (n1 + 2 * n2)
    if n2 and n3:
        D = [1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3]
        if all(0 < D_i <= i for i, D_i in enumerate(D, 1)):
            return np.array([0, *D])
    return np.array([0, Y, Y, Y])


@dataclass(frozen=True)
class Order:
    """The n-grams of one length k, and what p_k takes from them.

    Attributes:
        keys: the n-grams; see `Level`.
        shares: (u(cw) - D(u(cw))) / U(c) of each n-gram, `(n+1,)`; 0 for `NONE`.
        rests: γ(c) of each context, `(contexts+1,)`; 1 for `NONE`, and if nothing follows it.
        top_shares, top_rests: the same in the highest order.
    """

    keys: Numbers
    shares: Floats
    rests: Floats
    top_shares: Floats
    top_rests: Floats

    @classmethod
    def of(cls, level: Level, contexts: int) -> "Order":
        """The order of some n-grams that have so many different contexts."""
        lower = _smoothed(level.contexts, level.neighbors, contexts)
        return cls(level.keys, *lower, *_smoothed(level.contexts, level.occurrences, contexts))

    def find(self, parents: Numbers, symbols: Numbers, count: int) -> Numbers:
        """The numbers of n-grams, given their parents and first symbols; `NONE` for others.

        Args:
            parents: the number of each without its first symbol, or `NONE`, `(N,)`.
            symbols: the first symbol of each, or `NONE`, `(N,)`.
            count: the number of symbols.
        """
        numbers = np.full(len(parents), NONE)
        can_exist = np.flatnonzero((parents != NONE) & (symbols != NONE))
        if len(can_exist) and len(self.keys):
            wanted = parents[can_exist] * count + symbols[can_exist]
            found = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            numbers[can_exist] = np.where(self.keys[found] == wanted, found, NONE)
        return numbers


def _smoothed(contexts: Numbers, u: Numbers, count: int) -> tuple[Floats, Floats]:
    """The shares and rests of an order; see `Order`."""
    D = discounts(u)[np.minimum(u, 3)]
    U = np.bincount(contexts, u, count)
    taken = np.bincount(contexts, D, count)
    shares = np.divide(u - D, U[contexts], out=np.zeros(len(u)), where=u > 0)
    rests = np.divide(taken, U, out=np.ones(count), where=U > 0)
    return np.append(shares, 0), np.append(rests, 1)


class KneserNey:
    """An n-gram model of ids; with order 1 a model of single ids, with order 0 uniform.

    Args:
        symbols: the number of ids that there can be.
        orders: the n-grams of each length 1, 2, ….
    """

    def __init__(self, symbols: int, orders: list[Order]) -> None:
        self.symbols, self.orders = symbols, orders

    @classmethod
    def of(cls, texts: Texts, symbols: int, order: int) -> "KneserNey":
        """The model of some texts, `order` from 0 to 254."""
        orders: list[Order] = []
        contexts = 1
        if order:
            for level in count_ngrams(Sequences.of(texts, symbols, order)):
                orders.append(Order.of(level, contexts))
                contexts = len(level.keys)
        return cls(symbols, orders)

    @property
    def order(self) -> int:
        """The maximum length of an n-gram."""
        return len(self.orders)

    def nats(self, texts: Texts) -> Floats:
        """The NLL of some texts under the models of orders 0, 1, …, `order`, `(order+1,)`.

        The same ids are predicted as by a network: all of a text but the first, all of a document
        and its end.
        """
        sequences = Sequences.of(texts, self.symbols, max(1, self.order))
        nats = np.zeros(self.order + 1)
        for start in range(0, len(sequences), BLOCK):
            nats += [each.sum() for each in self._surprisals(sequences, start, start + BLOCK)]
        return nats

    def surprisals(self, texts: Texts) -> Floats:
        """-ln p of each predicted id of some texts, `(targets,)`."""
        sequences = Sequences.of(texts, self.symbols, max(1, self.order))
        blocks = [np.zeros(0)]
        for start in range(0, len(sequences), BLOCK):
            *_, highest = self._surprisals(sequences, start, start + BLOCK)
            blocks.append(highest)
        return np.concatenate(blocks)

    def _surprisals(self, all_of_it: Sequences, start: int, stop: int) -> Iterator[Floats]:
        """-ln p of the predicted ids from `start` to `stop` under each order, `(targets,)`."""
        first = max(0, start - self.order)  # the ids before them are only context
        sequences = all_of_it.part(first, stop)
        are_scored = sequences.are_predicted.copy()
        are_scored[: start - first] = False
        p = np.full(len(sequences), 1 / self.symbols)
        yield -np.log(p[are_scored])
        numbers = np.zeros(len(sequences), np.intp)  # the (k-1)-gram that ends at each id
        for k, order in enumerate(self.orders, 1):
            contexts = numbers if k == 1 else np.append(NONE, numbers[:-1])
            symbols = sequences.before(k - 1).astype(np.intp) - 1
            numbers = order.find(numbers, symbols, self.symbols)
            highest = order.top_shares[numbers] + order.top_rests[contexts] * p
            yield -np.log(highest[are_scored])
            p = order.shares[numbers] + order.rests[contexts] * p
