"""Which files a path, a directory or a glob stands for."""

import glob
import inspect
import os
import sys

import pytest

from charlm.errors import TextError
from charlm.text.source_files import bare_name, expand
from charlm.text.text_files import read_text
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


# Links and depth


def test_each_directory_is_searched_once_however_many_links_lead_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b/in").mkdir(parents=True)
    for name in ("b/one.txt", "b/in/two.txt"):
        (tmp_path / name).touch()
    for name in (
        "a",
        "c",
        "b/self",
        "b/in/up",
    ):  # 4 ^ 40 paths, if followed while the system allows
        (tmp_path / name).symlink_to(tmp_path / "b")
    (tmp_path / "b/dangling.txt").symlink_to("missing")
    (tmp_path / "b/loop.txt").symlink_to("loop.txt")
    names = ["b/in/two.txt", "b/one.txt"]
    assert expand(["b"]) == names
    for pattern in ("**", "**/*.txt", "**/**/*.txt", "**/*/**", "**/**/**"):
        found = expand([pattern])
        assert sorted({os.path.realpath(path) for path in found}) == [
            str(tmp_path / name) for name in names
        ]
        assert len(found) == 2
    assert expand(["*/self/*.txt"]) == ["a/self/one.txt"]


@pytest.mark.parametrize("name", ["dangling", "loop"])
def test_link_that_leads_nowhere_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.symlink_to({"dangling": "missing", "loop": "loop"}[name])
    assert expand([path]) == [str(path)]
    assert refusal(lambda: read_text(path)).startswith(f"cannot read {path}: ")
    magic = tmp_path / "a[1]"
    magic.symlink_to("missing")
    assert expand([magic]) == [str(magic)]


def test_pattern_is_found_as_by_glob(tree):
    for pattern in (
        *("books/../books/*.txt", "./books/*.txt", "books//*.txt", "books/*/", "*/*/?.txt"),
        *("books/.h*", "books/.*/x.txt", "**/z.txt", "books/**", "none/**/.only.txt", "[ab]*.txt"),
        f"{tree}/books/*.txt",
    ):
        found = sorted(filter(os.path.isfile, glob.glob(pattern, recursive=True)))
        normal = [os.path.normpath(path) for path in found]
        assert [os.path.normpath(path) for path in files_of(pattern)] == normal


def files_of(pattern: str) -> list[str]:
    try:
        return expand([pattern])
    except TextError:
        return []


@pytest.fixture
def nested(tmp_path, monkeypatch):
    """A function that makes nested directories in `top`, with a file in the innermost one."""
    monkeypatch.chdir(tmp_path)
    made: list[str] = []

    def nest(name: str, depth: int) -> None:
        for each in ["top", *[name] * depth]:
            os.mkdir(each)
            os.chdir(each)
            made.append(each)
        with open("text.txt", "w") as file:
            file.write("deep")
        os.chdir(tmp_path)

    yield nest
    for each in made:
        os.chdir(each)
    os.unlink("text.txt")
    for each in reversed(made):  # not recursively, as pytest does
        os.chdir("..")
        os.rmdir(each)


def test_directories_can_be_nested_more_deeply_than_calls(nested):
    nested("d", 200)
    path = os.path.join("top", *["d"] * 200, "text.txt")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        found = [expand(["top"]), expand(["top/**/*.txt"])]
    finally:
        sys.setrecursionlimit(limit)
    assert found == [[path], [path]]
    assert read_text(path) == "deep"


def test_path_that_is_too_long_is_refused_in_one_line(nested):
    nested("d" * 250, 20)
    assert refusal(lambda: expand(["top"])).startswith("cannot read top/ddd")
    assert refusal(lambda: expand(["top/**/*.txt"])) == "no file matches top/**/*.txt"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_directory_that_cannot_be_read_is_named(tree):
    os.chmod("books/in", 0)
    try:
        for source in ("books", "books/**"):
            message = refusal(lambda source=source: expand([source]))
            assert message == "cannot read books/in: Permission denied"
        assert "books/a.txt" in expand(["books/*", "books/*/*"])
    finally:
        os.chmod("books/in", 0o700)
