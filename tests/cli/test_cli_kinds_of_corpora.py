"""Whatever a corpus is made of, the commands that train, score and sample work on it.

The figures that `charlm train` ends with are those of `charlm eval`.
"""

import json

import pytest

from charlm.nn.cells import CELLS
from tests.shell import Shell

NAMES = [f"{'abc'[n % 3] * (n % 5 + 1)}{n % 7}" for n in range(40)]
LINES = "".join(f"{name}\n" for name in NAMES)
TABLE = "n,name\n" + "".join(f'{n},"{name}, it"\n' for n, name in enumerate(NAMES))
RECORDS = "".join(json.dumps({"n": 1, "text": f"{name}\nand é"}) + "\n" for name in NAMES)
PROSE = "the cat sat on the mat.\n" * 20
ONE_LINE = PROSE.replace("\n", " ")
FOLDER = {f"letters/{n}.txt": f"letter {name}\nend\n" for n, name in enumerate(NAMES)}
LINES_IN_CRLF = LINES.replace("\n", "\r\n")

# The files, and the arguments of `charlm train`.
KINDS: dict[str, tuple[dict[str, str], list[object]]] = {
    "lines": ({"a.txt": LINES}, ["a.txt", "--lines"]),
    "lines without a final newline": ({"a.txt": LINES[:-1]}, ["a.txt", "--lines"]),
    "lines in CRLF": ({"a.txt": LINES_IN_CRLF}, ["a.txt", "--lines"]),
    "lines in CR": ({"a.txt": LINES.replace("\n", "\r")}, ["a.txt", "--lines", "--newlines", "lf"]),
    "lines in both": ({"a.txt": LINES + LINES_IN_CRLF}, ["a.txt", "--lines"]),
    "empty lines": ({"a.txt": "\n\n" + LINES.replace("\n", "\n\n\n")}, ["a.txt", "--lines"]),
    "lines of white space": ({"a.txt": LINES.replace("a", " ")}, ["a.txt", "--lines"]),
    "lines of one character": ({"a.txt": "a\nb\nc\nd\n"}, ["a.txt", "--lines"]),
    "equal lines": ({"a.txt": "ab\n" * 30 + "cd\nef\n"}, ["a.txt", "--lines"]),
    "lines of several files": (
        {"a.txt": LINES[:-1], "b.txt": "", "c.txt": LINES},
        ["a.txt", "b.txt", "c.txt", "--lines"],
    ),
    "a long line": ({"a.txt": "ab" * 3000 + "\n" + LINES}, ["a.txt", "--lines"]),
    "long lines only": ({"a.txt": "ab" * 3000 + "\n" + "ac" * 3000 + "\n"}, ["a.txt", "--lines"]),
    "fewer lines than streams": (
        {"a.txt": LINES[:12]},
        ["a.txt", "--lines", "--batch-size", 64],
    ),
    # they are the first of the vocabulary, so all ids are others with --min-count
    "rare characters": ({"a.txt": LINES + "!#\n"}, ["a.txt", "--lines", "--min-count", 4]),
    "rare newlines": (
        {"a.txt": ONE_LINE[:434] + "\n" + ONE_LINE[435:]},  # near the cut, at 432
        ["a.txt", "--min-count", 4],
    ),
    "lines of any characters": ({"a.txt": "猫 é\n\u2028🙂\n\x85\t\n𝕏y\n"}, ["a.txt", "--lines"]),
    "separators": ({"a.txt": LINES.replace("\n", "%%")}, ["a.txt", "--separator", "%%"]),
    "separators in lines": (
        {"a.txt": LINES.replace("\n", "\r\n%%\r\n")},
        ["a.txt", "--separator", "%%"],
    ),
    "documents that a NUL ends": (
        {"a.txt": LINES.replace("\n", "\nand\0")},
        ["a.txt", "--separator", r"\0"],
    ),
    "empty documents": ({"a.txt": LINES.replace("\n", "%%%%")}, ["a.txt", "--separator", "%%"]),
    "a column": ({"a.csv": TABLE}, ["a.csv", "--column", "name"]),
    "a column by number": ({"a.csv": TABLE.replace(",", "\t", 1)}, ["a.csv", "--column", 1]),
    "a field": ({"a.jsonl": RECORDS}, ["a.jsonl", "--field", "text"]),
    "files": (FOLDER, ["letters", "--files"]),
    "two files": ({"a.txt": "abc\n", "b.txt": "cab"}, ["a.txt", "b.txt", "--files"]),
    "a text": ({"a.txt": PROSE}, ["a.txt"]),
    "a text in one line": ({"a.txt": ONE_LINE}, ["a.txt"]),
    "a text in CRLF": ({"a.txt": PROSE.replace("\n", "\r\n")}, ["a.txt"]),
    "several texts": ({"a.txt": PROSE, "b.txt": LINES[:-1], "c.txt": "x"}, ["*.txt"]),
    "short texts": ({f"{n}.txt": "abab\n" for n in range(9)}, ["*.txt", "--val-fraction", 0.5]),
    "chunks in which nothing is predicted": (
        {"a.txt": "abab\n", "b.txt": "b", "c.txt": "c"},
        ["*.txt", "--val-fraction", 0.4, "--seq-len", 1, "--batch-size", 1, "--steps", 20],
    ),
    "gradients of several chunks": (
        {"a.txt": LINES},
        ["a.txt", "--lines", "--accumulate", 3, "--shards", 2, "--threads", 2],
    ),
    "a budget of minutes": ({"a.txt": LINES}, ["a.txt", "--lines", "--minutes", 0.001]),
    "own validation": (
        {"a.txt": LINES, "b.txt": "aab1\r\n\r\néa\nxyz"},
        ["a.txt", "--lines", "--validation", "b.txt"],
    ),
    "own validation texts": (
        {"a.txt": PROSE, "b.txt": LINES[:-1], "c.txt": PROSE},
        ["a.txt", "--validation", "b.txt", "--validation", "c.txt"],
    ),
    "both sides": ({"a.txt": LINES}, ["a.txt", "--lines", "--bidirectional", "--cell", "gru"]),
    "deep": (
        {"a.txt": LINES},
        ["a.txt", "--lines", "--layers", 2, "--embedding", 3, "--dropout", 0.2, "--residual"],
    ),
    **{
        f"the cell {cell}": ({"a.txt": LINES_IN_CRLF}, ["a.txt", "--lines", "--cell", cell])
        for cell in CELLS
        if cell not in ("lstm", "gru")
    },
}
UNSCORED = {
    "no validation": ({"a.txt": LINES}, ["a.txt", "--lines", "--val-fraction", 0]),
    "no validation of texts": ({"a.txt": PROSE, "b.txt": "x"}, ["*.txt", "--val-fraction", 0]),
    "one document": ({"a.txt": "a b c\n"}, ["a.txt", "--lines", "--val-fraction", 0]),
    "one character": ({"a.txt": "a\n"}, ["a.txt", "--lines", "--val-fraction", 0]),
    "one file": ({"a.txt": PROSE}, ["a.txt", "--files", "--val-fraction", 0]),
}
REFUSED = {
    "one document": ({"a.txt": "a b c\n"}, ["a.txt", "--lines"], "distinct"),
    "one document, repeated": ({"a.txt": "a b\n" * 9}, ["a.txt", "--lines"], "distinct"),
    "only empty lines": ({"a.txt": "\n\r\n\n"}, ["a.txt", "--lines"], "empty"),
    "very short texts": (
        {f"{n}.txt": "a" for n in range(9)},
        ["*.txt", "--val-fraction", 0.5],
        "none of the 9 texts is long enough",
    ),
    "one character": ({"a.txt": "a"}, ["a.txt", "--val-fraction", 0], "one character"),
    "unknown validation": (
        {"a.txt": PROSE, "b.txt": "ФЖЩ"},
        ["a.txt", "--validation", "b.txt"],
        "validation text",
    ),
    "no column": ({"a.csv": TABLE}, ["a.csv", "--column", "nome"], "nome"),
    "a damaged record": ({"a.jsonl": RECORDS + "{\n"}, ["a.jsonl", "--field", "text"], "line 41"),
}


