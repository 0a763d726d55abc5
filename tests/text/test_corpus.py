"""Reading a corpus from files, and splitting it without losing a character."""

import hashlib
import io
import os
import sys
import tracemalloc
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charlm.errors import ConfigError, TextError
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.corpus import Corpus
from charlm.text.vocabulary import UNK, Vocabulary
from tests.helpers import lawful
from tests.texts import CHARACTERS, old_file, refusal, text_of

ALPHABET = st.sampled_from("aaaaaabbbbcc\n灯\ufffd")


def test_corpus_has_its_files_one_after_the_other(tmp_path):
    first, second = tmp_path / "first one.txt", tmp_path / "second.txt"
    first.write_bytes("\ufeffone\r\n".encode())
    second.write_bytes("\ufeffzwölf".encode())
    corpus = Corpus.read([first, str(second)])
    assert text_of(corpus.encoded) == "one\r\nzwölf\n"
    assert corpus.encoded.ends.tolist() == [5, 11]
    assert corpus.sources == (str(first), str(second))
    joined = Corpus.read([first, str(second)], TextConfig(joined=True))
    assert text_of(joined.encoded) == "one\r\nzwölf"
    assert joined.encoded.ends.tolist() == [10]
    assert joined.encoded.sha256 == hashlib.sha256("one\r\nzwölf".encode()).hexdigest()
    assert corpus.name == "first-one"
    with pytest.raises(TextError, match="missing"):
        Corpus.read([first, tmp_path / "missing"])


def test_sources_are_stored_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "books").mkdir()
    for name in ("b", "a"):
        (tmp_path / "books" / f"{name}.txt").write_text(name)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"-")))
    corpus = Corpus.read(["books/*.txt", "-", "books"])
    assert text_of(corpus.encoded) == "a\nb\n-\na\nb\n"
    assert corpus.sources == (str(tmp_path / "books/*.txt"), "-", str(tmp_path / "books"))


def test_note_for_each_dropped_byte_order_mark(tmp_path):
    for name, text in {"a": "\ufeffone", "b": "two", "c": "\ufeffthree"}.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    notes: list[str] = []
    assert text_of(Corpus.read([tmp_path], say=notes.append).encoded) == "one\ntwo\nthree\n"
    assert notes == [
        *(f"{tmp_path}/{name}.txt: ignoring the byte-order mark" for name in "ac"),
        "files without a newline at the end, which got one: 3",
    ]


@pytest.mark.parametrize(
    ("texts", "note"),
    [
        (["a%%b", "c%%"], None),
        (["a%%b", "", "c"], "1 of 3"),
        (["a\n\nb\n"], "1 of 1"),
    ],
)
def test_note_on_files_without_the_separator(tmp_path, texts, note):
    files = [old_file(tmp_path / f"{n}.txt", text) for n, text in enumerate(texts)]
    for _ in range(2):  # the second time from the cache
        notes: list[str] = []
        Corpus.read(files, TextConfig(separator="%%"), say=notes.append)
        said = f"files without the separator '%%', each read as one document: {note}"
        assert notes == [said] * bool(note)


def test_line_endings_do_not_merge_across_files(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r")
    (tmp_path / "b.txt").write_bytes(b"\ntwo\r\n")
    assert text_of(Corpus.read([tmp_path], TextConfig(newlines="lf")).encoded) == "one\n\ntwo\n"
    with pytest.raises(ConfigError, match="keep, lf"):
        TextConfig(newlines="crlf")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a b.txt", "a-b"),
        ("灯.txt.gz", "灯"),
        ("x/*.txt", "x"),
        ("*.txt", "text"),
        ("-a-.txt", "a"),
        ("books/", "books"),
        ("-", "stdin"),
    ],
)
def test_name_comes_from_the_first_source(source, name):
    corpus = Corpus(Corpus.of("ab").encoded, (source, "other"))
    assert corpus.name == name
    assert Corpus.of("ab").name == "text"


def test_file_with_the_characters_of_a_glob_gives_its_name(tmp_path):
    path = tmp_path / "a[1].txt"
    path.write_text("ab")
    assert Corpus.read(path).name == "a-1"


def test_text_in_memory_is_not_cached():
    corpus = Corpus.of("ab")
    assert (corpus.path, corpus.found, corpus.sources) == (None, False, ())


