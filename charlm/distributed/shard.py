"""A shard of a training step: some streams of the batch, their loss and gradient.

The processes of a rank share one buffer with the parameters and the gradients of each shard.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from charlm.nn.cells.protocol import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import CACHE_LINE, Array
from charlm.system.kernels import Blocks, use_blocks
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.batches import Chunk

# In each chunk, the state of each stream of texts is reset to zeros with this probability: before a
# newline of the chunk that is drawn at random, or before its first character if it has none. So the
# model learns what follows a newline that was read from a state of zeros, which is where prompts
# begin. Fewer resets teach it that less well, and more cost validation loss. Documents begin with
# such a state anyway.
RESET_PROBABILITY = 0.2
# Resets that teach nothing about newlines are always at the start of a chunk, and rarer: with a
# vocabulary without a newline, and in runs of checkpoints before format 4.
RESET_AT_STARTS = 0.02

Task = tuple[Sequence[Chunk], State, tuple[int, ...], float]  # arguments of `Shard.loss_and_grad`
Result = tuple[float, State]


class Shard:
    """Computes the loss and gradient of some streams of the batch.

    Args:
        model: the model.
        p: its parameters, read at each call.
        g: receives the gradient.
        newline: the id of the newline before which states are reset; None to reset them only at the
            start of a chunk, which is rarer.
    """

    def __init__(self, model: CharLM, p: Params, g: Params, newline: int | None = None) -> None:
        self.model, self.p, self.g, self.newline = model, p, g, newline
        self.work = Workspace(p.flat.dtype)
        self.more: Params | None = None  # the gradient of each chunk after the first

    def loss_and_grad(
        self, chunks: Sequence[Chunk], state: State, seed: tuple[int, ...], scale: float
    ) -> Result:
        """Sum the NLL of consecutive chunks and write its gradient to `g`.

        Args:
            chunks: consecutive chunks of the shard's streams.
            state: the state before the first chunk, arrays `(B, features)`.
            seed: seeds dropout and the resets of the state.
            scale: factor of the gradient.

        Returns:
            The NLL in nats, or NaN if the state is not finite; the state after the last chunk.
        """
        rng = np.random.default_rng(seed)
        total, g = 0.0, self.g
        for x, y, after, begins in chunks:
            resets = None if begins is None else self._resets(x, rng)
            with quiet_overflow():
                nats, state = self.model.loss_and_grad(
                    self.p, g, x, y, state, self.work, rng, scale, after, begins, resets
                )
                if g is not self.g:
                    self.g.flat += g.flat
            total += nats
            if len(chunks) > 1:
                g = self.more = self.more or self.g.zeros_like()
        if not all(np.isfinite(part).all() for part in state):
            total = math.nan  # the loss of the next chunk would be NaN
        return total, state

    def _resets(self, x: Array, rng: np.random.Generator) -> NDArray[np.bool_]:
        """The steps before which the states of streams are reset, `(T, B)`.

        Each is one with a newline as its input, or the first of a chunk without one.
        """
        resets = np.zeros(x.shape, np.bool_)
        probability = RESET_PROBABILITY if self.newline is not None else RESET_AT_STARTS
        for b in np.flatnonzero(rng.random(x.shape[1]) < probability).tolist():
            newlines = np.flatnonzero(x[:, b] == self.newline)  # none if the newline is None
            resets[rng.choice(newlines) if len(newlines) else 0, b] = True
        return resets


def buffer_size(p: Params, shards: int) -> int:
    """Return the bytes that parameters and the gradients of some shards take in a buffer."""
    return (1 + shards) * _padded(p.flat.size) * p.flat.itemsize


def views(buffer: Any, model: CharLM, dtype: DTypeLike) -> tuple[Params, list[Params]]:
    """Return the parameters and the gradients of each shard as views of a buffer."""
    shapes = model.shapes()
    size = sum(math.prod(shape) for shape in shapes.values())
    p, *grads = np.frombuffer(buffer, dtype).reshape(-1, _padded(size))[:, :size]
    return Params(shapes, flat=p), [Params(shapes, flat=g) for g in grads]


def _padded(size: int) -> int:
    """Round a number of elements up, so that each vector starts with a cache line."""
    return -(-size // CACHE_LINE) * CACHE_LINE


def shard_worker(
    buffer: Any,
    model: CharLM,
    newline: int | None,
    dtype: DTypeLike,
    part: range,
    blocks: Blocks,
) -> Callable[[list[Task]], list[Result]]:
    """Return the function that a worker process runs: one task for each of its shards."""
    use_blocks(blocks)
    p, grads = views(buffer, model, dtype)
    shards = [Shard(model, p, grads[k], newline) for k in part]

    def run(tasks: list[Task]) -> list[Result]:
        return [shard.loss_and_grad(*task) for shard, task in zip(shards, tasks, strict=True)]

    return run
