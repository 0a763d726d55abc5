"""Damaged checkpoints are rejected, or read with exactly the content that was written."""

import io
import json
import os
import pickle
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.errors import CheckpointError, printable
from charlm.nn.optimizers import OPTIMIZERS
from charlm.system import npz
from charlm.training.checkpoint import Checkpoint, load, save
from tests.faults.hostile import Arrays, arrays_of, digest, file_of, meta_of
from tests.faults.hostile_bytes import harmless
from tests.faults.rawzip import Member, member, members, zipped
from tests.helpers import bits, trained

HANGS = 60  # seconds after which a read counts as hanging


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.npz"
    save(path, trained())
    return path


@pytest.fixture(scope="module")
def arrays(good) -> Arrays:
    return arrays_of(good)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "c.npz"


def read(path: Path) -> Checkpoint | None:
    """The checkpoint, or None if it is rejected with one line that names the file."""
    try:
        return load(path)
    except CheckpointError as error:
        message = str(error).replace(printable(str(path)), "PATH")
        assert "PATH" in message
        assert message.isprintable()
        return None


@contextmanager
def tried(what: str) -> Iterator[None]:
    """Add a description of the case to errors."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


def is_refused(path: Path, data: bytes, *contents: dict) -> bool:
    """Whether a file of these bytes is rejected; otherwise it must have one of these contents."""
    path.write_bytes(data)
    checkpoint = read(path)
    assert checkpoint is None or bits(checkpoint) in contents
    return checkpoint is None


def test_checksum_covers_names_types_shapes_and_bytes(arrays):
    content = {name: array for name, array in arrays.items() if name != "sha256"}
    assert digest(content) == npz.digest(content) == arrays["sha256"].item()
    others = [
        {name: np.asarray(array)[None] for name, array in content.items()},
        {name: array for name, array in content.items() if name != "state/0"},
        content | {"state/0": content["state/1"], "state/1": content["state/0"]},
        content | {"state/0": content["state/0"].view(np.uint32)},
        content | {"state/0": -content["state/0"]},
        content | {"state/0": content["state/0"].T},
    ]
    seals = [npz.digest(other) for other in [content, *others]]
    assert len(set(seals)) == len(seals)
    assert seals[1:] == [digest(other) for other in others]


@pytest.mark.promise(6, "A checkpoint that is truncated at any byte is rejected")
def test_file_cut_off_is_refused(good, path, counted, figure):
    data = good.read_bytes()
    cuts = range(0, len(data), counted(97, 1))
    assert [cut for cut in cuts if not is_refused(path, data[:cut])] == []
    figure(f"{len(cuts):,} truncations of a file of {len(data):,} bytes")


@pytest.mark.promise(6, "A flipped bit is detected, or changes no content")
def test_flipped_bit_changes_no_content(good, path, counted, figure):
    data, content = good.read_bytes(), bits(load(good))
    flips = np.random.default_rng(6).choice(8 * len(data), counted(200, 30_000), replace=False)
    refused = 0
    for place in flips.tolist():
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        with tried(f"bit {place}"):
            refused += is_refused(path, damaged, content)
    assert refused > len(flips) // 2
    figure(f"{len(flips):,} bits flipped: {refused:,} files rejected, the others read as written")


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with a random part lost, moved, replaced, or mixed with those of another file."""
    i, j, k = (int(place) for place in np.sort(rng.integers(len(data) + 1, size=3)))
    some = rng.bytes(int(rng.integers(1, 20)))
    ways = (
        data[:i] + some + data[i:],
        data[:i] + some + data[i + len(some) :],
        data[:i] + data[j:],
        data[:j] + data[i:],
        data[:i] + bytes(j - i) + data[j:],
        data[:i] + data[j:k] + data[i:j] + data[k:],
        data[:i] + other[i:],
        data[:i] + other[j:],
        data[:i] + other[i:j] + data[j:],
        data[:i] + other + data[i:],
    )
    return ways[int(rng.integers(len(ways)))]


def mixed(one: Arrays, other: Arrays, rng: np.random.Generator) -> bytes:
    """Arrays of two files in one archive, with correct zip checksums."""
    return zipped(members({name: (one, other)[int(rng.integers(2))][name] for name in one}))


@pytest.mark.promise(6, "A file that is changed at random is rejected, or has its original content")
def test_changed_file_has_no_other_content(good, path, counted, figure):
    save(path, trained(random_seed=1))
    files = [good.read_bytes(), path.read_bytes()]
    arrays = [arrays_of(good), arrays_of(path)]
    contents = [bits(load(good)), bits(load(path))]
    assert contents[0] != contents[1]
    count, refused = counted(200, 10_000), 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        order = 1 if seed % 2 else -1
        changed = mutated(*files[::order], rng) if seed % 10 else mixed(*arrays, rng)
        with tried(f"seed {seed}"):
            refused += is_refused(path, changed, *contents)
    assert refused > count // 2
    figure(f"{count:,} files: {refused:,} rejected, the others read as written")


