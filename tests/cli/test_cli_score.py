"""`charlm score`: rows that sum to the totals of the other commands, and can be joined."""

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from charlm.config import Unit
from tests.shell import QUICK, TEXT, Ended, Shell
from tests.terminal import run

DOCS = Path(__file__).parents[2] / "docs" / "scoring.md"
PIPELINES = re.findall(r"^charlm score .*\|.*$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)

LINES = "The machine\r\n\n  \nreads a letter\twrites\nThe 猫 reads\\n\n"
FIGURES = ("characters", "bits", "unknown_characters")


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    """A folder with models of each kind, and texts; tests must not change it."""
    folder = tmp_path_factory.mktemp("score")
    shell = Shell(folder, **QUICK)
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    (folder / "lines.txt").write_text(LINES, encoding="utf-8", newline="")
    (folder / "text.txt").write_text(TEXT[100:600], encoding="utf-8")
    documents = "".join(f"{word}\n" for word in sorted({*TEXT.split(), *TEXT.split(" ")}))
    (folder / "documents.txt").write_text(documents * 9, encoding="utf-8")
    kinds = {"both": ["--bidirectional"], "lines": ["--lines"], "text": []}
    for name, options in kinds.items():
        corpus = "documents.txt" if name == "lines" else "corpus.txt"
        ended = shell("train", corpus, "--out", f"runs/{name}", "--quiet", *options)
        assert ended.code == 0, ended.err
    return shell


def table(ended: Ended) -> list[dict[str, str]]:
    """The rows of TSV, by the names of the columns."""
    assert ended.code == 0, ended.err
    head, *rows = [line.split("\t") for line in ended.out.removesuffix("\n").split("\n")]
    return [dict(zip(head, row, strict=True)) for row in rows]


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: {"t": "\t", "n": "\n", "r": "\r"}.get(m[1], m[1]), text)


@pytest.mark.parametrize(
    "arguments",
    [
        ("text", "lines.txt"),
        ("both", "lines.txt"),
        ("lines", "lines.txt"),
        ("text", "lines.txt", "--separator", "e", "--newlines", "lf"),
        ("text", "text.txt", "lines.txt"),
    ],
)
def test_rows_sum_to_the_total_of_eval(shell, arguments):
    (total,) = shell("eval", *arguments, "--json").records
    words = ("score", *arguments, "--by")
    for by in get_args(Unit):
        records = shell(*words, by, "--json", "--unit", "nats").records
        assert math.fsum(each["nats"] or 0 for each in records) == pytest.approx(total["nats"])
        assert sum(each["characters"] for each in records) == total["length"]
        unknown = sum(each["unknown_characters"] for each in records)
        assert unknown == total["unknown_characters"]
        assert all(len(each["text"]) == each["characters"] for each in records)
    rows = table(shell(*words, by))
    for row, record in zip(rows, records, strict=True):
        bits = row.pop("bits")
        assert float(bits or 0) == pytest.approx((record.pop("nats") or 0) / math.log(2), abs=1e-6)
        row["text"] = unescaped(row["text"])
        assert row == {name: str(value) for name, value in record.items()}


NOTE = "nothing.txt: there are no documents\n"


@pytest.mark.parametrize("command", ["score", "eval"])
@pytest.mark.parametrize(
    "files",
    [
        ["nothing.txt", "lines.txt"],
        ["lines.txt", "nothing.txt", "documents.txt"],
        ["documents.txt", "nothing.txt"],
    ],
    ids=" ".join,
)
def test_a_file_without_documents_is_noted_and_passed_over(shell, command, files):
    (shell.folder / "nothing.txt").write_text("")
    others = [file for file in files if file != "nothing.txt"]
    ended = shell(command, "lines", *files, "--json")
    assert (ended.code, ended.err.count(NOTE)) == (0, 1)
    alone = [shell(command, "lines", file, "--json").records for file in others]
    if command == "score":
        rows = [{"file": f, **row} for f, rows in zip(others, alone, strict=True) for row in rows]
        assert ended.records == rows
        return
    (total,) = ended.records
    about = {"model": total["model"], "trained_on": total["trained_on"]}
    assert [each | about for each in total["texts"]] == [each for (each,) in alone]
    assert total["nats"] == pytest.approx(sum(each["nats"] for (each,) in alone))
    assert NOTE in shell(command, "lines", *files).err


