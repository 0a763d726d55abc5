"""A checkpoint may name any file: only files that can be its corpus are read again."""

import gzip
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.errors import TextError
from charlm.text.config import PLAIN_TEXT
from charlm.text.corpus import Corpus
from charlm.training import checkpoint
from charlm.training.checkpoint import CorpusInfo, load, save
from charlm.training.held_out import read_again
from tests.helpers import trained
from tests.texts import text_of

TEXT = "the cat sat on the mat.\n" * 12
REMEDY = "specify a text"


@pytest.fixture(autouse=True)
def quickly() -> Iterator[None]:
    """What would wait or never end fails instead."""

    def fail(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A directory of texts."""
    folder = tmp_path / "books"
    (folder / "more").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "more/c.txt", "empty.txt"):
        (folder / name).write_text("" if name == "empty.txt" else f"{name}\n{TEXT}")
    return folder


def named(*sources: object, text: str = TEXT, **more: object) -> CorpusInfo:
    """The corpus in a checkpoint that names these files."""
    return replace(CorpusInfo.of(Corpus.of(text)), sources=tuple(map(str, sources)), **more)


def refusal(info: CorpusInfo) -> str:
    with pytest.raises(TextError) as error:
        read_again(info, PLAIN_TEXT, REMEDY)
    assert str(error.value).endswith(f"; {REMEDY}")
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


@pytest.mark.parametrize("field", ["sources", "files"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("books", "trained on the directory"),
        ("books/*.txt", "trained on the files"),
        ("/**", "trained on the files"),
        ("/", "trained on the directory"),
        ("pipe", "not a regular file"),
        ("pipe-link", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("/dev/stdin", "not a regular file"),
        ("/proc/self/environ", "has changed"),
        ("/proc/kmsg", "has changed"),
        ("missing", "cannot read"),
        ("nowhere", "cannot read"),
        ("loop", "cannot read"),
        ("nul\0", "cannot read"),
        ("n" * 300, "cannot read"),
        ("large", "has changed"),
        ("books/empty.txt", "has changed"),
    ],
)
def test_only_regular_files_of_about_that_size_are_read(
    folder, monkeypatch, name, why, field, stdin_is_pipe
):
    monkeypatch.chdir(folder.parent)
    os.mkfifo("pipe")
    Path("pipe-link").symlink_to("pipe")
    Path("nowhere").symlink_to("nothing")
    Path("loop").symlink_to("loop")
    with open("large", "wb") as file:
        file.truncate(1 << 40)  # without content on disk
    if name.startswith("/proc") and not os.path.exists(name):
        pytest.skip("no such file on this system")
    info = named(name) if field == "sources" else named("books", files=(name,))
    assert why in refusal(info)


@pytest.fixture
def stdin_is_pipe() -> Iterator[None]:
    """Standard input is a pipe to which nobody writes."""
    before, (read, write) = os.dup(0), os.pipe()
    os.dup2(read, 0)
    yield
    os.dup2(before, 0)
    for each in (before, read, write):
        os.close(each)


def test_checkpoint_without_files_is_refused():
    assert "unknown" in refusal(named())
    assert "standard input" in refusal(named("-"))


def test_a_name_with_the_characters_of_a_glob_is_a_name(tmp_path):
    for name in ("*.txt", "[a].txt", "a?.txt"):
        (tmp_path / name).write_text(TEXT)
        corpus = read_again(named(tmp_path / name), PLAIN_TEXT, REMEDY)
        assert text_of(corpus.encoded) == TEXT


def test_a_text_that_expands_to_more_than_the_corpus_is_not_read_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"a" * 30_000_000))
    read = 0

    def count(size: int, total: int | None) -> None:
        nonlocal read
        read = size

    info = named(path, text="a" * 8_000)
    with pytest.raises(TextError, match="has changed"):
        read_again(info, PLAIN_TEXT, REMEDY, count)
    assert read < path.stat().st_size / 2


@pytest.mark.parametrize("where", ["books", "books/*.txt", "books/**/*.txt", "books/more"])
def test_directories_and_globs_of_the_user_are_read_again(folder, tmp_path, where, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = Corpus.read(where)
    info = CorpusInfo.of(corpus)
    assert info.sources == (str(tmp_path / where),)
    (folder / "new.txt").write_text("not there then")
    again = read_again(info, PLAIN_TEXT, REMEDY)
    assert again.encoded.sha256 == info.sha256
    assert CorpusInfo.of(again) == info


def test_files_are_listed_once_and_not_if_they_are_too_many(folder, tmp_path, monkeypatch):
    files = [folder / "a.txt", folder / "b.txt"]
    assert CorpusInfo.of(Corpus.read(files)).files == ()
    monkeypatch.setattr(checkpoint, "LISTED", len(str(files[0])))
    info = CorpusInfo.of(Corpus.read(folder))
    assert info.files == ()
    assert "trained on the directory" in refusal(info)


def test_checkpoint_keeps_the_files(folder, tmp_path):
    info = CorpusInfo.of(Corpus.read(folder))
    whole = trained()
    path = tmp_path / "c.npz"
    save(path, replace(whole, training=replace(whole.training, corpus=info)))
    assert load(path).training.corpus == info


def test_file_that_grew_has_changed(folder):
    info = CorpusInfo.of(Corpus.read(folder / "a.txt"))
    with open(folder / "a.txt", "a") as file:
        file.write("x")
    assert "has changed" in refusal(info)
    assert "has changed" in refusal(replace(info, bytes=None))
