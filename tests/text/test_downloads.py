"""Downloads of corpora: complete files or none, limits in time and size, progress."""

import hashlib
import io
import os
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tqdm import tqdm

from charlm.cli.corpus import app
from charlm.text import datasets
from charlm.text.datasets import Dataset, Download, Saved
from tests.texts import refusal

TEXT = "Ein Übel kommt selten allein.\n" * 10_000
DATA = TEXT.encode()


def remote(url: str) -> Dataset:
    return Dataset("remote", "a text", "MIT", Download(url, len(DATA), digest(DATA)))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
    message = refusal(
        lambda: datasets.get(remote(f"{server}/{way}"), tmp_path / "folder" / "text.txt")
    )
    assert f"{server}/{way}" in message
    assert reason in message
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("way", ["dripping", "dripping_headers", "stalled"])
def test_download_has_a_limit_in_total_time(server, tmp_path, monkeypatch, way):
    monkeypatch.setattr(datasets, "TOTAL_TIME", 0.3)
    message = refusal(lambda: datasets.get(remote(f"{server}/{way}"), tmp_path / "text.txt"))
    assert message.startswith(f"the download of {server}/{way} took more than 0.3 s, for ")
    assert not os.listdir(tmp_path)


def test_endless_download_is_stopped_at_the_size_of_the_text(server, tmp_path):
    arrived = []
    path = tmp_path / "text.txt"
    refusal(
        lambda: datasets.get(
            remote(f"{server}/endless"), path, progress=lambda done, _: arrived.append(done)
        )
    )
    assert len(DATA) < arrived[-1] <= len(DATA) + datasets.CHUNK


def test_download_without_a_server_leaves_nothing(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/good"
        message = refusal(lambda: datasets.get(remote(url), tmp_path / "text.txt"))
    assert url in message
    assert "refused" in message
    assert not os.listdir(tmp_path)


def test_failed_download_keeps_the_existing_file(server, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("mine")
    refusal(lambda: datasets.get(remote(f"{server}/cut"), path, force=True))
    assert path.read_text() == "mine"


def test_interrupted_download_leaves_nothing(server, tmp_path):
    def interrupt(done: int, announced: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.get(remote(f"{server}/good"), tmp_path / "text.txt", progress=interrupt)
    assert not os.listdir(tmp_path)


def test_file_with_the_same_text_is_not_downloaded_again(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(DATA)
    before = path.stat()
    for force in (False, True):
        saved = datasets.get(remote("http://127.0.0.1:9/unused"), path, force=force)
        assert saved == Saved(len(TEXT), written=False)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_command_get_shows_a_progress_bar_on_a_terminal_only(server, tmp_path, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    class Eager(tqdm):
        def __init__(self, **options) -> None:
            super().__init__(**options | {"delay": 0, "mininterval": 0, "leave": True})

    monkeypatch.setattr("tqdm.tqdm", Eager)
    monkeypatch.setitem(datasets.DATASETS, "remote", remote(f"{server}/good"))
    app(["get", "remote", "--out", str(tmp_path / "1.txt")], standalone_mode=False)
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/1.txt\n"
    assert err.count("\n") == 1
    assert "\r" not in err

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    app(["get", "remote", "--out", str(tmp_path / "2.txt")], standalone_mode=False)
    assert "remote: " in terminal.getvalue()
    assert "310k/310k" in terminal.getvalue()
