"""The memory estimate against measured use, and the available memory against system files."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import CELL_NAMES, Budget, ModelConfig, TrainConfig
from charlm.errors import ModelError
from charlm.nn.model import CharLM
from charlm.system import available_memory
from charlm.system.available_memory import available, check_fits
from charlm.text import document_streams
from charlm.text.corpus import Corpus
from charlm.text.document_streams import DocumentStreams
from charlm.text.splits import Texts
from charlm.training import memory_estimate
from charlm.training.budget import plan
from charlm.training.memory_estimate import check_training_fits, parameters, training_bytes
from charlm.training.setup import set_up
from charlm.training.summary import Means
from charlm.training.validation import evaluate, score_together
from tests.helpers import lawful
from tests.reliability import only_full

MB = 10**6


def random_text(length: int, distinct: int) -> str:
    ids = np.random.default_rng(0).integers(distinct, size=length)
    return "".join(chr(ord("一") + i) for i in ids.tolist())


def measured(text: str | list[str], model: ModelConfig, train: TrainConfig) -> int:
    """The peak memory in bytes of two training steps, an evaluation and scoring."""
    corpus = Corpus.of(text)
    tracemalloc.start()
    try:
        trainer = set_up(corpus, model, train, threads=1)
        plan(trainer, Budget(steps=2))
        trainer.step()
        trainer.step()
        evaluate(trainer, Means())
        score_together(trainer, trainer.p, trainer.data.val)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


DEEP = {"layers": 2, "embedding": 32, "dropout": 0.2, "residual": True}
SHAPES = {
    **{cell: (ModelConfig(cell, 128), TrainConfig(), 60) for cell in CELL_NAMES},
    "mostly weights": (
        ModelConfig("lstm", 512),
        TrainConfig(seq_len=8, batch_size=8),
        60,
    ),
    "large vocabulary": (ModelConfig("gru", 64), TrainConfig(), 3000),
    "deep": (ModelConfig("lstm", 96, **DEEP), TrainConfig(accumulate=2), 60),
    "dense layers": (ModelConfig("rnn", 128, head_layers=3), TrainConfig(optimizer="sgd"), 60),
    "bidirectional": (ModelConfig("lstm", 96, bidirectional=True), TrainConfig(), 60),
    "deep and bidirectional": (
        ModelConfig("gru", 64, bidirectional=True, **DEEP),
        TrainConfig(),
        60,
    ),
    "large validation split": (
        ModelConfig("lstm", 128),
        TrainConfig(seq_len=16, batch_size=4, val_fraction=0.9),
        60,
    ),
    "many shards": (ModelConfig("lstm", 256), TrainConfig(seq_len=16, shards=8), 60),
    "long chunks": (ModelConfig("gru-minimal", 64, layers=3), TrainConfig(seq_len=256), 60),
}

SLOW = ("deep and bidirectional", "large validation split", "mostly weights")


@pytest.mark.parametrize("shape", [*sorted(SHAPES.keys() - SLOW), *only_full(*SLOW)])
def test_estimate_is_close_to_measured_memory(shape):
    model, train, distinct = SHAPES[shape]
    text = random_text(30_000, distinct)
    held_out = int(len(text) * (train.val_fraction or 0.1))
    estimate = training_bytes(
        model, len(set(text)), train, characters=len(text) - held_out, held_out=held_out
    )
    # scoring uses one thread here, which needs half the memory of two
    assert 0.6 < measured(text, model, train) / estimate < 1.25


@pytest.mark.parametrize("length", [7, 300])
@pytest.mark.parametrize(
    "shape", ["gru", "sru", *only_full(*sorted(SHAPES.keys() - {"gru", "sru"}))]
)
def test_estimate_for_documents_is_close_to_measured_memory(shape, length):
    model, train, distinct = SHAPES[shape]
    text = random_text(30_000, distinct)
    documents = [text[k : k + length] for k in range(0, len(text), length)]
    estimate = estimate_for(documents, model, train)
    assert 0.6 < measured(documents, model, train) / estimate < 1.25


def estimate_for(documents: list[str], model: ModelConfig, train: TrainConfig) -> int:
    """The estimate for training on documents."""
    corpus = Corpus.of(documents)
    split = corpus.split(corpus.vocabulary(), train.val_fraction)
    return training_bytes(
        model,
        len(corpus.vocabulary()) + 1,
        train,
        characters=split[0].characters,
        held_out=split[1].characters,
        documents=len(split[0]),
        longest=int(split[0].lengths.max()),
        lengths=split[1].lengths.tolist(),
    )


def test_estimate_knows_that_a_long_document_reduces_the_batch():
    text = random_text(30_000, 60)
    documents = [text[:20_000], *(text[k : k + 10] for k in range(20_000, 30_000, 10))]
    model, train = ModelConfig("gru", 128), TrainConfig(val_fraction=0.01)
    assert max(map(len, documents)) == 20_000
    assert 0.6 < measured(documents, model, train) / estimate_for(documents, model, train) < 1.25


def test_chunks_of_few_documents_are_as_long_as_others():
    model, train = ModelConfig("gru", 64), TrainConfig(seq_len=2000)
    documents = ["abc", "bcd", "cde"] * 9
    assert 0.6 < measured(documents, model, train) / estimate_for(documents, model, train) < 1.25


def test_estimate_counts_the_documents_that_streams_are_in(monkeypatch):
    for module in (document_streams, memory_estimate):
        monkeypatch.setattr(module, "BLOCK", 1 << 14)
    model, train = ModelConfig("rnn", 1), TrainConfig(seq_len=4)
    n, length = 200, 20_000
    documents = Texts.of(np.zeros(n * length, np.uint16), np.arange(1, n + 1) * length, 300)
    tracemalloc.start()
    streams = DocumentStreams(documents, train.batch_size, train.seq_len)
    for number in range(int(1.1 * length) // train.seq_len):
        streams.chunk(number)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    arguments = {"characters": n * length, "documents": n, "longest": length}
    assert 0.6 < peak / training_bytes(model, 300, train, **arguments) < 1.25


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_parameter_count_matches_the_model(cell, layers):
    is_jordan = cell == "jordan"
    model = ModelConfig(
        cell,
        6,
        layers=layers,
        embedding=5 * (layers % 2),
        head_layers=0 if is_jordan else layers - 1,
        bidirectional=not is_jordan and layers > 2,
        residual=layers > 2,
    )
    made = CharLM(model, 11).init_params(np.random.default_rng(0))
    assert parameters(model, 11) == made.flat.size


@lawful
@given(
    cell=st.sampled_from(CELL_NAMES),
    name=st.sampled_from(["hidden", "layers", "embedding"]),
    few=st.integers(1, 2**61),
    more=st.integers(1, 2**61),
)
def test_larger_model_needs_more_memory(cell, name, few, more):
    sizes = [
        training_bytes(ModelConfig(cell, **{name: size}), 60, TrainConfig(), characters=10**6)
        for size in sorted([few, few + more])
    ]
    assert 0 < sizes[0] < sizes[1]
    assert all(isinstance(size, int) for size in sizes)


def test_ranks_share_the_memory_of_shards():
    model, train = ModelConfig(), TrainConfig(batch_size=256)
    alone, shared = (
        training_bytes(model, 60, train, characters=10**6, ranks=ranks) for ranks in (1, 4)
    )
    assert shared < alone < 4 * shared


@pytest.mark.parametrize("size", ["hidden", "layers", "head_layers", "embedding"])
@pytest.mark.parametrize("digits", [12, 18])
def test_huge_model_is_rejected_in_one_line(size, digits):
    with pytest.raises(ModelError) as refused:
        check_training_fits(
            ModelConfig("rnn", **{size: 10**digits}),
            60,
            TrainConfig(),
            characters=10**6,
            held_out=10**5,
        )
    message = str(refused.value)
    assert len(message) < 300
    assert "\n" not in message


def test_error_states_needed_and_free_memory(monkeypatch):
    monkeypatch.setattr(available_memory, "available", lambda: 15_300_000_000)
    with pytest.raises(ModelError) as refused:
        check_fits(96_000_000_000, "the model", "choose another")
    assert (
        str(refused.value)
        == "the model requires about 96.0 GB of memory, but only 15.3 GB are available; "
        "choose another"
    )


@pytest.mark.parametrize("free", [None, 1000])
def test_sufficient_or_unknown_memory_is_accepted(monkeypatch, free):
    monkeypatch.setattr(available_memory, "available", lambda: free)
    check_fits(1000, "the model", "choose another")


def system(root: Path, **files: str) -> Path:
    """A directory with system files; `__` in a name stands for a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


