"""The same weights give the same numbers as PyTorch's layers: `make test-peers`.

Compared are outputs, final states, the loss and all gradients, each array relative to its largest
entry. All sizes are distinct, so that swapped axes cannot pass. With `-rP`, pytest shows how close
the two come.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from benchmarks.tasks import Task
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.distributed import shard
from charlm.nn.bidirectional import Bidirectional
from charlm.nn.cells.gru import GRU
from charlm.nn.cells.lstm import LSTM
from charlm.nn.cells.protocol import Cell, State
from charlm.nn.cells.rnn import RNN
from charlm.nn.model import CharLM
from charlm.nn.optimizers import learning_rate
from charlm.nn.output_layer import Head
from charlm.nn.params import Params, scoped
from charlm.nn.stack import Stack
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.text.batches import Streams
from charlm.text.corpus import Corpus
from charlm.training.budget import plan
from charlm.training.setup import set_up

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-peers")
nn = torch.nn
torch.set_num_threads(1)  # of work this small, threads only wait for each other

T, B, I, H, V = 35, 6, 9, 20, 13  # noqa: E741

TOLERANCE = {"float32": 1e-5, "float64": 1e-9}  # of an array's largest entry

LAYERS = {
    "rnn tanh": (RNN, nn.RNN),
    "rnn relu": (partial(RNN, activation="relu"), partial(nn.RNN, nonlinearity="relu")),
    "lstm": (LSTM, nn.LSTM),
    "gru": (GRU, nn.GRU),
}

# The gates in the order of our columns, and in that of PyTorch's rows.
GATES = {
    "rnn tanh": {"W": ("h", "h")},
    "rnn relu": {"W": ("h", "h")},
    "lstm": {"W": ("gifo", "ifgo")},
    "gru": {"U": ("zrn", "rzn"), "V": ("nzr", "rzn")},
}

Arrays = dict[str, Array]
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Data:
    """The input, its targets, the first state, and the gradient of the final one."""

    x: Array
    y: Array
    state: State
    dstate: State


def random_data(x: Array, state_widths: tuple[int, ...], dtype: str) -> Data:
    rng = np.random.default_rng(2)
    state, dstate = (
        tuple(rng.normal(scale=scale, size=(B, width)).astype(dtype) for width in state_widths)
        for scale in (1, 0.01)  # the latter about as large as what the loss sends back
    )
    return Data(x, rng.integers(V, size=(T, B)), state, dstate)


def random_params(shapes: dict[str, tuple[int, ...]], dtype: str) -> Params:
    p = Params(shapes, dtype=dtype)
    p.flat[:] = np.random.default_rng(1).normal(scale=0.2, size=p.flat.size)
    return p


# Our weights as PyTorch's.


def torch_form(kind: str, p: Params) -> Arrays:
    """Our weights, or their gradients, by PyTorch's names and in its order."""
    arrays = {}
    for scope in dict.fromkeys(name.rpartition(".")[0] for name in p):
        part = p.scope(scope)
        if scope == "embedding":
            arrays["embedding.weight"] = part["W"]
        elif scope == "head":
            arrays |= {"head.weight": part["W"].T, "head.bias": part["b"]}
        else:
            layer, _, direction = scope.partition(".")
            end = f"_l{layer}" + "_reverse" * (direction == "backward")
            layer_arrays = torch_form_of_layer(kind, part)
            arrays |= {f"layers.{name}{end}": array for name, array in layer_arrays.items()}
    return arrays


def torch_form_of_layer(kind: str, p: Params) -> Arrays:
    """The arrays of a layer. Where we have one bias, it is given as both of PyTorch's two.

    That is right for gradients; for weights, `torch_network` sets one of the two to zero.
    """
    parts = [reordered(p[name], *orders) for name, orders in GATES[kind].items()]
    # [h, 1] U and [1, x] V, or [h, 1, x] W
    U, V = parts if kind == "gru" else (parts[0][: H + 1], parts[0][H:])
    return {"weight_hh": U[:H].T, "bias_hh": U[H], "bias_ih": V[0], "weight_ih": V[1:].T}


def reordered(W: Array, ours: str, theirs: str) -> Array:
    """The columns of W, a block for each gate, in another order."""
    blocks = dict(zip(ours, np.split(W, len(ours), axis=1), strict=True))
    return np.concatenate([blocks[gate] for gate in theirs], axis=1)


