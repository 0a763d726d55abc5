"""What the tests of the model and those of its shards share: its gradient, its surprise, data."""

import numpy as np

from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.text.batches import Chunk
from tests.helpers import random_ids, random_state

# Sizes that are all different, so that axes which are swapped do not fit.
T, B, V = 4, 3, 7


def gradient(
    model: CharLM, p: Params, x, y, state, *, seed: int | None = None, scale=1.0, after=None
):
    """The loss, its gradient and the state after, on fresh memory."""
    g, work = p.zeros_like(), Workspace(p.flat.dtype)
    rng = None if seed is None else np.random.default_rng(seed)
    nats, state = model.loss_and_grad(p, g, x, y, state, work, rng, scale, after)
    return nats, g, state


def nll(model: CharLM, p: Params, x, y, state) -> tuple[np.ndarray, tuple]:
    return model.nats(p, x, y, state, Workspace(p.flat.dtype))


def data(model: CharLM, t: int = T, b: int = B):
    """Inputs, targets and a state before them."""
    ids = random_ids(t + 1, b, below=model.vocabulary)
    return ids[:-1], ids[1:], random_state(model, b)


def chunk_of(x, y, after=None, *, is_first: bool = False) -> Chunk:
    """A chunk of one text; with `is_first`, the first of an epoch."""
    after = x[:0] if after is None else after
    begins = np.zeros((len(x) + 1 + len(after), x.shape[1]), np.bool_)
    begins[0] = is_first
    return Chunk(x, y, after, begins)


def same(one, other, near: float = 1e-12) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=near, atol=near)
