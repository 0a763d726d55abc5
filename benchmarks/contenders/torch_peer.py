"""The same work in PyTorch: eager, float32, `nn.RNN`, `nn.GRU` or `nn.LSTM` and a linear head.

The input is one-hot, or an embedding as wide as the recurrent layers. Time comes first, the
fastest layout of `nn.LSTM`. The number of threads is PyTorch's default, one per core, unless set.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from benchmarks.contenders import data
from benchmarks.tasks import Task
from charlm.text.batches import Streams
from charlm.text.vocabulary import Vocabulary, code_points

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
WARM_UP = 3
SAMPLE = 256  # characters per stream in a unit of sampling
BATCH = 256  # lines scored at once
THREADS = torch.get_num_threads()  # used for `threads=0`


def facts() -> dict[str, Any]:
    """Version, threads and vector instructions."""
    return {
        "torch": torch.__version__,
        "torch threads": torch.get_num_threads(),
        "torch vector instructions": torch.backends.cpu.get_cpu_capability(),
    }


class Net(nn.Module):
    """ids `(T, B)` → logits `(T, B, V)`."""

    def __init__(self, task: Task, variant: str) -> None:
        super().__init__()
        H, V = task.hidden, task.vocabulary
        vectors = variant == "embedding"
        self.read = nn.Embedding(V, H) if vectors else partial(one_hot, num_classes=V)
        self.layers = LAYERS[task.cell](H if vectors else V, H, task.layers)
        self.head = nn.Linear(H, V)

    def forward(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The logits, and the final state."""
        h, state = self.layers(self.read(ids).float(), state)
        return self.head(h), state

    def nats(self, rows: list[Any], is_packed: bool) -> list[Any]:
        """The NLL of all ids but the first of each row `(N,)`; rows by falling length."""
        x = [torch.from_numpy(row[:-1]) for row in rows]
        y = [torch.from_numpy(row[1:]) for row in rows]
        lengths = [len(row) for row in x]
        padded = pad_sequence(x)  # (T, B)
        if is_packed:
            inputs = pack_padded_sequence(self.read(padded).float(), lengths)
            h = self.layers(inputs)[0].data  # the steps of all rows, without padding
            targets = pack_padded_sequence(pad_sequence(y), lengths)
            nats = cross_entropy(self.head(h), targets.data, reduction="none")
            each = pad_packed_sequence(targets._replace(data=nats))[0]
        else:
            logits, _ = self.forward(padded, None)
            targets = pad_sequence(y)
            nats = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            each = nats.view_as(targets)
        columns = each.T.numpy()
        return [column[:length] for column, length in zip(columns, lengths, strict=True)]


def _detached(state: Any) -> Any:
    """The state without its graph: truncated backpropagation."""
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return state.detach()


def training(variant: str, **task: Any) -> Callable[[], int]:
    """A training step: forward, backward, clipping, Adam; the state is carried over."""
    shape = Task(**task)
    config = data.train_config(shape)
    torch.manual_seed(0)
    net = Net(shape, variant)
    parameters = list(net.parameters())
    adam = torch.optim.Adam(parameters, lr=config.peak_lr, betas=(0.9, 0.99), fused=True)
    chunks = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in data.chunks(shape)]
    state: Any = None
    done = 0

    def step() -> int:
        nonlocal state, done
        x, y = chunks[done % len(chunks)]
        done += 1
        adam.zero_grad()
        logits, state = net(x, state)
        state = _detached(state)
        loss = cross_entropy(logits.flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip)
        adam.step()
        loss.item()
        return int(x.numel())

    for _ in range(WARM_UP):
        step()
    return step


def sampling(
    hidden: int, streams: int, vocabulary: int, variant: str, threads: int
) -> Callable[[], int]:
    """Sample with the usual loop: one step, softmax, multinomial."""
    torch.manual_seed(0)
    net = Net(Task("lstm", 1, hidden, vocabulary=vocabulary), variant).eval()
    characters = "".join(map(chr, range(data.FIRST, data.FIRST + vocabulary)))

    def work() -> int:
        torch.set_num_threads(threads or THREADS)
        count = 0
        ids, state = torch.zeros(1, streams, dtype=torch.int64), None
        with torch.no_grad():
            for _ in range(SAMPLE):
                logits, state = net(ids, state)
                ids = torch.multinomial(torch.softmax(logits[0], dim=-1), 1).T
                count += len([characters[i] for i in ids[0].tolist()])
        return count

    work()
    return work


def scoring(
    hidden: int,
    streams: int,
    vocabulary: int,
    characters: int,
    variant: str,
    threads: int,
    chunk: int,
) -> Callable[[], int]:
    """Score a text in parallel streams, `chunk` characters at a time; the state is carried over."""
    torch.manual_seed(0)
    net = Net(Task("lstm", 1, hidden, vocabulary=vocabulary), variant).eval()
    text = data.text(characters + 1, vocabulary)
    ids, _ = Vocabulary.of(text).encode(text)
    reader = Streams(ids, streams, chunk)

    def work() -> int:
        torch.set_num_threads(threads or THREADS)
        state, nats, count = None, 0.0, 0
        with torch.no_grad():
            for step in range(reader.chunks_per_epoch):
                x, y, *_ = reader.chunk(step)
                logits, state = net(torch.from_numpy(x).long(), state)
                targets = torch.from_numpy(y).long().flatten()
                nats += cross_entropy(logits.flatten(0, 1), targets, reduction="sum").item()
                count += y.size
        return count

    return work


def scoring_lines(
    hidden: int,
    vocabulary: int,
    count: int,
    mean: int,
    variant: str,
    threads: int,
    is_packed: bool,
    path: str = "",
) -> Callable[[], int]:
    """Score lines, sorted by length, in padded or packed batches; counts lines.

    Each line is read after the boundary, an id of its own, which is also predicted at its end. The
    NLL of each character is returned in the order of the lines, as NumPy arrays.
    """
    torch.manual_seed(0)
    net = Net(Task("lstm", 1, hidden, vocabulary=vocabulary + 1), variant).eval()
    lines = data.lines(count, mean, vocabulary, path)
    boundary = np.array([vocabulary])

    def work() -> int:
        torch.set_num_threads(threads or THREADS)
        points = map(code_points, lines)
        ids = [np.concatenate([boundary, p.astype(int) - data.FIRST, boundary]) for p in points]
        order = sorted(range(len(ids)), key=lambda k: -len(ids[k]))
        nats: list[Any] = [None] * len(ids)
        with torch.no_grad():
            for first in range(0, len(ids), BATCH):
                batch = order[first : first + BATCH]
                for k, row in zip(batch, net.nats([ids[k] for k in batch], is_packed), strict=True):
                    nats[k] = row
        return len(nats)

    return work


def product(size: int) -> Callable[[], int]:
    """A large product with the BLAS of PyTorch on all cores; counts operations."""
    A, B = torch.rand(2, size, size)
    out = torch.empty(size, size)

    def work() -> int:
        torch.matmul(A, B, out=out)
        return 2 * size**3

    work()
    return work
