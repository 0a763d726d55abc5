"""What a model counts as its operations are those of the matrix products of a training step."""

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.nn.cells import CELLS
from charlm.nn.model import CharLM
from charlm.nn.workspace import Workspace

V, T, B = 11, 40, 8

MODELS = {cell: ModelConfig(cell, 24, layers=2) for cell in CELLS}
MODELS |= {
    "embedding": ModelConfig("lstm", 24, embedding=16),
    "head layers": ModelConfig("gru", 24, head_layers=2),
    "one layer": ModelConfig("lstm", 24),
}


@pytest.mark.parametrize("name", MODELS)
def test_operations_are_those_of_a_step(name, monkeypatch):
    model = CharLM(MODELS[name], V)
    p, counted = model.init_params(np.random.default_rng(0)), 0
    matmul = np.matmul

    def counting(a, b, *args, **kwargs):
        nonlocal counted
        result = matmul(a, b, *args, **kwargs)
        counted += 2 * result.size * a.shape[-1]
        return result

    monkeypatch.setattr(np, "matmul", counting)
    ids = np.random.default_rng(1).integers(V, size=(T + 1, B))
    model.loss_and_grad(p, p.zeros_like(), ids[:-1], ids[1:], model.zero_state(B), Workspace())
    # the bias is a row of the weights, but has no gradient of an input
    assert counted / (T * B) == pytest.approx(model.operations, rel=0.06)