def shell_with(files: dict[str, str], folder) -> Shell:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode())
    return Shell(folder)


def short(arguments: list[object]) -> list[object]:
    """The arguments of a short run, without the options that are given."""
    options = {"--steps": 3, "--hidden": 4, "--batch-size": 4, "--seq-len": 8, "--out": "run"}
    if "--minutes" in arguments:
        del options["--steps"]
    kept = [
        each for name, value in options.items() if name not in arguments for each in (name, value)
    ]
    return ["train", *arguments, *kept, "--json"]


@pytest.mark.parametrize("kind", KINDS)
def test_corpus_is_trained_on_scored_and_sampled(kind, tmp_path):
    files, arguments = KINDS[kind]
    shell = shell_with(files, tmp_path)
    ended = shell(*short(arguments))
    assert ended.code == 0, ended.err
    done = ended.records[-1]
    scored = shell("eval", "run", "--json")
    assert scored.code == 0, scored.err
    (score,) = scored.records
    assert score["nats_per_char"] == pytest.approx(done["nats_per_char"], rel=1e-5)
    assert score["characters"] == done["characters"]
    if "--bidirectional" not in arguments:
        sampled = shell("sample", "run", "--length", 20)
        assert (sampled.code, bool(sampled.out)) == (0, True)


@pytest.mark.parametrize("kind", UNSCORED)
def test_corpus_without_validation_is_trained_on_and_sampled(kind, tmp_path):
    files, arguments = UNSCORED[kind]
    shell = shell_with(files, tmp_path)
    ended = shell(*short(arguments))
    assert ended.code == 0, ended.err
    assert ended.records[-1]["perplexity"] is None
    assert "without a validation split; specify a text" in shell("eval", "run").refusal
    (score,) = shell("eval", "run", "-", "--json", stdin="a\nb\n").records
    assert score["nats_per_char"] > 0
    assert shell("sample", "run", "--length", 20).code == 0


