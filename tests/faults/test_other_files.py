"""Damage to files other than checkpoints: the cache of encoded texts, and the history of a run."""

import os
from pathlib import Path
from random import Random

import numpy as np
import pytest

from charlm.errors import RunError
from charlm.text.corpus import Corpus
from charlm.training.run_directory import RunDirectory
from tests.helpers import run, small_trainer

TEXT = "Ein Zähler zählt, was war; was er zählt, ist 灯.\n" * 400
LONG_AGO = 10**18  # nanoseconds; any later change is visible


def damaged(data: bytes, random: Random) -> bytes:
    """The bytes with one bit flipped, a part zeroed or duplicated, or truncated."""
    at = random.randrange(len(data))
    size = random.randrange(1, 1 + min(64, len(data) - at))
    part = data[at : at + size]
    return random.choice(
        [
            data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :],
            data[:at] + bytes(size) + data[at + size :],
            data[:at] + part + data[at:],
            data[:at],
        ]
    )


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    """A text that is encoded in its own cache."""
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    Corpus.read(path)
    return path


@pytest.mark.promise(
    10, "An encoded corpus with any damage is encoded again, and never read as a different text"
)
def test_damaged_cache_is_made_again(source, counted, figure):
    assert Corpus.read(source).found
    kept = {path: path.read_bytes() for path in (source.parent / "cache").iterdir()}
    assert sorted(path.suffix for path in kept) == [".ids", ".json", ".npz"]
    ids = Corpus.read(source).encoded.ids[:].copy()
    count, again = counted(100, 3_000), 0
    for k in range(count):
        random = Random(k)
        path = random.choice(list(kept))
        path.write_bytes(damaged(kept[path], random))
        corpus = Corpus.read(source)
        np.testing.assert_array_equal(corpus.encoded.ids[:], ids, err_msg=f"{k}, {path.suffix}")
        again += not corpus.found
        assert Corpus.read(source).found, f"{k}, {path.suffix}: not encoded again"
        for each, data in kept.items():
            each.write_bytes(data)
    figure(f"{count:,} damaged files: {again:,} encoded again, the others read as written")


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> bytes:
    """The history of a run."""
    path = tmp_path_factory.mktemp("run")
    run(small_trainer(steps=30), path)
    return (path / "history.jsonl").read_bytes()


@pytest.mark.promise(
    10, "A history that is truncated at any byte is read up to its last complete line"
)
def test_history_cut_off(history, tmp_path, counted, figure):
    directory = RunDirectory(tmp_path)
    directory.history.write_bytes(history)
    records = directory.read_history()
    lengths = range(0, len(history) + 1, counted(29, 1))
    for length in lengths:
        directory.history.write_bytes(history[:length])
        assert directory.read_history() == records[: history[:length].count(b"\n")]
    figure(f"{len(lengths):,} lengths of a history of {len(history):,} bytes")


@pytest.mark.promise(10, "Any other damaged history is rejected with one line, or still valid")
def test_damaged_history(history, tmp_path, counted, figure):
    directory, count = RunDirectory(tmp_path), counted(300, 10_000)
    refusals: list[str] = []
    for k in range(count):
        directory.history.write_bytes(damaged(history, Random(k)))
        try:
            directory.rewind_history(20)
            assert all(record["step"] <= 20 for record in directory.read_history()), k
        except RunError as error:
            refusals.append(str(error))
    assert all(refusal.startswith(str(directory.history)) for refusal in refusals)
    assert all(len(refusal.splitlines()) == 1 for refusal in refusals)
    figure(f"{count:,} damaged histories: {len(refusals):,} rejected, the others read")