@pytest.mark.parametrize("command", ["score", "eval"])
def test_files_without_any_document_are_an_error(shell, command):
    for name in ("nothing.txt", "nil.txt"):
        (shell.folder / name).write_text("")
    ended = shell(command, "lines", "nothing.txt", "nil.txt")
    assert (ended.code, ended.out) == (1, "")
    assert ended.last_note == "charlm: none of the 2 files has documents"
    one = shell(command, "lines", "nothing.txt")
    assert (one.code, one.out) == (1, "")
    assert one.last_note == "charlm: nothing.txt: there are no documents"


@pytest.mark.parametrize("by", get_args(Unit))
@pytest.mark.parametrize("kind", ["--lines", "--separator=\n"], ids=["lines", "separators"])
def test_rows_are_printed_as_documents_are_read(shell, kind, by, monkeypatch):
    printed: list[str] = []

    def pieces(*_: object, **__: object) -> Iterator[str]:
        for piece in ("the machine\n", "reads\na\nletter\n", "so\n"):
            printed.append(sys.stdout.buffer.getvalue().decode())
            yield piece

    monkeypatch.setattr("charlm.text.text_files.read_pieces", pieces)
    monkeypatch.chdir(shell.folder)
    ended = run(["score", "lines", "-", kind, "--by", by])
    assert ended.code == 0, ended.err
    assert all(ended.out.startswith(each) for each in printed)
    numbers = [{row.split("\t")[0] for row in each.splitlines()[1:]} for each in printed]
    assert numbers == [set(), {"1"}, {"1", "2", "3", "4"}]


def test_scores_of_documents_are_those_of_classify(shell):
    known = "The\nmachine\n"  # characters that both models know
    words = ("classify", "text", "lines", "--lines", "--json")
    classified = shell(*words, stdin=known).records
    for name in ("text", "lines"):
        scored = shell("score", name, "--lines", "--json", "--unit", "nats", stdin=known).records
        for one, other in zip(scored, classified, strict=True):
            (nats,) = (m["nats"] for m in other["models"] if f"{name}/" in m["model"])
            assert (one["text"], one["nats"]) == (other["line"], pytest.approx(nats))


def test_unit_of_a_row_follows_from_the_text(shell):
    assert len(table(shell("score", "text", "lines.txt"))) == LINES.count("\n")
    documents = table(shell("score", "lines", "lines.txt"))
    assert [row["text"] for row in documents][:3] == ["The machine", "", "  "]
    both = table(shell("score", "text", "lines.txt", "text.txt", "--by", "document"))
    assert [(row["file"], row["document"]) for row in both] == [
        ("lines.txt", "1"),
        ("text.txt", "1"),
    ]


def test_most_probable_characters_are_appended(shell):
    words = ("score", "lines", "--by", "character", "--top", 2)
    rows, records = (shell(*words, *more, stdin="a猫\n") for more in ([], ["--json"]))
    for row, record in zip(table(rows), records.records, strict=True):
        pairs = [(row[f"top_{n}"], row[f"p_{n}"]) for n in (1, 2) if row[f"p_{n}"]]
        top = [(unescaped(c), pytest.approx(float(p), rel=1e-5)) for c, p in pairs]
        assert [(each["character"], each["probability"]) for each in record["top"]] == top
        assert len(top) == (2 if row["bits"] else 0)
    assert [record["bits"] is None for record in records.records] == [False, True, False]


def test_bidirectional_model_says_what_its_figures_are(shell):
    assert "pseudo-NLL" in shell("score", "both", "text.txt").err
    assert shell("score", "text", "text.txt").err == ""


WORDS = "zone\tword\titem\n1\tThe\tb\n1\tThe\ta\n2\tmachine\\\tb\n2\tletter\ta\n3\t so\ta\n"


