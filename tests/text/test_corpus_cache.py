"""The cache returns the stored text or nothing, whatever happens to its files."""

import errno
import io
import os
import resource
from functools import partial
from pathlib import Path

import pytest

from charlm.text.cache_folder import cache_folder
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from charlm.text.corpus_cache import FORMAT, Cache, new_file
from tests.shell import Shell
from tests.texts import distinct, flipped, old_file, refusal, text_of

TEXT = "the cat sat on the mat; 猫坐在垫子上。\n" * 8
KINDS = (".ids", ".npz", ".json")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CHARLM_CACHE", str(folder))
    monkeypatch.setattr("charlm.text.id_sequences.BLOCK", 64)
    return folder


@pytest.fixture
def source(tmp_path) -> Path:
    return old_file(tmp_path / "text.txt", TEXT)


def read(source: Path, text: str = TEXT, **options) -> Corpus:
    """Read a corpus and check its text and counts."""
    corpus = Corpus.read([source], **options)
    assert text_of(corpus.encoded) == text
    counts = dict(zip(corpus.encoded.points.tolist(), corpus.encoded.counts.tolist(), strict=True))
    assert {chr(point): count for point, count in counts.items()} == {
        c: text.count(c) for c in set(text)
    }
    return corpus


def names(folder: Path) -> list[str]:
    """The sorted suffixes of the files in the cache."""
    return sorted(path.suffix for path in folder.iterdir())


def kept(folder: Path, kind: str) -> Path:
    (path,) = folder.glob(f"*{kind}")
    return path


def test_text_is_encoded_once(folder, source):
    first, second = read(source), read(source)
    assert (first.found, second.found) == (False, True)
    assert names(folder) == sorted(KINDS)
    assert first.path == second.path == kept(folder, ".ids")
    assert first.encoded.sha256 == second.encoded.sha256 == first.path.stem


@pytest.mark.parametrize("kind", KINDS)
def test_any_flipped_byte_is_detected_or_harmless(folder, source, kind):
    read(source)
    path = kept(folder, kind)
    whole = path.read_bytes()
    for position in range(0, len(whole), 13):
        path.write_bytes(flipped(whole, position))
        if read(source).found:
            assert kind == ".npz"  # a zip file contains dates, which are not used
            path.write_bytes(whole)
        assert read(source).found
        assert path.read_bytes() == whole or kind == ".npz"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["missing", "empty", "half", "one less", "one more", "other"])
def test_file_of_another_size_is_detected_or_harmless(folder, source, kind, change):
    read(source)
    path = kept(folder, kind)
    whole = path.read_bytes()
    path.unlink()
    changed = {
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "one less": whole[:-1],
        "one more": whole + b"\0",
        "other": b'{"files": 1, "sha256": []}',
    }
    if change != "missing":
        path.write_bytes(changed[change])
    found = read(source).found
    assert not found or (kind, change) == (".npz", "one more")  # a zip file may have trailing bytes
    assert read(source).found
    assert names(folder) == sorted(KINDS)


def test_entry_of_another_format_is_encoded_again(folder, source, monkeypatch):
    read(source)
    monkeypatch.setattr("charlm.text.corpus_cache.FORMAT", FORMAT + 1)
    assert not read(source).found
    assert read(source).found


def test_ids_of_another_text_are_detected(folder, source):
    read(source)
    path = kept(folder, ".ids")
    path.write_bytes(path.read_bytes()[::-1])
    assert not read(source).found
    assert read(source).found


# Large texts, which are not verified as a whole


@pytest.fixture
def damaged(folder, source, monkeypatch) -> Path:
    """The ids of a text that counts as large; its last block is damaged."""
    monkeypatch.setattr("charlm.text.corpus_cache.VERIFIED", 0)
    read(source)
    path = kept(folder, ".ids")
    path.write_bytes(flipped(path.read_bytes(), -1 + path.stat().st_size))
    return path