MEMINFO = f"MemTotal: 99 kB\nMemFree: 1 kB\nMemAvailable:   {4 * MB} kB\nSwapFree: 9 kB\n"


def test_available_memory_of_the_system(tmp_path):
    assert available(system(tmp_path, proc__meminfo=MEMINFO)) == 4 * MB * 1024


FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    2: ("memory.max", "memory.current", ""),
}


def group(root: Path, path: str, version: int, limit: object, used: int, cached: int = 0) -> None:
    """Write the files of a control group; `used` includes `cached` file pages."""
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    most, now, prefix = FILES[version]
    lists = "".join(f"{prefix}{each}_file {cached // 2}\n" for each in ("active", "inactive"))
    for name, text in (
        (most, f"{limit}\n"),
        (now, f"{used}\n"),
        ("memory.stat", f"anon 7\n{lists}file 999999999\n"),
    ):
        (folder / name).write_text(text, encoding="ascii")


@pytest.mark.parametrize("mount", ["", "unified/"])
def test_available_memory_in_a_control_group(tmp_path, mount):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="1:cpu:/\n0::/jobs/ours\n")
    group(tmp_path, f"{mount}jobs/ours", 2, "max", 300 * MB)
    assert available(tmp_path) == 4 * MB * 1024
    group(tmp_path, f"{mount}jobs/ours", 2, 1000 * MB, 300 * MB)
    assert available(tmp_path) == 700 * MB


