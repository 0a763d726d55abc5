"""The language model: ids → cells → linear head → distribution of the next character."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charlm.arrays import Array
from charlm.cells import CELLS, Cell, Dropout, Embedding, Stack, State, zero_state
from charlm.cells.init import glorot
from charlm.cells.operand import flat
from charlm.config import ModelConfig
from charlm.ops import surprise
from charlm.params import Params, scoped
from charlm.workspace import Workspace

# The head works on this many logits at a time: they stay in the cache, and a vocabulary of
# thousands takes no more memory than one of dozens.
HEAD_CHUNK = 1 << 20


class CharLM:
    """A character-level recurrent language model: sizes, and what is computed with them.

    The logits of the character after x_1 … x_t are h_t W + b, where h_t is the output of the
    stacked cells. The numbers are apart, in the `Params` that `init_params` makes.

    Args:
        config: the shape of the network.
        vocabulary: V, the number of distinct characters.
    """

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.cells = _stack(config, vocabulary)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the parameters: `<layer>.<array>`, `head.W`, `head.b`."""
        V, H = self.vocabulary, self.cells.width
        return self.cells.shapes() | scoped("head", {"W": (H, V), "b": (V,)})

    def init_params(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Params:
        """Parameters with initial values: each cell's own, and a Glorot head."""
        p = Params(self.shapes(), dtype=dtype)
        self.cells.init(p, rng)
        p["head.W"][...] = glorot(self.cells.width, self.vocabulary, rng)
        return p

    def zero_state(self, batch: int, dtype: DTypeLike = np.float32) -> State:
        """The state before any text, for `batch` streams."""
        return zero_state(self.cells, batch, dtype)

    def loss_and_grad(
        self,
        p: Params,
        g: Params,
        x: Array,
        y: Array,
        state: State,
        work: Workspace,
        rng: np.random.Generator | None = None,
        scale: float = 1.0,
    ) -> tuple[float, State]:
        """The summed surprise of y given x, and its gradient, truncated at the first step.

        Args:
            p: the parameters.
            g: takes the gradients, those of `scale` times the sum.
            x: input ids `(T, B)`.
            y: the id that follows each, `(T, B)`.
            state: what the streams carry from their earlier chunks.
            work: scratch memory of one thread.
            rng: draws dropout's masks.
            scale: 1 / (T·B) makes the gradient that of the mean.

        Returns:
            The sum of -ln p(y) in nats, and the state after the last step.
        """
        h, state, backward = self.cells.forward(p, x, state, work.scope("cells"), rng)
        W, targets = p["head.W"], y.ravel()
        dh = work.array("dh", *h.shape)
        dW = work.array("dW", *W.shape)
        g["head.W"].fill(0)
        g["head.b"].fill(0)
        nats = 0.0
        for rows, h_part, logits in self._logits(p, h, work):
            part = targets[rows]
            each, total = surprise(logits, part)
            nats += float(each.sum())
            # d(-ln softmax(logits)[y]) = softmax(logits) - one_hot(y)
            logits *= scale / total
            logits[np.arange(part.size), part] -= scale
            np.matmul(h_part.T, logits, out=dW)
            g["head.W"][...] += dW
            g["head.b"][...] += logits.sum(axis=0)
            np.matmul(logits, W.T, out=flat(dh)[rows])
        backward(g, dh, None)
        return nats, state

    def nats(
        self, p: Params, x: Array, y: Array, state: State, work: Workspace
    ) -> tuple[NDArray[np.float64], State]:
        """The surprise -ln p(y) of each character in nats, `(T, B)`, and the state after."""
        h, state, _ = self.cells.forward(p, x, state, work.scope("cells"))
        targets = y.ravel()
        nats = np.empty(targets.size)
        for rows, _, logits in self._logits(p, h, work):
            nats[rows], _ = surprise(logits, targets[rows])
        return nats.reshape(y.shape), state

    def read(self, p: Params, x: Array, state: State, work: Workspace) -> State:
        """The state after the ids x `(T, B)`."""
        return self.cells.forward(p, x, state, work.scope("cells"))[1]

    def next_logits(
        self, p: Params, x: Array, state: State, work: Workspace
    ) -> tuple[Array, State]:
        """The logits of the character after the ids x `(T, B)`: `(B, V)`, and the state after."""
        h, state, _ = self.cells.forward(p, x, state, work.scope("cells"))
        logits = h[-1] @ p["head.W"]
        logits += p["head.b"]
        return logits, state

    def _logits(self, p: Params, h: Array, work: Workspace) -> Iterator[tuple[slice, Array, Array]]:
        """The logits h W + b a bounded number at a time: which rows, their h, the logits.

        The logits are a scratch array `(n, V)` that the next part overwrites.
        """
        W, b, h = p["head.W"], p["head.b"], flat(h)
        N, V = len(h), len(b)
        parts = -(-N * V // HEAD_CHUNK)
        length = -(-N // parts)
        scratch = work.array("logits", length, V)
        for start in range(0, N, length):
            rows = slice(start, min(start + length, N))
            logits = scratch[: rows.stop - start]
            np.matmul(h[rows], W, out=logits)
            logits += b
            yield rows, h[rows], logits


def _stack(config: ModelConfig, vocabulary: int) -> Stack:
    """The layers below the head, named as in a checkpoint: `embedding`, `0`, `1`, …"""
    layers: dict[str, Cell] = {}
    width = vocabulary
    if config.embedding:
        layers["embedding"] = Embedding(vocabulary, config.embedding)
        width = config.embedding
    for i in range(config.layers):
        layers[f"{i}"] = CELLS[config.cell](width, config.hidden, reads_ids=not layers)
        width = config.hidden
        if config.dropout:
            layers[f"dropout{i}"] = Dropout(width, config.dropout)
    return Stack(layers)
