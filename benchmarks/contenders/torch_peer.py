"""The same work in PyTorch: eager, float32, `nn.RNN`, `nn.GRU` or `nn.LSTM` and a linear head.

The input is one-hot, or an embedding as wide as the recurrent layers. Time comes first, the
fastest layout of `nn.LSTM`. The number of threads is PyTorch's default, one per core, unless set.
"""

import statistics
import time
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
from charlm.config import TrainConfig
from charlm.nn.optimizers import learning_rate
from charlm.text.batches import Streams
from charlm.text.vocabulary import Vocabulary, code_points
from charlm.training.budget import TRIAL_SECONDS

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

    def __init__(self, task: Task, variant: str, dropout: float = 0.0) -> None:
        super().__init__()
        H, V = task.hidden, task.vocabulary
        vectors = variant == "embedding"
        self.read = nn.Embedding(V, H) if vectors else partial(one_hot, num_classes=V)
        self.layers = LAYERS[task.cell](H if vectors else V, H, task.layers)
        head = nn.Linear(H, V)
        self.head = nn.Sequential(nn.Dropout(dropout), head) if dropout else head

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


class Training:
    """Training on a text, as `charlm.train` does it: the same chunks, optimizer and schedule.

    The state is carried from chunk to chunk and is zeros at the start of an epoch. The initial
    weights are those of PyTorch.
    """

    def __init__(self, net: Net, streams: Streams, config: TrainConfig) -> None:
        self.net, self.streams, self.config = net, streams, config
        self.adam = torch.optim.Adam(net.parameters(), betas=(0.9, 0.99), fused=True)
        self.state: Any = None
        self.done = self.characters = 0

    def step(self, lr: float) -> float:
        """Update the parameters with the next chunk; return its loss before that."""
        x, y, *_ = self.streams.chunk(self.done)
        state = self.state if self.streams.offset(self.done) else None
        self.adam.param_groups[0]["lr"] = lr
        self.adam.zero_grad()
        logits, state = self.net(torch.from_numpy(x).long(), state)
        self.state = _detached(state)
        loss = cross_entropy(logits.flatten(0, 1), torch.from_numpy(y).long().flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self.adam.step()
        self.done += 1
        self.characters += y.size
        return loss.item()

    def steps_in(self, seconds: float) -> int:
        """The steps that fit into a time, by a trial as long as in `charlm.training.budget`."""
        times = list[float]()
        while len(times) < 3 or sum(times) < min(0.03 * seconds, TRIAL_SECONDS):
            started = time.perf_counter()
            self.step(lr=0.0)
            times.append(time.perf_counter() - started)
        return max(1, int((seconds - sum(times)) / statistics.median(times[1:])))


def trained(
    variant: str,
    path: str,
    held_out: float,
    minutes: float,
    dropout: float,
    threads: int,
    seed: int,
    **task: Any,
) -> dict[str, Any]:
    """Train on a text but for its end, for some minutes, and score that end in one stream."""
    torch.set_num_threads(threads or THREADS)
    known, rest = data.parts(path, held_out)
    started = time.perf_counter()
    vocabulary = Vocabulary.of(known)
    shape = Task(**task | {"vocabulary": len(vocabulary)})
    config = TrainConfig(shape.steps, shape.batch)
    streams = Streams(vocabulary.encode(known)[0], shape.batch, shape.steps)

    def fresh() -> Training:
        torch.manual_seed(seed)
        return Training(Net(shape, variant, dropout), streams, config)

    steps = fresh().steps_in(60 * minutes)
    run = fresh()
    for step in range(steps):
        run.step(learning_rate(step, steps, config))
    seconds = time.perf_counter() - started
    nats, count = _score(run.net.eval(), vocabulary.encode(rest)[0])
    return {
        "parameters": sum(p.numel() for p in run.net.parameters()),
        "steps": steps,
        "trained_characters": run.characters,
        "seconds": seconds,
        "scored_characters": count,
        "nats_per_char": nats / count,
    }


def _score(net: Net, ids: Any, streams: int = 1, chunk: int = 1000) -> tuple[float, int]:
    """The NLL of ids and their number, in chunks over which the state is carried."""
    state, nats, count = None, 0.0, 0
    reader = Streams(ids, streams, chunk)
    with torch.no_grad():
        for step in range(reader.chunks_per_epoch):
            x, y, *_ = reader.chunk(step)
            logits, state = net(torch.from_numpy(x).long(), state)
            targets = torch.from_numpy(y).long().flatten()
            nats += cross_entropy(logits.flatten(0, 1), targets, reduction="sum").item()
            count += y.size
    return nats, count


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

    def work() -> int:
        torch.set_num_threads(threads or THREADS)
        return _score(net, ids, streams, chunk)[1]

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