# The same computation twice.


def our_layers(kind: str, layers: int, directions: int) -> Stack:
    """Both directions of a layer are joined before the next one, as they are in PyTorch."""
    stack: dict[str, Cell] = {}
    for i in range(layers):
        cell = LAYERS[kind][0](directions * H if i else I, H)
        stack[f"{i}"] = Bidirectional(cell, cell) if directions == 2 else cell
    return Stack(stack)


def our_numbers(kind: str, cell: Cell, p: Params, data: Data) -> Arrays:
    work, g = Workspace(p.flat.dtype), p.zeros_like()
    y, final, backward = cell.forward(p, data.x, data.state, work.scope("cells"))
    nats, dy = Head(cell.width, V).loss_and_grad(
        p.scope("head"), g.scope("head"), y, data.y, work.scope("head"), scale=1 / (T * B)
    )
    output = y.copy()
    dx, dstate = backward(g, dy, data.dstate)
    return {
        "output": output,
        "loss": np.array(nats / (T * B)),
        "d input": dx,
        **numbered("final state", final),
        **numbered("d first state", dstate),
        **torch_form(kind, g),
    }


def torch_network(kind: str, p: Params, inputs: int, layers: int, directions: int) -> nn.ModuleDict:
    """PyTorch's layers and head, and an embedding if p has one, with our weights."""
    modules = {
        "layers": LAYERS[kind][1](inputs, H, layers, bidirectional=directions == 2),
        "head": nn.Linear(directions * H, V),
    }
    if "embedding.W" in p:
        modules["embedding"] = nn.Embedding(V, inputs)
    network = nn.ModuleDict(modules).to(getattr(torch, str(p.flat.dtype)))
    weights = {name: torch.tensor(array) for name, array in torch_form(kind, p).items()}
    for name, array in weights.items():
        if "bias_hh" in name and kind != "gru":
            array.zero_()
    network.load_state_dict(weights)
    return network


def torch_numbers(network: nn.ModuleDict, data: Data) -> Arrays:
    x = torch.tensor(data.x, requires_grad=True)
    state = [torch.tensor(part, requires_grad=True) for part in data.state]
    output, final, loss = torch_forward(network, x, state, data.y)
    ends = zip(final, data.dstate, strict=True)
    (loss + sum((part * torch.tensor(gradient)).sum() for part, gradient in ends)).backward()
    return in_numpy(
        {
            "output": output,
            "loss": loss,
            "d input": x.grad,
            **numbered("final state", final),
            **numbered("d first state", [part.grad for part in state]),
            **torch_gradients(network),
        }
    )


def torch_forward(
    network: nn.ModuleDict, x: torch.Tensor, state: list[torch.Tensor], y: Array
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """The output, the final state in the order of our cells, and the mean loss."""
    layers = network["layers"]
    if isinstance(layers, nn.LSTM):
        output, (h, c) = layers(x, (torch.stack(state[::2]), torch.stack(state[1::2])))
        final = [part for layer in zip(h, c, strict=True) for part in layer]
    else:
        output, h = layers(x, torch.stack(state))
        final = list(h)
    logits = network["head"](output)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(y).flatten())
    return output, final, loss


def torch_gradients(network: nn.ModuleDict) -> Tensors:
    return {name: weights.grad for name, weights in network.named_parameters()}


def numbered(name: str, parts: Any) -> dict[str, Any]:
    return {f"{name} {k}": part for k, part in enumerate(parts)}


def in_numpy(tensors: Tensors) -> Arrays:
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}


def assert_same(ours: Arrays, theirs: Arrays, dtype: str) -> None:
    """The greatest error of each array is at most TOLERANCE of its greatest entry."""
    assert ours.keys() == theirs.keys()
    errors = {name: relative_error(ours[name], theirs[name], dtype) for name in theirs}
    print(f"largest relative error: {max(errors.values()):.1e}")
    off = {name: error for name, error in errors.items() if not error <= TOLERANCE[dtype]}
    assert not off, f"off: {off}"


def relative_error(got: Array, expected: Array, dtype: str) -> float:
    assert got.shape == expected.shape
    assert expected.dtype == dtype
    return float(np.abs(got - expected).max() / np.abs(expected).max())


