"""Which files a path, a directory or a glob stands for."""

import pytest

from charlm.text.source_files import bare_name, expand
from tests.texts import refusal


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A directory tree, with hidden files and directories."""
    monkeypatch.chdir(tmp_path)
    names = [
        *("books/b.txt", "books/a.txt", "books/A.md", "books/in/z.txt", "books/in/deep/c.txt"),
        *("books/.hidden.txt", "books/.git/x.txt", "books/in/.cache/y.txt"),
        *("books/runs/a-1/last.npz", "books/runs/a-1/history.jsonl", "books/runs/b-1/best.npz"),
        *("none/.only.txt", "none/empty/.keep", "a[1].txt", "a1.txt", "b[1]/in.txt"),
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/a.txt").touch()
    (tmp_path / "loop/self").symlink_to(".")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("books", "books/A.md books/a.txt books/b.txt books/in/deep/c.txt books/in/z.txt"),
        ("books/in", "books/in/deep/c.txt books/in/z.txt"),
        ("loop/**/*.txt", "loop/a.txt"),
        ("loop", "loop/a.txt"),
        ("books/*.txt", "books/a.txt books/b.txt"),
        ("books/*", "books/A.md books/a.txt books/b.txt"),
        ("books/**/*.txt", "books/a.txt books/b.txt books/in/deep/c.txt books/in/z.txt"),
        ("*/in/?.txt", "books/in/z.txt"),
        ("books/[ab].*", "books/a.txt books/b.txt"),
        ("a[1].txt", "a[1].txt"),  # the literal name of a file
        ("b[1]", "b[1]/in.txt"),
        ("a[12].txt", "a1.txt"),
        ("missing.txt", "missing.txt"),  # reported when it is read
    ],
)
def test_directories_and_globs_stand_for_files(tree, source, files):
    assert expand([source]) == files.split()
    assert expand(["-", source, "x"]) == ["-", *files.split(), "x"]


@pytest.mark.parametrize("source", ["none", "none/*", "books/*.pdf", "missing/**", "book*"])
def test_source_without_files_is_rejected(tree, source):
    assert refusal(lambda: expand(["books", source])).endswith(source)


def test_order_of_the_sources_is_kept(tree):
    assert expand(["books/b.txt", "books/in", "books/a.txt"]) == [
        *("books/b.txt", "books/in/deep/c.txt", "books/in/z.txt", "books/a.txt")
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b.txt", "b"), ("b.txt.gz", "b"), ("b.XZ", "b"), ("b.tar.bz2", "b.tar"), ("b", "b")],
)
def test_bare_name_has_no_extensions(path, name):
    assert bare_name(path) == name