def test_damage_to_a_large_text_is_detected_when_it_is_read(source, damaged):
    corpus = Corpus.read([source])
    assert corpus.found
    assert len(corpus.encoded.ids[:64]) == 64
    message = refusal(lambda: corpus.encoded.ids[:])
    assert str(damaged) in message
    assert "again to encode the text" in message
    assert not damaged.exists()
    assert not read(source).found
    assert read(source).found


def test_verify_detects_damage_to_a_large_text_at_once(source, damaged):
    assert not read(source, verify=True).found
    assert read(source, verify=True).found
    damaged.write_bytes(flipped(damaged.read_bytes(), 0))
    assert not Corpus.prepare([source]).found
    assert read(source).found


def test_verify_detects_damage_to_a_text_found_by_its_hash(folder, source, damaged):
    kept(folder, ".json").unlink()
    assert not read(source, verify=True).found
    assert read(source).found


# Files that change


def test_other_size_is_a_cache_miss(folder, source):
    read(source)
    old_file(source, TEXT + "x")
    assert not read(source, TEXT + "x").found
    assert names(folder).count(".ids") == 2


def test_other_modification_time_is_a_cache_miss(folder, source):
    read(source)
    other = TEXT.replace("mat", "tam")
    source.write_bytes(other.encode())
    os.utime(source, (1e9 + 1, 1e9 + 1))
    assert not read(source, other).found


def test_touched_file_is_found_by_its_hash(folder, source):
    read(source)
    os.utime(source, (1e9 + 1, 1e9 + 1))
    assert not read(source).found
    assert read(source).found
    assert names(folder) == sorted(KINDS)


def test_same_text_in_another_file_is_stored_once(folder, source, tmp_path):
    read(source)
    other = tmp_path / "other.txt"
    assert not read(old_file(other, TEXT)).found
    assert read(other).found
    assert names(folder) == sorted([*KINDS, ".json"])


def test_other_encoding_is_a_cache_miss(folder, source):
    read(source)
    assert not Corpus.read([source], TextConfig(encoding="latin-1")).found
    assert read(source).found


def test_other_line_endings_are_a_cache_miss(folder, tmp_path):
    source = old_file(tmp_path / "crlf.txt", "one\r\ntwo\r\n")
    for found in (False, True):
        kept, converted = (
            Corpus.read([source], TextConfig(newlines=each)) for each in ("keep", "lf")
        )
        assert (kept.found, converted.found) == (found, found)
        assert (kept.config.newlines, converted.config.newlines) == ("keep", "lf")
        assert text_of(kept.encoded) == "one\r\ntwo\r\n"
        assert text_of(converted.encoded) == "one\ntwo\n"
    assert Corpus.prepare([source], TextConfig(newlines="lf")).found


def test_other_files_in_a_directory_are_a_cache_miss(folder, tmp_path):
    books = tmp_path / "books"
    books.mkdir()
    old_file(books / "a.txt", "first\n")
    assert not read(books, "first\n").found
    assert read(books, "first\n").found
    old_file(books / "b.txt", "second\n")
    assert not read(books, "first\nsecond\n").found


def test_file_that_changes_during_reading_is_not_recorded(folder, source):
    def change(done: int, total: int | None) -> None:
        os.utime(source, (1e9 + 1, 1e9 + 1))

    read(source, progress=change)
    assert not list(folder.glob("*.json"))
    os.utime(source, (1e9, 1e9))
    assert not read(source).found
    assert read(source).found


@pytest.mark.parametrize("is_settled", [True, False])
def test_recently_changed_file_is_not_recorded(folder, source, monkeypatch, is_settled):
    monkeypatch.setattr("charlm.text.corpus_cache.SETTLED", -1e9 if is_settled else 1e6)
    os.utime(source)
    assert not read(source).found
    assert read(source).found == is_settled


# Caches that cannot be written


