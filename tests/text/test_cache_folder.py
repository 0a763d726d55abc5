"""The cache has a limit, only files of the user count, and texts in use stay."""

import os
import stat
from pathlib import Path

import pytest

from charlm.errors import TextError
from charlm.system import regular_files
from charlm.system.atomic_files import discard, new_temporary
from charlm.text import corpus_cache
from charlm.text.cache_folder import Usage, shrink, usage
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from tests.texts import old_file, text_of

pytest.importorskip("fcntl", reason="no file locks on this system")

TEXTS = {name: f"{name}: the cat sat on the mat.\n" * 50 for name in "abc"}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CHARLM_CACHE", str(folder))
    return folder


@pytest.fixture
def sources(tmp_path) -> dict[str, Path]:
    return {name: old_file(tmp_path / f"{name}.txt", text) for name, text in TEXTS.items()}


def read(source: Path) -> bool:
    """Read a text and forget it; whether it was in the cache."""
    corpus = Corpus.read(source)
    assert text_of(corpus.encoded) == source.read_text()
    return corpus.found


def aged(folder: Path) -> None:
    """Make all files of the cache a second older, so that the order of their use is known."""
    for path in folder.iterdir():
        time_ns = path.stat().st_mtime_ns - 10**9
        os.utime(path, ns=(time_ns, time_ns))


def fill(folder: Path, sources: dict[str, Path]) -> int:
    """Read a, b and c, then a again; return the size of the cache."""
    for name in "abca":
        read(sources[name])
        aged(folder)
    return usage(folder).bytes


def test_usage_counts_texts_and_bytes(folder, sources):
    assert usage(folder) == Usage(0, 0)
    size = fill(folder, sources)
    assert usage(folder) == Usage(3, size)
    assert size == sum(path.stat().st_size for path in folder.iterdir())
    (folder / "other").write_text("not of the cache")
    assert usage(folder) == Usage(3, size)


def test_the_text_that_was_not_used_for_longest_is_removed_first(folder, sources):
    size = fill(folder, sources)
    shrink(folder, size)
    assert usage(folder) == Usage(3, size)
    shrink(folder, size - 1)
    assert {name: read(sources[name]) for name in "abc"} == {"a": True, "b": False, "c": True}