def test_available_memory_in_the_parent_of_a_group(tmp_path):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/jobs/ours\n")
    group(tmp_path, "jobs/ours", 2, 1000 * MB, 300 * MB)
    group(tmp_path, "jobs", 2, 1000 * MB, 900 * MB)
    assert available(tmp_path) == 100 * MB


def test_cached_file_pages_count_as_available(tmp_path):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/ours\n")
    group(tmp_path, "ours", 2, 1000 * MB, 900 * MB, cached=600 * MB)
    assert available(tmp_path) == 700 * MB


def test_container_sees_its_own_group_as_the_root(tmp_path):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/outside/not-seen\n")
    group(tmp_path, "", 2, 1000 * MB, 300 * MB)
    assert available(tmp_path) == 700 * MB


def test_control_groups_version_1(tmp_path):
    listed = "9:name=systemd:/\n4:cpu,memory:/a:b/ours\n0::/\n"
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup=listed)
    group(tmp_path, "memory/a:b", 1, 500 * MB, 300 * MB, cached=50 * MB)
    group(tmp_path, "memory", 1, 9223372036854771712, 300 * MB)
    assert available(tmp_path) == 250 * MB


def test_group_over_its_limit_has_no_available_memory(tmp_path):
    system(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/ours\n")
    group(tmp_path, "ours", 2, 100 * MB, 300 * MB)
    assert available(tmp_path) == 0


@pytest.mark.parametrize("meminfo", ["", "MemAvailable\n", "MemAvailable: many kB\n", "\xff\n\n"])
def test_without_a_usable_meminfo_it_is_the_physical_memory(tmp_path, meminfo, monkeypatch):
    assert available(tmp_path) == available_memory.physical()
    assert available(system(tmp_path, proc__meminfo=meminfo)) == available_memory.physical()
    monkeypatch.delattr("os.sysconf")
    assert available(tmp_path) is None


words = st.sampled_from(
    [
        *("MemAvailable", "0", "7", "²", "9" * 5000, "max", "kB", "memory", "/", "/..", "a", "\0"),
        *(":", "::", " ", "\n", "\x85", "\ufeff", "-1", "1e3"),
    ]
)
contents = st.lists(words, max_size=12).map("".join)
SYSTEM_FILES = (
    *("proc/meminfo", "proc/self/cgroup", "sys/fs/cgroup/memory.max"),
    *("sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"),
)


@lawful
@given(st.fixed_dictionaries(dict.fromkeys(SYSTEM_FILES, contents)))
def test_any_content_of_system_files_gives_a_size_or_none(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("system")
    free = available(system(root, **{name.replace("/", "__"): t for name, t in files.items()}))
    assert free is None or free >= 0


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory in use is read from /proc"
)
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_resource_limits_apply(limit):
    code = f"""
import resource
from charlm.system.available_memory import available
resource.setrlimit(resource.{limit}, (4 << 30, 4 << 30))
print(available())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(ended.stdout) < 4 << 30
