"""The language model: ids → recurrent layers → dense layers → output layer.

A unidirectional model gives the distribution of the character after x_1 … x_t. A bidirectional
model gives the distribution of a character between two contexts: one stack of layers reads the text
before it, another reads the text after it, from the end. The outputs are joined only above the top
layers; otherwise each stack would see the predicted character through the other.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charlm.config import ModelConfig
from charlm.errors import ModelError
from charlm.nn.bidirectional import Reverse
from charlm.nn.cells import CELLS
from charlm.nn.cells.jordan import Jordan
from charlm.nn.cells.protocol import Backward, Cell, State, zero_state
from charlm.nn.cells.resets import resets_where
from charlm.nn.cells.rnn import RNN
from charlm.nn.layers import Dense, Dropout, Embedding
from charlm.nn.output_layer import Head
from charlm.nn.params import Params, scoped
from charlm.nn.stack import Residual, Stack
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

# The characters after a window that a bidirectional model reads to predict those in the window.
LOOKAHEAD = 32

Mask = NDArray[np.bool_]
Undo = Callable[[Params, Array], None]  # writes the gradients of the parameters, given dh


class CharLM:
    """A character-level recurrent language model, without its parameters.

    The parameters are a separate `Params`, from `init_params`.

    Args:
        config: the architecture of the network.
        vocabulary: V, the number of distinct characters.
        reads_documents: whether the model reads documents, each of which begins and ends with the
            boundary, an id of its own. The state is zeros before a boundary is read.

    Attributes:
        boundary: the id of the boundary, V; None if the model does not read documents.
        symbols: the number of ids: V, and the boundary if there is one.
        cells: the recurrent layers; a stream carries their state.
        backward_cells: the layers of a bidirectional model that read from the end.
        lookahead: the number of characters after a window that the model reads; 0 if it is
            unidirectional.
    """

    def __init__(
        self, config: ModelConfig, vocabulary: int, *, reads_documents: bool = False
    ) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self.boundary = vocabulary if reads_documents else None
        self.symbols = vocabulary + reads_documents
        self.cells = _stack(config, self.symbols)
        self.backward_cells = (
            Reverse(_stack(config, self.symbols)) if config.bidirectional else None
        )
        self.lookahead = LOOKAHEAD if config.bidirectional else 0
        width = self.cells.width * (2 if config.bidirectional else 1)
        self._dense = _dense_layers(config, width)
        width = self._dense.width if self._dense else width
        self._head = Head(width, self.symbols, is_identity=config.cell == "jordan")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of the parameters: `0.W`, `backward.0.W`, `dense0.W`, `head.W`."""
        shapes = self.cells.shapes()
        if self.backward_cells:
            shapes |= scoped("backward", self.backward_cells.shapes())
        if self._dense:
            shapes |= self._dense.shapes()
        return shapes | scoped("head", self._head.shapes())

    @property
    def operations(self) -> int:
        """The operations of the matrix products of training, per character.

        A weight takes part in three products: forward, for the gradient of its input, and for its
        own. A multiplication and an addition are two operations. The rows of weights that ids
        select are in no product.
        """
        shapes = self.shapes()
        weights = sum(math.prod(shape) for shape in shapes.values() if len(shape) == 2)
        table = next(name for name in ("embedding.W", "0.V", "0.W") if name in shapes)
        selected = self.symbols * shapes[table][1]
        return 6 * (weights - selected * (2 if self.backward_cells else 1))

    def init_params(self, rng: np.random.Generator, dtype: DTypeLike = np.float32) -> Params:
        """Parameters with initial values."""
        p = Params(self.shapes(), dtype=dtype)
        self.cells.init(p, rng)
        if self.backward_cells:
            self.backward_cells.init(p.scope("backward"), rng)
        if self._dense:
            self._dense.init(p, rng)
        self._head.init(p.scope("head"), rng)
        return p

    def zero_state(self, batch: int, dtype: DTypeLike = np.float32) -> State:
        """The initial state of zeros for `batch` streams."""
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
        after: Array | None = None,
        begins: Mask | None = None,
        resets: Mask | None = None,
    ) -> tuple[float, State]:
        """The summed NLL of y given x, and its gradient, truncated at the first step.

        Args:
            p: the parameters.
            g: the gradients of `scale` times the sum, overwritten.
            x: input ids `(T, B)`.
            y: target ids, those that follow x, `(T, B)`.
            state: the state of the streams before x.
            work: scratch memory of one thread.
            rng: the generator of dropout masks.
            scale: 1 / (T·B) gives the gradient of the mean.
            after: the ids that follow y, `(R, B)`, for a bidirectional model. R is `lookahead`, or
                less at the end of the text.
            begins: where a text begins in x, after its last row, and in `after`, `(T+1+R, B)`. The
                first character of a text is not predicted, and nothing of another text is read.
            resets: where the state also becomes zeros before a character of x, `(T, B)`.

        Returns:
            The sum of -ln p(y) in nats, and the state after the last step.
        """
        right = _right(y, after)
        edges = self._edges(x, y, right) if begins is None else _edges_of_texts(begins, len(y))
        left = edges.left if resets is None else edges.left | resets
        h, state, undo = self._context(p, x, right, state, work, rng, edges._replace(left=left))
        head = work.scope("head")
        nats, dh = self._head.loss_and_grad(
            p.scope("head"), g.scope("head"), h, y, head, scale, edges.ignored
        )
        undo(g, dh)
        return nats, state

    def nats(
        self,
        p: Params,
        x: Array,
        y: Array,
        state: State,
        work: Workspace,
        after: Array | None = None,
    ) -> tuple[NDArray[np.float64], State]:
        """The NLL -ln p(y) of each character in nats, `(T, B)`, and the state after x."""
        right = _right(y, after)
        h, state, _ = self._context(p, x, right, state, work, None, self._edges(x, y, right))
        return self._head.nats(p.scope("head"), h, y, work.scope("head")), state

    def logits(
        self,
        p: Params,
        x: Array,
        y: Array,
        state: State,
        work: Workspace,
        after: Array | None = None,
    ) -> tuple[Array, State]:
        """The logits that predict y, `(T, B, V)`, and the state after x."""
        right = _right(y, after)
        h, state, _ = self._context(p, x, right, state, work, None, self._edges(x, y, right))
        logits = self._head.logits(p.scope("head"), h.reshape(-1, h.shape[2]))
        return logits.reshape(*y.shape, -1), state

    def read(self, p: Params, x: Array, state: State, work: Workspace) -> tuple[Array, State]:
        """The output of the layers after the ids x `(T, B)`: `(B, width)`; and the state."""
        resets = resets_where(self._is_boundary(x))
        h, state, _ = self.cells.forward(p, x, state, work.scope("cells"), None, resets)
        return h[-1], state

    def read_back(self, p: Params, x: Array, work: Workspace) -> Array:
        """The output of the backward layers at each of the ids x: `(T, B, width)`."""
        assert self.backward_cells is not None
        return self._read_back(p, x, work, None, self._is_boundary(x))[0]

    def next_logits(
        self, p: Params, x: Array, state: State, work: Workspace
    ) -> tuple[Array, State]:
        """The logits of the character after the ids x `(T, B)`: `(B, V)`; and the state.

        Raises:
            ModelError: the model is bidirectional.
        """
        if self.backward_cells:
            raise ModelError("a bidirectional model cannot predict the next character")
        h, state = self.read(p, x, state, work)
        return self.logits_between(p, h, None, work), state

    def logits_between(self, p: Params, left: Array, right: Array | None, work: Workspace) -> Array:
        """The logits of a character, `(B, V)`.

        Args:
            p: the parameters.
            left: the output of `read` for the text before it, `(B, width)`.
            right: the output of `read_back` at the character after it, `(B, width)`, for a
                bidirectional model.
            work: scratch memory.
        """
        h = left if right is None else np.concatenate([left, right], axis=1)
        if self._dense:
            h = self._dense.forward(p, h[None], (), work.scope("dense"))[0][0]
        return self._head.logits(p.scope("head"), h)

    def _context(
        self,
        p: Params,
        x: Array,
        right: Array,
        state: State,
        work: Workspace,
        rng: np.random.Generator | None,
        edges: "Edges",
    ) -> tuple[Array, State, Undo]:
        """The input of the output layer, `(T, B, width)`, the state after x, and the backward pass.

        Args:
            p: the parameters.
            x: ids `(T, B)`.
            right: the ids that follow each target, `(T-1+R, B)`.
            state: before x.
            work: scratch memory.
            rng: the generator of dropout masks.
            edges: where texts begin and end.
        """
        resets = resets_where(edges.left)
        h, state, cells_back = self.cells.forward(p, x, state, work.scope("cells"), rng, resets)
        if self.backward_cells:
            h, join_back = self._join(p, h, right, work, rng, edges)
        if self._dense:
            h, _, dense_back = self._dense.forward(p, h, (), work.scope("dense"))

        def undo(g: Params, dh: Array) -> None:
            if self._dense:
                ddense, _ = dense_back(g, dh, None)
                assert ddense is not None, "dense layers do not read ids"
                dh = ddense
            if self.backward_cells:
                dh = join_back(g, dh)
            cells_back(g, dh, None)

        return h, state, undo

    def _join(
        self,
        p: Params,
        h: Array,
        right: Array,
        work: Workspace,
        rng: np.random.Generator | None,
        edges: "Edges",
    ) -> tuple[Array, Callable[[Params, Array], Array]]:
        """[h_t, ←h_{t+1}], where ←h reads what follows target t; zeros if nothing follows.

        Returns:
            `(T, B, 2·width)`, and the backward pass, which returns the gradient of h.
        """
        T, B, width = h.shape
        back = self._read_back(p, right, work, rng, edges.right) if len(right) else None
        seen = min(T, len(right))  # the number of targets that are not the last character
        is_last = edges.is_last[:seen]  # those of them that are the last of their text
        joined = work.array("joined", T, B, 2 * width)
        joined[:, :, :width] = h
        joined[seen:, :, width:] = 0
        if back:
            joined[:seen, :, width:] = back[0][:seen]
            joined[:seen, :, width:][is_last] = 0

        def join_back(g: Params, dh: Array) -> Array:
            if not back:
                g.scope("backward").flat.fill(0)
                return dh[:, :, :width]
            dright = work.array("dright", len(right), B, width)
            dright[:seen] = dh[:seen, :, width:]
            dright[:seen][is_last] = 0
            dright[seen:] = 0
            back[1](g.scope("backward"), dright, None)
            return dh[:, :, :width]

        return joined, join_back

    def _read_back(
        self, p: Params, x: Array, work: Workspace, rng: np.random.Generator | None, resets: "Mask"
    ) -> tuple[Array, Backward]:
        """The output of the backward layers at each of x, and their backward pass."""
        assert self.backward_cells is not None
        state = zero_state(self.backward_cells, x.shape[1], work.dtype)
        h, _, backward = self.backward_cells.forward(
            p.scope("backward"), x, state, work.scope("backward"), rng, resets_where(resets)
        )
        return h, backward

    def _is_boundary(self, ids: Array) -> Mask:
        """Where ids are the boundary, a mask of the same shape."""
        if self.boundary is None:
            return np.zeros(ids.shape, np.bool_)
        mask: Mask = ids == self.boundary
        return mask

    def _edges(self, x: Array, y: Array, right: Array) -> "Edges":
        """Where documents begin and end; nowhere if the model does not read documents."""
        return Edges(*map(self._is_boundary, (x, right, y)))