def numbers_of(checkpoint: Checkpoint) -> Arrays:
    """The arrays of a checkpoint by their names in a file."""
    training = checkpoint.training
    assert training
    names = OPTIMIZERS[training.config.optimizer][1]
    return (
        {"vocabulary": checkpoint.vocabulary.points}
        | {f"params/{name}": array for name, array in checkpoint.params.items()}
        | {f"optimizer/{name}": v for name, v in zip(names, training.moments, strict=True)}
        | {f"state/{k}": part for k, part in enumerate(training.carried)}
    )


def json_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """The expected `meta` of a checkpoint."""
    training = checkpoint.training
    assert training
    return {
        "model": asdict(checkpoint.config),
        "has_unk": checkpoint.vocabulary.unk_id is not None,
        "train": asdict(training.config),
        "progress": asdict(training.progress),
        "corpus": asdict(training.corpus),
        "environment": dict(training.environment),
    }


@pytest.mark.promise(
    6,
    "A file that is changed together with its checksum is rejected, or read as its content states",
)
def test_other_content_is_read_as_it_says(arrays, path, counted, figure):
    count, accepted = counted(200, 10_000), 0
    names = [name for name in arrays if name != "sha256"]
    for seed in range(count):
        rng = np.random.default_rng(seed)
        name = names[seed % len(names)]
        changed = {**arrays, name: flipped(arrays[name], rng)}
        path.write_bytes(file_of(changed))
        with tried(f"seed {seed}"):
            checkpoint = read(path)
            if checkpoint:
                assert_says(checkpoint, changed)
                accepted += 1
    assert 0 < accepted < count
    figure(f"{count:,} files: {count - accepted:,} rejected, {accepted:,} read as they state")


def flipped(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An array with one flipped bit; in text, one of the lowest seven of a character."""
    data = bytearray(array.tobytes())
    is_text = array.dtype.kind == "U"
    place = int(rng.integers(len(data) // 4)) * 4 if is_text else int(rng.integers(len(data)))
    data[place] ^= 1 << int(rng.integers(7 if is_text else 8))
    return np.frombuffer(bytes(data), array.dtype).reshape(array.shape)


def assert_says(checkpoint: Checkpoint, arrays: Arrays) -> None:
    for name, array in numbers_of(checkpoint).items():
        assert array.dtype == arrays[name].dtype
        assert array.tobytes() == arrays[name].tobytes()
    said, found = meta_of(arrays), json_of(checkpoint)
    assert {key: json.dumps(value) for key, value in found.items()} == {
        key: json.dumps(said[key]) for key in found
    }


def test_what_says_nothing_of_the_content_changes_none(good, arrays, path):
    content, files = bits(load(good)), harmless(arrays)
    refused = [kind for kind, data in files.items() if is_refused(path, data, content)]
    assert "nothing else" not in refused


class Trap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def with_pickles(arrays: Arrays, trap: Trap) -> Iterator[bytes]:
    """Files that create a folder if any part of them is unpickled or run as Python."""
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    yield from (pickle.dumps(trap, protocol) for protocol in protocols)
    pickled = pickle.dumps(trap)
    code = f"__import__('os').mkdir({str(trap.path)!r})".encode()
    file = io.BytesIO()
    np.save(file, np.array(trap, object), allow_pickle=True)
    yield file.getvalue()
    whole = members(arrays)
    yield zipped(whole, pickled)
    yield pickled + zipped(whole)
    yield from (zipped([*whole, Member(name, pickled)]) for name in (b"x.pkl", b"x.npy", b"x"))
    for place, each in enumerate(whole):
        name = each.name.decode().removesuffix(".npy")
        hidden = [
            replaced_data(each, file.getvalue()),
            replaced_data(each, pickled),
            member(name, arrays[name], descr="'|O'", data=pickled),
            member(name, arrays[name], descr="[('a', '|O')]", data=pickled),
            member(name, arrays[name], data=pickled),
            member(name, arrays[name], header=code),
            member(name, arrays[name], descr=code.decode()),
        ]
        yield from (zipped([*whole[:place], trapped, *whole[place + 1 :]]) for trapped in hidden)


def replaced_data(whole: Member, data: bytes) -> Member:
    return Member(whole.name, data)


@pytest.mark.promise(6, "Reading a file runs no code from it")
def test_nothing_in_a_file_is_run(good, arrays, path, figure):
    content, trap, count = bits(load(good)), Trap(path.parent / "sprung"), 0
    for data in with_pickles(arrays, trap):
        is_refused(path, data, content)
        assert os.listdir(path.parent) == [path.name]
        count += 1
    pickle.loads(pickle.dumps(trap))
    assert trap.path.is_dir()  # the trap works
    figure(f"{count} files with a pickle or with code: none was run")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_what_is_no_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("reading hangs"))
    signal.alarm(HANGS)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "file").write_bytes(b"")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        names = [*os.listdir(tmp_path), "file/c.npz", "n" * 300, "nul\0.npz", "missing"]
        assert len(names) == 11
        assert [name for name in names if read(tmp_path / name)] == []
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
