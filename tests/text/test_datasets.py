"""Corpora by name: complete files or none, and one-line errors."""

import hashlib
import io
import json
import os
import re
import socket
import stat
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tqdm import tqdm

from charlm.cli.corpus import app
from charlm.errors import TextError
from charlm.text import datasets
from charlm.text.datasets import Dataset, Download, Local, Saved

TEXT = "Ein Übel kommt selten allein.\n" * 10_000
DATA = TEXT.encode()


def local(text: str = "one\ntwo\n") -> Dataset:
    return Dataset("local", "a text", "MIT", Local(lambda: text))


def remote(url: str) -> Dataset:
    return Dataset("remote", "a text", "MIT", Download(url, len(DATA), digest(DATA)))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def refusal(corpus: Dataset, path: Path, **options) -> str:
    """The message of the TextError that `get` raises; it must be one line."""
    with pytest.raises(TextError) as info:
        datasets.get(corpus, path, **options)
    message = str(info.value)
    assert len(message.splitlines()) == 1
    return message


class Handler(BaseHTTPRequestHandler):
    """A server with a different response for each path."""

    closing = threading.Event()

    def do_GET(self) -> None:
        with suppress(OSError):  # the client may close the connection first
            getattr(self, self.path.removeprefix("/"), self.missing)()

    def send(self, data: bytes, announced: int | None = None) -> None:
        self.send_response(200)
        if announced is not None:
            self.send_header("Content-Length", str(announced))
        self.end_headers()
        self.wfile.write(data)

    def good(self) -> None:
        self.send(DATA, len(DATA))

    def unannounced(self) -> None:
        self.send(DATA)

    def other(self) -> None:
        self.send(DATA.upper(), len(DATA))

    def short(self) -> None:
        self.send(b"Please log in.", 14)

    def endless(self) -> None:
        self.send(b"")
        while not self.closing.is_set():
            self.wfile.write(DATA)

    def cut(self) -> None:
        self.send(DATA[:100_000], len(DATA))

    def stalled(self) -> None:
        self.send(DATA[:100], len(DATA))
        self.closing.wait()

    def dripping(self) -> None:
        self.send(b"", len(DATA))
        while not self.closing.wait(0.01):
            self.wfile.write(b"a")

    def dripping_headers(self) -> None:
        self.wfile.write(b"HTTP/1.0 200 OK\r\nServer: ")
        while not self.closing.wait(0.01):
            self.wfile.write(b"a")

    def garbage(self) -> None:
        self.wfile.write(b"SSH-2.0\r\n")

    def circle(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.path)
        self.end_headers()

    def missing(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    """The URL of a local server."""
    Handler.closing.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        Handler.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    """Disable proxies."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("way", ["good", "unannounced"])
def test_download_writes_the_text(server, tmp_path, way):
    steps = []
    path = tmp_path / "new" / "folder" / "text.txt"
    saved = datasets.get(remote(f"{server}/{way}"), path, progress=lambda *step: steps.append(step))
    assert saved == Saved(len(TEXT), written=True)
    assert path.read_bytes() == DATA
    assert os.listdir(path.parent) == ["text.txt"]
    done, announced = zip(*steps, strict=True)
    assert list(done) == sorted(set(done))
    assert done[-1] == len(DATA)
    assert set(announced) == {len(DATA) if way == "good" else None}


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("other", f"unexpected content, with SHA-256 {digest(DATA.upper())}"),
        ("short", "unexpected content"),
        ("endless", "unexpected content"),
        ("cut", "stopped after 100,000 of 310,000 bytes"),
        ("stalled", "timed out"),
        ("garbage", "SSH-2.0"),
        ("circle", "server returned status 302"),
        ("nowhere", "server returned status 404"),
    ],
)
def test_failed_download_leaves_nothing(server, tmp_path, monkeypatch, way, reason):
    if way == "stalled":
        monkeypatch.setattr(datasets, "READ_TIMEOUT", 0.1)
    message = refusal(remote(f"{server}/{way}"), tmp_path / "folder" / "text.txt")
    assert f"{server}/{way}" in message
    assert reason in message
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("way", ["dripping", "dripping_headers", "stalled"])
def test_download_has_a_limit_in_total_time(server, tmp_path, monkeypatch, way):
    monkeypatch.setattr(datasets, "TOTAL_TIME", 0.3)
    message = refusal(remote(f"{server}/{way}"), tmp_path / "text.txt")
    assert message.startswith(f"the download of {server}/{way} took more than 0.3 s, for ")
    assert not os.listdir(tmp_path)


def test_endless_download_is_stopped_at_the_size_of_the_text(server, tmp_path):
    arrived = []
    path = tmp_path / "text.txt"
    refusal(remote(f"{server}/endless"), path, progress=lambda done, _: arrived.append(done))
    assert len(DATA) < arrived[-1] <= len(DATA) + datasets.CHUNK


def test_download_without_a_server_leaves_nothing(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/good"
        message = refusal(remote(url), tmp_path / "text.txt")
    assert url in message
    assert "refused" in message
    assert not os.listdir(tmp_path)


def test_failed_download_keeps_the_existing_file(server, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("mine")
    refusal(remote(f"{server}/cut"), path, force=True)
    assert path.read_text() == "mine"


def test_interrupted_download_leaves_nothing(server, tmp_path):
    def interrupt(done: int, announced: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.get(remote(f"{server}/good"), tmp_path / "text.txt", progress=interrupt)
    assert not os.listdir(tmp_path)


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


def test_file_with_the_same_text_is_not_downloaded_again(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(DATA)
    before = path.stat()
    for force in (False, True):
        saved = datasets.get(remote("http://127.0.0.1:9/unused"), path, force=force)
        assert saved == Saved(len(TEXT), written=False)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_file_with_another_text_is_replaced_only_with_force(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("mine")
    message = refusal(local(), path)
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
        message = refusal(local(), Path(name), force=True)
        assert message.startswith(f"{name} is not a regular file")
    assert Path("folder").is_dir()
    assert Path("socket").is_socket()


def test_write_error_names_the_path_and_the_cause(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "text.txt"
    message = refusal(local(), path)
    assert str(path) in message
    assert "file" in message
    long = tmp_path / ("n" * 300)
    assert "name too long" in refusal(local(), long).lower()


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
    assert "pydoc_data" in refusal(datasets.find("python-docs"), tmp_path / "docs.txt")


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
    assert "missing" in refusal(corpus, tmp_path / "text.txt")
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


def test_command_get_shows_a_progress_bar_on_a_terminal_only(server, tmp_path, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    class Eager(tqdm):
        def __init__(self, **options) -> None:
            super().__init__(**options | {"delay": 0, "mininterval": 0, "leave": True})

    monkeypatch.setattr("tqdm.tqdm", Eager)
    monkeypatch.setitem(datasets.DATASETS, "remote", remote(f"{server}/good"))
    run("get", "remote", "--out", tmp_path / "1.txt")
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/1.txt\n"
    assert err.count("\n") == 1
    assert "\r" not in err

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    run("get", "remote", "--out", tmp_path / "2.txt")
    assert "remote: " in terminal.getvalue()
    assert "310k/310k" in terminal.getvalue()