@pytest.mark.parametrize("kind", REFUSED)
def test_corpus_that_cannot_be_trained_on_is_refused_in_a_line(kind, tmp_path):
    files, arguments, words = REFUSED[kind]
    ended = shell_with(files, tmp_path)(*short(arguments))
    assert ended.code == 1
    assert words in ended.err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["a column", "a field"])
def test_text_without_the_records_of_the_corpus_is_refused_with_advice(kind, tmp_path):
    files, arguments = KINDS[kind]
    shell = shell_with({**files, "names.txt": LINES}, tmp_path)
    assert shell(*short(arguments)).code == 0
    for command in ("eval", "score"):
        line = shell(command, "names.txt", "run").refusal
        assert line.endswith("; to read it otherwise: --lines or --files")
        assert shell(command, "names.txt", "run", "--lines").code == 0
    assert "to read it otherwise" not in shell("eval", "nowhere.txt", "run").refusal
    assert "to read it otherwise" not in shell("eval", "names.txt", "run", *arguments[1:]).err


def test_streams_are_refused_for_documents(tmp_path):
    shell = shell_with({"a.txt": LINES}, tmp_path)
    assert shell(*short(["a.txt", "--lines"])).code == 0
    ended = shell("eval", "run", "--streams", 2)
    assert (ended.code, ended.out) == (2, "")
    assert (
        "--streams has no effect on documents, each of which is scored on its own; omit"
        in ended.err
    )


@pytest.mark.parametrize("option", ["--separator", "--column", "--field"])
@pytest.mark.parametrize("command", [("train",), ("corpus", "prepare")])
def test_option_that_is_empty_is_refused(option, command, tmp_path):
    shell = shell_with({"names.txt": LINES}, tmp_path)
    ended = shell(*command, "names.txt", option, "")
    assert ended.code == 2
    assert ended.err == f"charlm: {option} must not be empty; omit it to read a text\n"