def test_directory_that_cannot_be_created_is_not_used(source, tmp_path, monkeypatch):
    taken = old_file(tmp_path / "taken", "a file")
    for path in (taken, taken / "inside"):
        monkeypatch.setenv("CHARLM_CACHE", str(path))
        corpus = read(source)
        assert (corpus.path, corpus.found) == (None, False)
        assert "CHARLM_CACHE" in refusal(lambda: Corpus.prepare([source]))
    assert taken.read_text() == "a file"
    assert sorted(os.listdir(tmp_path)) == ["taken", "text.txt"]


@pytest.mark.parametrize("more", [0, 10**6])  # the disk is full in the last block, or long before
@pytest.mark.parametrize("cause", ["no directory", "full"])
def test_no_place_for_temporary_files_is_one_line(tmp_path, monkeypatch, cause, more):
    monkeypatch.setenv("CHARLM_CACHE", str(old_file(tmp_path / "taken", "a file")))
    source = old_file(tmp_path / "text.txt", TEXT + "a" * more)
    if cause == "full":
        device = "/dev/full" if os.path.exists("/dev/full") else pytest.skip("needs /dev/full")
        new = partial(open, device, "w+b")
    else:

        def new(**_: object) -> None:
            raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("charlm.text.corpus_cache.TemporaryFile", lambda **_: new())
    message = refusal(lambda: Corpus.read(source))
    assert message.startswith("cannot write the encoded text to a temporary file: No ")
    assert message.endswith("; set CHARLM_CACHE to a directory with free space")


def test_read_only_cache_is_read(folder, source, monkeypatch):
    read(source)
    monkeypatch.setattr(Cache, "is_writable", lambda cache: False)
    assert read(source).found
    other = old_file(source.with_name("other.txt"), TEXT + "x")
    before = names(folder)
    corpus = read(other, TEXT + "x")
    assert (corpus.path, corpus.found) == (None, False)
    assert names(folder) == before
    assert "Permission denied" in refusal(lambda: Corpus.prepare([other]))


def test_reading_works_without_a_home_directory(source, monkeypatch):
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CHARLM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("charlm.text.cache_folder.sys.platform", "linux")
    monkeypatch.setattr(Path, "home", fail)
    assert read(source).path is None
    assert "home" in refusal(lambda: Corpus.prepare([source]))


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"CHARLM_CACHE": "/there", "XDG_CACHE_HOME": "/xdg"}, "/there"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/charlm"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/.cache/charlm"),
        ("darwin", {}, "/home/Library/Caches/charlm"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/charlm/Cache"),
    ],
)
def test_default_cache_directory(monkeypatch, platform, variables, folder):
    for name in ("CHARLM_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", lambda: Path("/home"))
    monkeypatch.setattr("charlm.text.cache_folder.sys.platform", platform)
    assert cache_folder() == Path(folder)


@pytest.mark.parametrize("bad", [b"\xff", distinct(600).encode() + b"\xff"])
def test_failed_reading_leaves_no_files(folder, tmp_path, monkeypatch, bad):
    monkeypatch.setattr("charlm.text.text_files.BLOCK", 100)
    source = old_file(tmp_path / "bad.txt", TEXT.encode() * 9 + bad)
    assert "not valid utf-8" in refusal(lambda: Corpus.read([source]))
    assert names(folder) == []


@pytest.mark.parametrize("more", [500, 10**6])  # the disk is full in the last block, or long before
def test_full_disk_leaves_no_files(tmp_path, more):
    limit = 70_000  # maximum file size in bytes
    (tmp_path / "large.txt").write_text("a" * (limit + more))
    shell = Shell(tmp_path, CHARLM_CACHE=str(tmp_path / "cache"))
    process = shell.start(
        *("corpus", "prepare", "large.txt"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    _, err = process.communicate()
    assert process.returncode == 1
    assert err.startswith("charlm: cannot write the encoded corpus in ")
    assert err.count("\n") == 1
    assert os.listdir(tmp_path / "cache") == []


def test_new_file_leaves_nothing_behind(folder):
    with new_file() as file:
        file.write(b"text")
        assert os.listdir(folder) == []
    assert isinstance(file, io.IOBase)