def layers_with_head(kind: str, layers: int, directions: int, dtype: str) -> tuple:
    """Our layers, random parameters of them and a head, random data."""
    cell = our_layers(kind, layers, directions)
    p = random_params(cell.shapes() | scoped("head", Head(cell.width, V).shapes()), dtype)
    x = np.random.default_rng(0).normal(size=(T, B, I)).astype(dtype)
    return cell, p, random_data(x, cell.state_widths(), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", LAYERS)
def test_layers(kind: str, layers: int, directions: int, dtype: str) -> None:
    cell, p, data = layers_with_head(kind, layers, directions, dtype)
    theirs = torch_numbers(torch_network(kind, p, I, layers, directions), data)
    assert_same(our_numbers(kind, cell, p, data), theirs, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", LAYERS)
def test_weights_that_are_a_ten_thousandth_off_are_caught(kind: str, dtype: str) -> None:
    cell, p, data = layers_with_head(kind, 2, 2, dtype)
    theirs = torch_numbers(torch_network(kind, p, I, 2, 2), data)
    for array in p.values():
        kept = array.copy()
        array.flat[::2] += 1e-4  # of the head not all, which would change no probability
        with pytest.raises(AssertionError, match="off: "):
            assert_same(our_numbers(kind, cell, p, data), theirs, dtype)
        array[...] = kept


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("embedding", [0, I])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_whole_model(kind: str, embedding: int, dtype: str) -> None:
    name, _, activation = kind.partition(" ")
    config = ModelConfig(name, H, layers=2, embedding=embedding, activation=activation or None)
    model = CharLM(config, V)
    p = random_params(model.shapes(), dtype)
    ids = np.random.default_rng(0).integers(V - 1, size=(T, B))  # one character does not occur
    data = random_data(ids, model.cells.state_widths(), dtype)

    g = p.zeros_like()
    work = Workspace(dtype)
    nats, final = model.loss_and_grad(p, g, ids, data.y, data.state, work, scale=1 / (T * B))
    loss = np.array(nats / (T * B))
    ours = {"loss": loss} | numbered("final state", final) | torch_form(kind, g)

    network = torch_network(kind, p, embedding or V, layers=2, directions=1)
    read = network["embedding"] if embedding else partial(nn.functional.one_hot, num_classes=V)
    x = read(torch.tensor(ids)).to(getattr(torch, dtype))
    state = [torch.tensor(part) for part in data.state]
    _, final, loss = torch_forward(network, x, state, data.y)
    loss.backward()
    theirs = {"loss": loss} | numbered("final state", final) | torch_gradients(network)
    assert_same(ours, in_numpy(theirs), dtype)


def test_training_of_a_benchmark_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses of each step, through warm-up, clipping, decay and the ends of epochs.

    PyTorch has two biases, which Adam would move twice as far as ours, so one of them is fixed.
    """
    monkeypatch.setattr(shard, "RESET_AT_STARTS", 0.0)  # which PyTorch's training does not have
    text = "".join(np.random.default_rng(0).choice(list("abcdefg"), size=1000))
    corpus = Corpus.of(text)
    config = TrainConfig(seq_len=T, batch_size=B, val_fraction=0, clip=0.1, warmup=3)
    trainer = set_up(corpus, ModelConfig("lstm", H), config, threads=1)
    plan(trainer, Budget(steps=30))

    vocabulary = trainer.data.vocabulary
    from benchmarks.contenders import torch_peer  # needs PyTorch

    net = torch_peer.Net(Task("lstm", 1, H, vocabulary=len(vocabulary)), "one-hot")
    weights = {k: torch.tensor(array) for k, array in torch_form("lstm", trainer.p).items()}
    net.load_state_dict(weights | {"layers.bias_hh_l0": torch.zeros(4 * H)})
    net.layers.bias_hh_l0.requires_grad_(False)
    theirs = torch_peer.Training(net, Streams(vocabulary.encode(text)[0], B, T), config)

    ours = [trainer.step() for _ in range(30)]
    assert sum(step.grad_norm > config.clip for step in ours) > 5
    assert trainer.steps_per_epoch < 15
    for k, step in enumerate(ours):
        assert theirs.step(learning_rate(k, 30, config)) == pytest.approx(step.nats_per_char, 1e-4)
