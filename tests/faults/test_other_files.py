"""Damage to files other than checkpoints: the cache of encoded texts, and the history of a run."""

import os
from pathlib import Path
from random import Random

import numpy as np
import pytest

from charlm.errors import RunError
from charlm.text.corpus import Corpus
from charlm.training import history
from charlm.training.summary import Summary
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
def whole(tmp_path_factory) -> bytes:
    """The history of a run."""
    path = tmp_path_factory.mktemp("run")
    run(small_trainer(steps=30), path)
    return (path / "history.jsonl").read_bytes()


@pytest.mark.promise(
    10, "A history that is truncated at any byte is read up to its last complete line"
)
def test_history_cut_off(whole, tmp_path, counted, figure):
    path = tmp_path / "history.jsonl"
    path.write_bytes(whole)
    records = [*history.read(path)]
    lengths = range(0, len(whole) + 1, counted(29, 1))
    for length in lengths:
        path.write_bytes(whole[:length])
        expected = records[: whole[:length].count(b"\n")]
        assert [*history.read(path)] == expected
        assert history.last(path) == (expected[-1] if expected else None)
    figure(f"{len(lengths):,} lengths of a history of {len(whole):,} bytes")


@pytest.mark.promise(10, "Any other damaged history is rejected with one line, or still valid")
def test_damaged_history(whole, tmp_path, counted, figure):
    path, count = tmp_path / "history.jsonl", counted(300, 10_000)
    refusals: list[str] = []
    for k in range(count):
        path.write_bytes(damaged(whole, Random(k)))
        try:
            history.rewind(path, 20, 0, Summary()).train.means(40)
            assert all(record["step"] <= 20 for record in history.read(path)), k
        except RunError as error:
            refusals.append(str(error))
    assert all(refusal.startswith(f"{path} is damaged in line ") for refusal in refusals)
    assert all(len(refusal.splitlines()) == 1 for refusal in refusals)
    figure(f"{count:,} damaged histories: {len(refusals):,} rejected, the others read")