class Edges(NamedTuple):
    """Where texts begin and end in a sequence; see `CharLM._context`.

    Attributes:
        left: whether the state is zeros before an id of x is read, `(T, B)`.
        right: whether the state of the backward layers is zeros before an id of `right` is read,
            `(T-1+R, B)`.
        is_last: whether a target is the last of its text, so that nothing follows it, `(T, B)`.
        ignored: whether a target is the first of a text, which is not predicted, `(T, B)`; None if
            no target is.
    """

    left: Mask
    right: Mask
    is_last: Mask
    ignored: Mask | None = None


def _edges_of_texts(begins: Mask, T: int) -> Edges:
    """The edges of texts that begin in some rows, `(T+1+R, B)`."""
    ends = np.zeros_like(begins)  # whether a row is the last of its text
    ends[:-1] = begins[1:]
    return Edges(begins[:T], ends[2:], ends[1 : T + 1], begins[1 : T + 1])


def _right(y: Array, after: Array | None) -> Array:
    """The ids after the first target, `(T-1+R, B)`."""
    return y[1:] if after is None else np.concatenate([y[1:], after])


def _stack(config: ModelConfig, vocabulary: int) -> Stack:
    """Embedding and recurrent layers, named as in a checkpoint: `embedding`, `0`, `1`, …"""
    layers: dict[str, Cell] = {}
    width = vocabulary
    if config.embedding:
        layers["embedding"] = Embedding(vocabulary, config.embedding)
        width = config.embedding
    for i in range(config.layers):
        is_jordan = config.cell == "jordan" and i == config.layers - 1
        cell = _cell(config, width, vocabulary, is_jordan=is_jordan, reads_ids=not layers)
        layers[f"{i}"] = Residual(cell) if config.residual and i and not is_jordan else cell
        width = cell.width
        if config.dropout and not is_jordan:
            layers[f"dropout{i}"] = Dropout(width, config.dropout)
    return Stack(layers)


def _cell(
    config: ModelConfig, inputs: int, vocabulary: int, *, is_jordan: bool, reads_ids: bool
) -> Cell:
    """A recurrent layer; the layers of a Jordan network below the top are plain RNNs."""
    activation = config.plain_activation
    if activation is None:
        return CELLS[config.cell](inputs, config.hidden, reads_ids)
    if is_jordan:
        return Jordan(inputs, config.hidden, reads_ids, activation, width=vocabulary)
    return RNN(inputs, config.hidden, reads_ids, activation)


def _dense_layers(config: ModelConfig, width: int) -> Stack | None:
    """The layers between the recurrent layers and the output layer: `dense0`, `dense1`, …"""
    layers: dict[str, Cell] = {}
    for i in range(config.head_layers):
        layers[f"dense{i}"] = Dense(width, config.hidden)
        width = config.hidden
    return Stack(layers) if layers else None
