"""The output layer: from hidden states to the distribution of a character, and its NLL."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.nn.cells.operand import flat
from charlm.nn.initialization import glorot
from charlm.nn.loss import nll
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

# The number of logits computed at a time. They stay in the cache, and the memory does not grow with
# the vocabulary.
HEAD_CHUNK = 1 << 20


@dataclass(frozen=True)
class Head:
    """Logits h W + b and their softmax. Parameters: W `(H, V)`, b `(V,)`.

    Attributes:
        width: H.
        vocabulary: V.
        is_identity: whether h already holds the logits, so that there are no parameters.
    """

    width: int
    vocabulary: int
    is_identity: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the parameters."""
        if self.is_identity:
            return {}
        return {"W": (self.width, self.vocabulary), "b": (self.vocabulary,)}

    def init(self, p: Params, rng: np.random.Generator) -> None:
        """Write initial values into the parameters."""
        if not self.is_identity:
            p["W"][...] = glorot(self.width, self.vocabulary, rng)
            p["b"].fill(0)

    def loss_and_grad(
        self,
        p: Params,
        g: Params,
        h: Array,
        y: Array,
        work: Workspace,
        scale: float,
        ignored: NDArray[np.bool_] | None = None,
    ) -> tuple[float, Array]:
        """The summed NLL of the targets, and the gradient of `scale` times the sum.

        Args:
            p: the parameters.
            g: their gradients, overwritten.
            h: `(T, B, H)`.
            y: target ids `(T, B)`.
            work: scratch memory.
            scale: the factor of the gradient.
            ignored: the targets that are not predicted, a mask `(T, B)`.

        Returns:
            The sum of -ln p(y) in nats, and the gradient of h, an array in `work`.
        """
        targets, nats = y.ravel(), 0.0
        dh = work.array("dh", *h.shape)
        g.flat.fill(0)
        for rows, logits in self._logits(p, h, work):
            part = targets[rows]
            each, total = nll(logits, part)
            if ignored is not None:
                each[ignored.ravel()[rows]] = 0
            nats += float(each.sum())
            # -ln softmax(z)[y]: dz = softmax(z) - one_hot(y), in the memory of the logits z
            logits *= scale / total  # (n, V)
            logits[np.arange(part.size), part] -= scale
            if ignored is not None:
                logits[ignored.ravel()[rows]] = 0
            if self.is_identity:
                flat(dh)[rows] = logits
                continue
            dW = work.array("dW", *p["W"].shape)
            np.matmul(flat(h)[rows].T, logits, out=dW)  # z = h W + b: dW = Σ hᵀ dz, db = Σ dz
            g["W"][...] += dW
            g["b"][...] += logits.sum(axis=0)
            np.matmul(logits, p["W"].T, out=flat(dh)[rows])  # dh = dz Wᵀ
        return nats, dh

    def nats(self, p: Params, h: Array, y: Array, work: Workspace) -> NDArray[np.float64]:
        """The NLL -ln p(y) of each target in nats, `(T, B)`."""
        targets = y.ravel()
        nats = np.empty(targets.size)
        for rows, logits in self._logits(p, h, work):
            nats[rows], _ = nll(logits, targets[rows])
        return nats.reshape(y.shape)

    def logits(self, p: Params, h: Array) -> Array:
        """The logits `(N, V)` of h `(N, H)`."""
        if self.is_identity:
            return h.copy()
        logits = h @ p["W"]
        logits += p["b"]
        return logits

    def _logits(self, p: Params, h: Array, work: Workspace) -> Iterator[tuple[slice, Array]]:
        """Blocks of the T·B rows, and their logits `(n, V)`, which the next block overwrites."""
        h = flat(h)
        N, V = len(h), self.vocabulary
        parts = -(-N * V // HEAD_CHUNK)
        length = -(-N // parts)
        scratch = work.array("logits", length, V)
        for start in range(0, N, length):
            rows = slice(start, min(start + length, N))
            logits = scratch[: rows.stop - start]
            if self.is_identity:
                logits[...] = h[rows]
            else:
                np.matmul(h[rows], p["W"], out=logits)
                logits += p["b"]
            yield rows, logits