def test_empty_corpus_is_rejected(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert str(empty) in refusal(lambda: Corpus.read([empty, empty]))
    assert "empty" in refusal(lambda: Corpus.of(""))


@pytest.mark.parametrize("kind", [{"lines": True}, {"separator": "%%"}, {"files": True}])
def test_corpus_of_empty_documents_is_rejected_as_such(tmp_path, kind):
    path = old_file(tmp_path / "blank.txt", kind.get("separator", "") + "\n\n")
    config = TextConfig(**kind)
    assert refusal(lambda: Corpus.read(path, config)) == f"{path}: all documents are empty"
    for text in (path.read_text(), ["", ""]):
        assert refusal(lambda text=text: Corpus.of(text, config)) == "all documents are empty"
    assert refusal(lambda: Corpus.of(["", ""])) == "all documents are empty"


def test_progress_reaches_the_size_of_all_files_unless_cached(tmp_path, monkeypatch):
    monkeypatch.setattr("charlm.text.text_files.BLOCK", 10)
    files = [old_file(tmp_path / f"{n}.txt", "é" * 20 + str(n)) for n in range(3)]
    seen: list[tuple[int, int | None]] = []
    Corpus.read(files, progress=lambda *done: seen.append(done))
    assert seen[-1] == (123, 123)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 10
    seen.clear()
    assert Corpus.read(files, progress=lambda *done: seen.append(done)).found
    assert seen == []


def test_progress_of_standard_input_has_no_total(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text")))
    seen: list[tuple[int, int | None]] = []
    corpus = Corpus.read([Path("-")], progress=lambda *done: seen.append(done))
    assert corpus.sources == ("-",)
    assert seen == [(4, None)]
    assert not corpus.found


# Characters


@lawful
@given(st.text(ALPHABET, min_size=1, max_size=40), st.integers(1, 9))
def test_vocabulary_has_the_frequent_characters(text, min_count):
    corpus, counts = Corpus.of(text), Counter(text)
    rare = {c for c, n in counts.items() if n < min_count}
    assert corpus.rare_characters(min_count) == sum(counts[c] for c in rare)
    if rare and set(counts) - rare <= {UNK}:
        with pytest.raises(TextError, match="`min_count`"):
            corpus.vocabulary(min_count)
        return
    vocabulary = corpus.vocabulary(min_count)
    assert set(vocabulary.characters) == (set(counts) - rare) | ({UNK} if rare else set())
    assert (vocabulary.unk_id is not None) == bool(rare)


# The validation split


@lawful
@given(st.text(CHARACTERS, min_size=1, max_size=300), st.floats(0.001, 0.999))
def test_split_holds_out_the_end_or_fails(text, fraction):
    text += "\n"  # no path
    corpus = Corpus.of(text)
    vocabulary = Vocabulary.of(text)
    shorter = min(fraction, 1 - fraction) * len(text)
    assume(abs(shorter - 1.5) > 1e-6)  # a tie may round either way
    if shorter < 1.5:
        with pytest.raises(TextError, match=f"the corpus has {len(text):,} characters"):
            corpus.split(vocabulary, fraction)
        return
    train, held_out = corpus.split(vocabulary, fraction)
    assert min(train.characters, held_out.characters) >= 2
    parts = [each.end_to_end()[:] for each in (train, held_out)]
    assert vocabulary.decode(np.concatenate(parts)) == text
    assert abs(held_out.characters - fraction * len(text)) <= 0.5 + 0.1 * fraction * len(text)
    assert "".join(chain.from_iterable(corpus.held_out(fraction))) == text[train.characters :]


@lawful
@given(st.text(ALPHABET, min_size=8, max_size=60), st.integers(1, 4))
def test_split_uses_the_ids_of_the_vocabulary(text, min_count):
    text = "aaaa" + text
    corpus = Corpus.of(text)
    vocabulary = corpus.vocabulary(min_count)
    parts = corpus.split(vocabulary, 0.5)
    expected, _ = vocabulary.encode(text)
    parts = [part.end_to_end() for part in parts]
    assert np.concatenate([part[:] for part in parts]).tolist() == expected.tolist()
    assert {part.dtype for part in parts} == {expected.dtype}


@pytest.mark.parametrize("rare", ["!", "#b", "~", "ř\n"])
@pytest.mark.parametrize("config", [PLAIN_TEXT, TextConfig(lines=True)])
def test_what_is_held_out_does_not_depend_on_the_vocabulary(rare, config):
    """A smaller vocabulary has other ids, and can lack the newline."""
    separator = "\n" if config.lines else " "
    text = separator.join([*map(str, range(300, 632)), rare, *map(str, range(32, 80))])
    corpus = Corpus.of(text + separator, config)
    for seed in range(3):
        one, other = (corpus.split(corpus.vocabulary(n), 0.1, seed) for n in (1, 3))
        for part, same in zip(one, other, strict=True):
            assert part.starts.tolist() == same.starts.tolist()
            assert part.stops.tolist() == same.stops.tolist()
        starts, stops = one[1].starts.tolist(), one[1].stops.tolist()
        characters = corpus.vocabulary().decode(one[1].ids[:])
        assert ["".join(text) for text in corpus.held_out(0.1, seed)] == [
            characters[start:stop] for start, stop in zip(starts, stops, strict=True)
        ]


def test_vocabulary_of_another_corpus_is_refused():
    with pytest.raises(ConfigError, match=r"^vocabulary must be that of the corpus"):
        Corpus.of("some text").split(Vocabulary.of("other"))


@pytest.mark.parametrize("text", ["a", "ab", "abc", "ab" * 7])
def test_text_that_is_too_short_to_split_is_rejected(text):
    with pytest.raises(TextError, match=f"the corpus has {len(text)} characters"):
        Corpus.of(text).split(Vocabulary.of(text), 0.1)


def test_default_validation_split_is_a_tenth_up_to_a_maximum(monkeypatch):
    corpus = Corpus.of("abcdefghij" * 30)
    assert len("".join(chain.from_iterable(corpus.held_out()))) == 30
    monkeypatch.setattr("charlm.text.splits.MOST_HELD_OUT", 20)
    monkeypatch.setattr("charlm.text.corpus.PIECE", 6)
    assert [len(piece) for text in corpus.held_out() for piece in text] == [6, 6, 6, 2]
    assert [part.characters for part in corpus.split(corpus.vocabulary())] == [280, 20]
    assert len("".join(chain.from_iterable(corpus.held_out(0.1)))) == 30


# Memory


def test_memory_is_independent_of_file_size(tmp_path):
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        for _ in range(60):
            file.write(b"a text that is long\n" * 50_000)
    tracemalloc.start()
    try:
        corpus = Corpus.read([path])
        streams = corpus.split(corpus.vocabulary(), 0.5)
        for part in streams:
            part.end_to_end()[part.characters - 10 :]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25e6 < os.path.getsize(path) / 2


def test_single_path_equals_a_list_of_one(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a text")
    assert len({Corpus.read(each).encoded.sha256 for each in (path, str(path), [path])}) == 1