def test_a_cache_that_grows_beyond_its_limit_loses_its_oldest_texts(folder, sources, monkeypatch):
    size = fill(folder, sources)
    shrink(folder, 0)
    monkeypatch.setattr(corpus_cache, "LIMIT", size * 2 // 3 + 50)
    fill(folder, sources)
    assert usage(folder).texts == 2
    assert usage(folder).bytes <= corpus_cache.LIMIT


def test_a_text_larger_than_the_limit_is_cached_while_it_is_the_newest(
    folder, sources, monkeypatch
):
    monkeypatch.setattr(corpus_cache, "LIMIT", 1)
    for name in "ab":
        assert [read(sources[name]), read(sources[name])] == [False, True]
    assert usage(folder).texts == 1


def test_a_text_in_use_stays_and_can_be_read_by_others(folder, sources):
    corpus = Corpus.read(sources["a"])
    read(sources["b"])
    for _ in range(2):
        shrink(folder, 0)
        assert usage(folder).texts == 1
        corpus = Corpus.read(sources["a"])  # the new one has a lock before the old one is closed
        assert corpus.found
    assert text_of(corpus.encoded) == TEXTS["a"]
    del corpus
    shrink(folder, 0)
    assert os.listdir(folder) == []


def test_clearing_removes_files_of_the_cache_only(folder, sources, tmp_path):
    fill(folder, sources)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    name = "0" * 64
    (folder / f"{name}.ids").symlink_to(victim)
    (folder / f"{name}.npz").mkdir()
    os.link(victim, folder / f"{name}.json")
    others = {f"{name}.ids", f"{name}.npz", f"{name}.json", "notes.txt", ".x.tmp", "0.ids"}
    for other in ("notes.txt", ".x.tmp", "0.ids"):
        (folder / other).touch()
    written = new_temporary(folder)
    shrink(folder, 0)
    assert set(os.listdir(folder)) == {*others, Path(written.name).name}
    assert victim.read_text() == "precious"
    discard(written)


def test_damaged_files_are_cleared(folder, sources):
    fill(folder, sources)
    for path in folder.iterdir():
        path.write_bytes(b"[]")
    shrink(folder, 0)
    assert os.listdir(folder) == []


def test_nothing_is_removed_where_it_cannot_be_known_what_is_in_use(folder, sources, monkeypatch):
    size = fill(folder, sources)

    def flock(*_: object) -> None:
        raise OSError(regular_files.errno.ENOTSUP, "no locks")

    monkeypatch.setattr(regular_files.fcntl, "flock", flock)
    shrink(folder, 0)
    assert usage(folder).bytes == size
    assert read(sources["a"])


# Directories that others can write to


def test_files_of_another_user_are_ignored_and_stay(folder, sources, monkeypatch):
    fill(folder, sources)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    assert usage(folder) == Usage(0, 0)
    shrink(folder, 0)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert not read(sources["a"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can chown")
@pytest.mark.parametrize("kind", [".ids", ".npz", ".json"])
def test_each_file_of_another_user_is_ignored(folder, sources, kind):
    read(sources["a"])
    (path,) = folder.glob(f"*{kind}")
    os.chown(path, 12345, -1)
    assert [read(sources["a"]), read(sources["a"])] == [False, True]
    assert path.stat().st_uid == 0


@pytest.mark.parametrize("kind", [".ids", ".npz", ".json"])
@pytest.mark.parametrize("plant", ["link", "hard link", "pipe", "folder"])
def test_what_is_no_file_of_its_own_is_not_read(folder, sources, kind, plant):
    read(sources["a"])
    (path,) = folder.glob(f"*{kind}")
    aside = path.rename(folder / "aside")
    match plant:
        case "link":
            path.symlink_to(aside)
        case "hard link":
            os.link(aside, path)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    if plant.endswith("link") or (kind, plant) == (".ids", "pipe"):  # it is replaced
        assert [read(sources["a"]), read(sources["a"])] == [False, True]
        assert stat.S_ISREG(path.lstat().st_mode)
    else:
        with pytest.raises(TextError, match="set CHARLM_CACHE to another directory"):
            Corpus.read(sources["a"])


@pytest.mark.parametrize("kind", ["ids", "npz", "json"])
def test_a_file_that_cannot_be_replaced_is_done_without(folder, sources, monkeypatch, kind):
    replace = os.replace

    def sticky(source: str, target: str) -> None:
        if str(target).endswith(kind):
            raise PermissionError(1, "Operation not permitted")
        replace(source, target)

    monkeypatch.setattr(os, "replace", sticky)
    assert [read(sources["a"]), read(sources["a"])] == [False, False]
    assert not list(folder.glob(".*"))
    if kind != "json":  # only a second reading would be slower
        with pytest.raises(TextError, match="another user"):
            Corpus.prepare(sources["a"])


@pytest.mark.parametrize("kind", ["json", "npz", "ids"])
def test_files_that_were_renamed_are_ignored(folder, tmp_path, kind):
    """Whoever can write to the directory can rename the user's files."""
    source = old_file(tmp_path / "crlf.txt", "one\r\ntwo\r\n")
    expected = [read_as(source, newlines) for newlines in ("keep", "lf")]
    first, second = folder.glob(f"*.{kind}")
    aside = first.rename(folder / "aside")
    second.rename(first)
    aside.rename(second)
    assert [read_as(source, newlines) for newlines in ("keep", "lf")] == expected


def read_as(source: Path, newlines: str) -> str:
    return text_of(Corpus.read(source, TextConfig(newlines=newlines)).encoded)
