"""With any settings, a text from the cache is the one that the files have with these settings."""

from dataclasses import fields
from itertools import product
from pathlib import Path
from unicodedata import unidata_version

import pytest

from charlm.errors import TextError
from charlm.text import corpus_cache
from charlm.text.config import DECODING_ERRORS, NEWLINES, NORMALIZATIONS, PLAIN_TEXT, TextConfig
from charlm.text.corpus import Corpus
from tests.texts import old_file, text_of

# Each setting changes this: a byte-order mark, composed and decomposed letters, a ligature, line
# endings of all kinds, and an invalid byte.
DATA = "\ufeffcafé cafe\u0301 \ufb01n\r\none\rtwo\n".encode() + b"\x9d!\n"

CHOICES = {
    "encoding": ("utf-8", "latin-1", "cp1252", "utf-16-le"),
    "errors": DECODING_ERRORS,
    "newlines": NEWLINES,
    "normalize": NORMALIZATIONS,
}
DOCUMENT_SETTINGS = {
    "lines": True,
    "separator": "n",
    "column": "1",
    "field": "t",
    "files": True,
    "joined": True,
}
CONFIGS = [
    *(
        TextConfig(**dict(zip(CHOICES, values, strict=True)))
        for values in product(*CHOICES.values())
    ),
    *(TextConfig(encoding="latin-1", **{name: value}) for name, value in DOCUMENT_SETTINGS.items()),
]


def test_all_settings_are_tried():
    assert CHOICES.keys() | DOCUMENT_SETTINGS.keys() == {field.name for field in fields(TextConfig)}


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    return old_file(tmp_path / "text.txt", DATA)


def outcome(source: Path, config: TextConfig) -> tuple[object, bool]:
    """The text and the notes of reading it, or the error; and whether it was in the cache."""
    notes: list[str] = []
    try:
        corpus = Corpus.read(source, config, say=notes.append)
    except TextError as error:
        return str(error), True
    return (text_of(corpus.encoded), corpus.encoded.ends.tolist(), notes), corpus.found


def test_a_warm_cache_gives_what_a_cold_one_does(source, tmp_path, monkeypatch):
    cold = []
    for number, config in enumerate(CONFIGS):
        with monkeypatch.context() as patch:
            patch.setenv("CHARLM_CACHE", str(tmp_path / str(number)))
            cold.append(outcome(source, config)[0])
    assert len({str(each) for each in cold}) > len(CONFIGS) / 3  # the settings make a difference
    warm = [outcome(source, config)[0] for config in CONFIGS]  # those before it are in the cache
    assert warm == cold
    again = [outcome(source, config) for config in CONFIGS]  # all others are in the cache
    assert again == [(each, True) for each in cold]


def test_notes_are_told_again(source):
    config = TextConfig(errors="replace")
    (*_, notes), found = outcome(source, config)
    assert not found
    assert len(notes) == 2  # of the byte-order mark and of the invalid byte
    assert outcome(source, config) == (outcome(source, config)[0], True)
    assert outcome(source, config)[0][-1] == notes


def test_normalization_by_other_tables_of_unicode_is_not_found(tmp_path, source, monkeypatch):
    old_file(source, "café")
    assert unidata_version != "1.0"
    for config, is_found in ((TextConfig(normalize="NFC"), False), (PLAIN_TEXT, True)):
        outcome(source, config)
        assert outcome(source, config)[1]
        with monkeypatch.context() as patch:
            patch.setattr(corpus_cache, "unidata_version", "1.0")
            assert outcome(source, config)[1] == is_found
