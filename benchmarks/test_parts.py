"""Microbenchmarks of the parts for pytest-benchmark, to compare before and after a change.

pytest benchmarks/test_parts.py --benchmark-autosave
pytest benchmarks/test_parts.py --benchmark-compare

Sizes are those of the default model and batch unless the name has another: H 256, B 32, T 64,
V 65. Cells, head and optimizer run on one thread; training, sampling and scoring use all
processors, as for users. These are not tests: nothing fails for being slow.
"""

from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contenders import data, inside, ours
from benchmarks.tasks import Task
from charlm.config import OPTIMIZER_NAMES, ModelConfig, SampleConfig
from charlm.inference.sampling import sample
from charlm.inference.scoring import score
from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import zero_state
from charlm.nn.model import CharLM
from charlm.nn.optimizers import Optimizer, clip_norm
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.text.batches import Streams
from charlm.text.vocabulary import Vocabulary
from charlm.training import checkpoint

H, B, T, V = 256, 32, 64, 65
PARAMETERS = 400_000
BACKWARD_ROUNDS = 50


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def network():
    """A network and its weights."""
    model = CharLM(ModelConfig("lstm", H), V)
    return model, model.init_params(np.random.default_rng(0))


@pytest.fixture(params=["ids", "vectors"])
def layer(request, name, rng):
    """The forward pass of a cell, and the arguments of its backward pass."""
    reads_ids = request.param == "ids"
    output = {"width": H} if name == "jordan" else {}
    cell = CELLS[name](V if reads_ids else H, H, reads_ids=reads_ids, **output)
    p, work = Params(cell.shapes()), Workspace()
    cell.init(p, rng)
    vectors = rng.standard_normal((T, B, H)).astype(np.float32)
    x = rng.integers(V, size=(T, B)) if reads_ids else vectors
    return partial(cell.forward, p, x, zero_state(cell, B), work), (p.zeros_like(), 1e-4 * vectors)


@pytest.mark.parametrize("name", CELLS)
def test_forward(benchmark, layer):
    benchmark(layer[0])


@pytest.mark.parametrize("name", CELLS)
def test_backward(benchmark, layer):
    forward, arguments = layer

    def setup():
        return (forward()[2],), {}

    def run(backward):
        backward(*arguments)

    benchmark.pedantic(run, setup=setup, rounds=BACKWARD_ROUNDS, warmup_rounds=3)


@pytest.mark.parametrize("vocabulary", [V, 5000])
def test_head_and_loss(benchmark, vocabulary, rng):
    model = CharLM(ModelConfig("lstm", H), vocabulary)
    p = model.init_params(rng)
    h = rng.standard_normal((T, B, H)).astype(np.float32)
    x = rng.integers(vocabulary, size=(T, B))
    alone, work = inside.head_alone(model, h), Workspace()
    benchmark(alone.loss_and_grad, p, p.zeros_like(), x, x, (), work, None, 1 / x.size)


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_optimizer(benchmark, name, rng):
    p, g = rng.standard_normal((2, PARAMETERS)).astype(np.float32)
    optimizer = Optimizer(name, p)
    benchmark(optimizer.step, p, g, 1e-6, 1000)


def test_clipping(benchmark, rng):
    g = rng.standard_normal(PARAMETERS).astype(np.float32)
    benchmark(clip_norm, g, 1.0)


@pytest.mark.parametrize("vocabulary", [V, 5000])
def test_training_step(benchmark, vocabulary):
    trainer = ours.trainer(Task("lstm", 1, H, B, T, vocabulary))
    benchmark(trainer.step)


def test_streams(benchmark):
    ids, _ = Vocabulary.of(data.text(1_000_000, V)).encode(data.text(1_000_000, V))
    benchmark(Streams, ids, B, T)


@pytest.mark.parametrize("vocabulary", [V, 5000])
def test_encode(benchmark, vocabulary):
    text = data.text(100_000, vocabulary)
    benchmark(Vocabulary.of(text).encode, text)


FILTERED = SampleConfig(temperature=0.8, top_k=20, top_p=0.9)


@pytest.mark.parametrize(
    ("streams", "config"),
    [(1, SampleConfig()), (64, SampleConfig()), (1, FILTERED)],
    ids=["1", "64", "filtered"],
)
def test_sampling_32_characters(benchmark, network, streams, config, rng):
    model, p = network
    drawn = sample(model, p, np.zeros(1, np.uint8), config, rng, streams)
    benchmark(lambda: list(islice(drawn, 32)))  # several streams are sampled in blocks of 32


@pytest.mark.parametrize("streams", [1, 32])
def test_scoring_2000_characters(benchmark, network, streams, rng):
    model, p = network
    ids = rng.integers(V, size=2001).astype(np.uint8)
    benchmark(score, model, p, ids, streams=streams)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint with its training state, and its path."""
    trainer = ours.trainer(Task("lstm", 1, H, B, T, V))
    content = trainer.checkpoint()
    path = Path(tmp_path) / "last.npz"
    checkpoint.save(path, content)
    return content, path


def test_save(benchmark, saved):
    content, path = saved
    benchmark(checkpoint.save, path, content)


def test_load(benchmark, saved):
    _, path = saved
    benchmark(checkpoint.load, path)
