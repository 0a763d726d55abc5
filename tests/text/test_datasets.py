"""Corpora by name: complete files or none, one-line errors, the commands."""

import json
import os
import re
import socket
import stat
import sys
from functools import partial
from pathlib import Path

import pytest

from charlm.cli.corpus import app
from charlm.errors import TextError
from charlm.text import datasets
from charlm.text.datasets import Dataset, Download, Local, Saved
from tests.texts import refusal


def local(text: str = "one\ntwo\n") -> Dataset:
    return Dataset("local", "a text", "MIT", Local(lambda: text))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch, error, step):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    expected = TextError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match=r"No space|^$"):
        datasets.get(local(), tmp_path / "text.txt")
    assert not os.listdir(tmp_path)


def test_file_has_default_permissions(tmp_path):
    datasets.get(local(), tmp_path / "text.txt")
    (tmp_path / "other.txt").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_file_with_another_text_is_replaced_only_with_force(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("mine")
    message = refusal(lambda: datasets.get(local(), path))
    assert str(path) in message
    assert "force" in message
    assert path.read_text() == "mine"
    assert datasets.get(local(), path, force=True) == Saved(8, written=True)
    assert path.read_bytes() == b"one\ntwo\n"
    assert os.listdir(tmp_path) == ["text.txt"]


def test_only_regular_files_are_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket")
    for name in ("folder", "socket"):
        message = refusal(partial(datasets.get, local(), Path(name), force=True))
        assert message.startswith(f"{name} is not a regular file")
    assert Path("folder").is_dir()
    assert Path("socket").is_socket()


def test_write_error_names_the_path_and_the_cause(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "text.txt"
    message = refusal(lambda: datasets.get(local(), path))
    assert str(path) in message
    assert "file" in message
    long = tmp_path / ("n" * 300)
    assert "name too long" in refusal(lambda: datasets.get(local(), long)).lower()


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(TextError) as info:
        datasets.find("tiny-shakespear")
    for word in ("tiny-shakespear'", *datasets.DATASETS):
        assert word in str(info.value)


def test_tiny_shakespeare_has_a_url_size_and_hash():
    source = datasets.find("tiny-shakespeare").source
    assert isinstance(source, Download)
    assert source.url.startswith("https://")
    assert source.size == 1_115_394
    assert re.fullmatch("[0-9a-f]{64}", source.sha256)


def test_python_docs_is_half_a_megabyte(tmp_path):
    path = tmp_path / "docs.txt"
    saved = datasets.get(datasets.find("python-docs"), path)
    assert 450_000 < path.stat().st_size < 550_000
    assert saved.characters == len(path.read_text(encoding="utf-8"))
    assert "\n\n\n\n" not in path.read_text(encoding="utf-8")


def test_python_docs_without_pydoc_data_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    assert "pydoc_data" in refusal(
        lambda: datasets.get(datasets.find("python-docs"), tmp_path / "docs.txt")
    )


def test_english_text_of_the_project():
    text = datasets.find("ordinary-things").source.fetch().decode("ascii")
    assert len(text) >= 30_000
    assert_no_sentence_twice(re.split(r"(?<=[.!?])[\"')]*\s+|\n\s*\n", text))


def test_chinese_text_of_the_project():
    text = datasets.find("xunchang-qiwu").source.fetch().decode()
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) >= 8_000
    assert_no_sentence_twice(re.split(r"[。！？\n]+", text))


def assert_no_sentence_twice(parts: list[str]) -> None:
    sentences = [" ".join(part.split()) for part in parts if part.strip()]
    assert len(sentences) > 100
    assert not {sentence for sentence in sentences if sentences.count(sentence) > 1}


def test_bundled_text_is_read_from_the_package_first(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "__file__", str(tmp_path / "charlm" / "text" / "datasets.py"))
    corpus = datasets.find("ordinary-things")
    assert "missing" in refusal(lambda: datasets.get(corpus, tmp_path / "text.txt"))
    for folder in ("corpora", "charlm/_corpora"):
        file = tmp_path / folder / "ordinary-things.txt"
        file.parent.mkdir(parents=True)
        file.write_text(folder)
        assert corpus.source.fetch().decode() == folder


def run(*arguments: object) -> None:
    app([str(argument) for argument in arguments], standalone_mode=False)


def test_command_list_shows_every_corpus_on_stdout(capsys):
    run("list")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(datasets.DATASETS)
    assert len({line.index(datasets.find(line.split()[0]).description) for line in lines}) == 1
    assert not err


def test_command_list_in_json(capsys):
    run("list", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == list(datasets.DATASETS)
    assert all(set(row) == {"name", "license", "description"} for row in rows)


def test_command_get_prints_the_path_alone_and_a_note(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for state in ("written", "unchanged"):
        run("get", "ordinary-things")
        out, err = capsys.readouterr()
        assert out == "ordinary-things.txt\n"
        characters = len(Path("ordinary-things.txt").read_text(encoding="utf-8"))
        note = f"{characters:,} characters, {state}; next: charlm train ordinary-things.txt\n"
        assert err == note


def test_command_get_takes_a_file_or_a_folder(tmp_path, capsys):
    run("get", "ordinary-things", "--out", tmp_path)
    run("get", "ordinary-things", "--out", tmp_path / "a b" / "c.txt")
    out, err = capsys.readouterr()
    paths = [tmp_path / "ordinary-things.txt", tmp_path / "a b" / "c.txt"]
    assert [Path(line) for line in out.splitlines()] == paths
    assert all(path.is_file() for path in paths)
    assert err.endswith(f"charlm train '{paths[1]}'\n")


def test_command_get_replaces_with_force(tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text("mine")
    with pytest.raises(TextError, match="force"):
        run("get", "ordinary-things", "--out", path)
    assert not capsys.readouterr().out
    run("get", "ordinary-things", "--out", path, "--force")
    assert path.stat().st_size > 30_000


def test_command_get_rejects_an_unknown_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TextError, match="unknown corpus 'other'"):
        run("get", "other")
    assert not os.listdir(tmp_path)
