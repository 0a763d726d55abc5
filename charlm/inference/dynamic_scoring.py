"""Dynamic evaluation: the weights adapt to the text while it is scored.

The text is read in order, in chunks. Each chunk is scored first; only then a gradient step on its
NLL changes the weights w, so that no character is predicted by weights that know it. The rule is
that of Krause, Kahembwe, Murray and Renals (2018), "Dynamic Evaluation of Neural Sequence Models":
the step of each weight is divided by the root mean square r of its gradients, and the weights decay
to the original ones w₀, the faster the greater r is:

    w ← w - η g / (r + ε r̄)
    w ← w + min(1, λ r / r̄) (w₀ - w)

r̄ is the mean of r over all weights. Here ε is relative to it, and r is taken over the gradients of
the chunks that have been scored, not over those of the training text, which may be unknown.

η, λ and the length of a chunk were chosen on other texts than those whose figures are in
docs/comparable-figures.md.
"""

import numpy as np
from numpy.typing import NDArray

from charlm.errors import ModelError
from charlm.inference.blocks import Blocks, Cut
from charlm.inference.scoring import Score
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.blas import one_blas_thread
from charlm.system.callbacks import Advance, ignore
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.id_sequences import IdSequence

CHUNK = 50  # characters
LEARNING_RATE = 0.002  # η
DECAY = 0.002  # λ
EPSILON = 1.0  # ε


def check_can_adapt(model: CharLM) -> None:
    """Check that dynamic evaluation is defined for a model.

    Raises:
        ModelError: the model is bidirectional, or reads documents.
    """
    if model.lookahead:
        raise ModelError(
            "the model is bidirectional, so it reads characters before they are scored; dynamic "
            "evaluation requires a unidirectional model"
        )
    if model.boundary is not None:
        raise ModelError(
            "the model was trained on documents, each of which is scored on its own; dynamic "
            "evaluation requires a model of texts"
        )


def score_dynamic(
    model: CharLM,
    p: Params,
    ids: IdSequence,
    *,
    learning_rate: float = LEARNING_RATE,
    progress: Advance = ignore,
) -> Score:
    """Score every character of a text but the first, with weights that adapt to the text.

    Args:
        model: a unidirectional model of texts.
        p: its parameters, which are not changed.
        ids: the text `(N,)`, with N of 2 or more.
        learning_rate: η; with 0 the score is the static one.
        progress: called with the number of characters scored since the last call.
    """
    count = len(ids) - 1
    adapted, g, work = p.zeros_like(), p.zeros_like(), Workspace(p.flat.dtype)
    adapted.flat[:] = p.flat
    adapter = Adapter(p.flat, learning_rate)
    state = model.zero_state(1, p.flat.dtype)
    starts = np.arange(0, count, CHUNK)
    nats = np.empty(len(starts))
    with one_blas_thread(), quiet_overflow():
        for k, start in enumerate(starts.tolist()):
            chunk = ids[start : start + CHUNK + 1][:, None]  # (T+1, 1)
            x, y, scale = chunk[:-1], chunk[1:], 1 / (len(chunk) - 1)
            nats[k], state = model.loss_and_grad(adapted, g, x, y, state, work, None, scale)
            adapter.step(adapted.flat, g.flat)
            progress(len(y))
    return Score(float(nats.sum()), count, blocks=_blocks(starts, nats, count))


class Adapter:
    """Adapts weights to the text that has been scored.

    Args:
        original: w₀, a flat vector.
        learning_rate: η.
    """

    def __init__(self, original: Array, learning_rate: float) -> None:
        self.original, self.learning_rate = original, learning_rate
        self.mean_squares = np.zeros_like(original)  # r²
        self.chunks = 0

    def step(self, w: Array, g: Array) -> None:
        """Adapt the weights, given the gradient of the mean NLL of a chunk."""
        self.chunks += 1
        self.mean_squares += (g * g - self.mean_squares) / self.chunks
        r = np.sqrt(self.mean_squares)
        mean = r.mean()
        if not mean:  # nothing can be learned from the text so far
            return
        w -= self.learning_rate * g / (r + EPSILON * mean)
        w += np.minimum(1, DECAY * r / mean) * (self.original - w)


def _blocks(starts: NDArray[np.intp], nats: NDArray[np.float64], count: int) -> Blocks:
    """The sums over blocks of whole chunks, given the first target and the NLL of each chunk."""
    cut = Cut(count)
    owners, lengths = cut.block(starts), np.diff(np.append(starts, count))
    n, m = (np.bincount(owners, each, len(cut)) for each in (nats, lengths))
    return Blocks.of(n.astype(np.float64), m.astype(np.int64))