@pytest.mark.parametrize("space", ["before", "after"])
@pytest.mark.parametrize("model", ["text", "lines"])
def test_given_words_keep_their_rows_and_columns(shell, model, space):
    (shell.folder / "words.tsv").write_text(WORDS, encoding="utf-8")
    words = ("score", model, "--words", "words.tsv", "--space", space)
    rows = shell(*words)
    kept = ["\t".join(line.split("\t")[:3]) for line in rows.out.splitlines()]
    assert kept == WORDS.splitlines()
    assert rows.out.splitlines()[0].split("\t")[3:] == list(FIGURES)
    documents = "The machine\\\nThe letter  so\n"
    totals = shell("score", model, "--lines", "--json", stdin=documents).records
    found = shell(*words, "--json").records
    for item, total in zip("ba", totals, strict=True):
        bits = [row["bits"] for row in found if row["item"] == item]
        assert math.fsum(bits) == pytest.approx(total["bits"])
    ungrouped = WORDS.replace("item", "reader")
    piped = shell("score", model, "--words", "-", "--json", stdin=ungrouped).records
    one = shell("score", model, "-", "--by", "document", "--json", stdin=" ".join(WORDS_OF_ALL))
    assert math.fsum(row["bits"] or 0 for row in piped) == pytest.approx(one.records[0]["bits"])


WORDS_OF_ALL = [line.split("\t")[1] for line in WORDS.splitlines()[1:]]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["text"], 2, "specify a text; to type or pipe it: charlm score -"),
        (["text", "lines", "text.txt"], 2, "specify one model instead of 2"),
        (["text", "text.txt", "--by", "sentence"], 2, "--by must be one of character, word, line"),
        (["text", "text.txt", "--top", "3"], 2, "--top has no effect with --by line"),
        (["text", "text.txt", "--space", "after"], 2, "--space has no effect with --by line"),
        (["text", "text.txt", "--words", "x.tsv"], 2, "specify a table or texts, not both"),
        (["text", "--words", "x.tsv", "--lines"], 2, "--lines has no effect with --words"),
        (["text", "--words", "x.tsv", "--by", "word"], 2, "--by has no effect with --words"),
        (["text", "--words", "x.tsv"], 1, "cannot read x.tsv: No such file"),
        (["text", "--words", "lines.txt"], 1, "lines.txt, line 2: the word is empty"),
        (["text", "gone.txt"], 1, "cannot read gone.txt: No such file"),
        (["text", "one.txt"], 1, "one.txt: scoring requires at least 2 characters"),
        (["lines", "nothing.txt"], 1, "nothing.txt: there are no documents"),
        (["lines", "-"], 1, "charlm: standard input: there are no documents"),
    ],
)
def test_refusals(shell, arguments, code, message):
    (shell.folder / "one.txt").write_text("a")
    (shell.folder / "nothing.txt").write_text("")
    ended = shell("score", *arguments)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err.splitlines()[-1]


@pytest.mark.skipif(
    not (os.name == "posix" and shutil.which("sort") and shutil.which("awk")),
    reason="there is no shell with sort and awk",
)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_pipelines_of_the_documentation_work(shell, tmp_path, pipeline):
    program = tmp_path / "charlm"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m charlm "$@" -m text\n')
    program.chmod(0o755)
    ended = subprocess.run(
        ["sh", "-c", pipeline],
        cwd=shell.folder,
        env=shell.environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )
    assert ended.returncode == 0
    assert all(line.startswith("warning: ") for line in ended.stderr.splitlines())
    rows = [line.split("\t") for line in ended.stdout.splitlines()]
    if "sort" in pipeline:
        every = shell("score", "lines.txt", "--lines", "-m", "text").out.splitlines()
        assert sorted("\t".join(row) for row in rows) == sorted(every)
        bits = [float(row[4]) for row in rows[:-1]]
        assert bits == sorted(bits, reverse=True)
        assert rows[-1][4] == "bits"
    else:
        assert rows[0][4] == "bits"
        bits = [float(row["bits"]) for row in table(shell("score", "text.txt", *BY_WORD))]
        assert [float(row[4]) for row in rows[1:]] == [each for each in bits if each > 20]
        assert len(rows) > 1


BY_WORD = ("--by", "word", "-m", "text")


def test_there_are_pipelines_in_the_documentation():
    assert len(PIPELINES) >= 2
