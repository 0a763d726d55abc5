"""Bits of compressors, given a training text."""

import bz2
import gzip
import lzma
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from charlm.baselines import compressors
from charlm.baselines.compressors import Compressed, as_bytes
from charlm.text.splits import Texts
from charlm.text.vocabulary import Vocabulary

RNG = np.random.default_rng(0)
TRAIN = bytes(RNG.integers(97, 105, size=20_000, dtype=np.uint8))
NEW = bytes(RNG.integers(97, 105, size=4_000, dtype=np.uint8))
WHOLE = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("name", WHOLE)
def test_bits_are_the_difference_of_two_files(name):
    compress = WHOLE[name]
    expected = 8 * (len(compress(TRAIN + NEW)) - len(compress(TRAIN)))
    assert Compressed(TRAIN).bits(NEW)[name] == expected > 0


@pytest.mark.parametrize("name", ["gzip", "xz"])
def test_a_text_that_was_seen_needs_hardly_any_bits(name):
    compressed = Compressed(TRAIN)
    assert compressed.bits(TRAIN[-4_000:])[name] < compressed.bits(NEW)[name] / 20


def test_random_symbols_need_their_entropy():
    bits = Compressed(TRAIN).bits(NEW)["bz2"]
    assert bits / len(NEW) == pytest.approx(3, rel=0.1)  # of eight equally likely letters


def test_texts_follow_each_other_and_documents_end():
    vocabulary = Vocabulary.of("aé猫\n")
    ids = vocabulary.encode("aé猫a")[0]
    texts = Texts.of(ids, np.array([1, 4]))
    assert as_bytes(texts, vocabulary.points).decode() == "aé猫a"
    points = np.append(vocabulary.points, np.uint32(0))
    documents = Texts.of(ids, np.array([1, 1, 4]), len(vocabulary))
    assert as_bytes(documents, points).decode() == "a\0\0é猫a\0"


def test_a_lone_surrogate_can_be_compressed():
    vocabulary = Vocabulary.of("a\ud800")
    texts = Texts.of(np.array([0, 1], np.uint8), np.array([2]))
    assert Compressed(b"a").bits(as_bytes(texts, vocabulary.points))["xz"] >= 0


class Halving:
    """A compressor in place of Zstandard, which not every Python has."""

    def __init__(self, level: int) -> None:
        self.level = level

    def compressobj(self) -> "Halving":
        return self

    def compress(self, data: bytes) -> bytes:
        return data[::2]

    def flush(self) -> bytes:
        return b"end"


@pytest.mark.parametrize("module", ["compression.zstd", "zstandard"])
def test_zstandard_is_used_where_it_is_installed(monkeypatch, module):
    for name in ("compression", "compression.zstd", "zstandard"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "zstd" not in compressors.compressors()
    for name in {module.partition(".")[0], module}:
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(ZstdCompressor=Halving, __path__=[]))
    assert Compressed(bytes(10)).bits(bytes(100))["zstd"] == 8 * 50
