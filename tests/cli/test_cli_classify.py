"""`charlm classify`: the result for a text or for each of its lines."""

import json
import math

import pytest

import charlm as package
from charlm.inference.classification import classify
from tests.shell import QUICK, TEXT, Shell

ONE, OTHER = "one/best.npz", "other/best.npz"
SIZES = ("--embedding", 0, "--dropout", 0, "--batch-size", 32, "--lr", 0.01)
BOTH = ("--model", "one", "--model", "other")

OTHER_TEXT = "0123456789 + 9876543210 = 猫\n" * 40

LINES = "the machine\n\n123 + 987\nthe letter 猫\n"


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    """A directory with models of two texts that have little in common; tests must not change it."""
    folder = tmp_path_factory.mktemp("classify")
    shell = Shell(folder, **QUICK)
    for name, text in {"one": TEXT, "other": OTHER_TEXT}.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        shell("train", f"{name}.txt", *SIZES, "--out", name, "--quiet")
    (folder / "lines.txt").write_text(LINES, encoding="utf-8")
    return shell


def test_result_and_table_are_on_stdout(shell):
    ended = shell("classify", "-", *BOTH, stdin="the machine writes\n")
    assert (ended.code, ended.err) == (0, "")
    winner, head, first, second = ended.out.splitlines()
    assert winner == ONE
    assert head.split() == ["model", "bits", "per", "character", "unknown", "excess", "bits"]
    assert first.split()[0] == ONE
    assert first.split()[-1] == "0.0"
    assert second.split()[0] == OTHER


def test_each_line_is_classified_unless_it_is_empty(shell):
    ended = shell("classify", "lines.txt", "--lines", *BOTH)
    assert ended.code == 0
    assert ended.out == f"{ONE}\tthe machine\n\n{OTHER}\t123 + 987\n{ONE}\tthe letter 猫\n"
    won = {line.split()[0]: line.split()[-1] for line in ended.err.splitlines()}
    assert (won["model"], won[ONE], won[OTHER]) == ("lines", "2", "1")


def test_models_of_lines_read_lines_although_their_line_ends_differ(shell):
    for name, newlines in {"one": "lf", "other": "keep"}.items():
        options = ["--lines", "--newlines", newlines, "--val-fraction", 0]
        ended = shell("train", f"{name}.txt", *options, *SIZES, "--out", f"{name} lines", "--quiet")
        assert ended.code == 0, ended.err
    ended = shell("classify", "-", "one lines", "other lines", stdin="the\n12\n")
    assert [line.split("\t")[1] for line in ended.out.splitlines()] == ["the", "12"]


TABLE = "word,n\n" + "".join(f"{word},1\n" for word in TEXT.split()[:40])

KINDS = {  # of the corpus of a model: the options, and how a message shows it
    "texts": ([], "texts"),
    "lines": (["--lines"], "--lines"),
    "separated": (["--separator", r"\n\n"], r"--separator '\n\n'"),
    "words": (["--column", "word"], "--column 'word'"),
    "numbers": (["--column", 1], "--column '1'"),
    "whole": (["--files"], "--files"),
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> Shell:
    """A directory with two models of each kind of documents; tests must not change it."""
    folder = tmp_path_factory.mktemp("kinds")
    shell = Shell(folder, **QUICK)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(TABLE + "end,\n\nz,1\n", encoding="utf-8")
    for kind, (options, _) in KINDS.items():
        for n, newlines in enumerate(["lf", "keep"]):
            out = ["--out", f"{kind}{n}", "--quiet", "--newlines", newlines]
            common = ["--steps", 1, "--hidden", 2, "--val-fraction", 0]
            ended = shell("train", "*.csv", *options, *common, *out)
            assert ended.code == 0, ended.err
    return shell


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_models_of_different_kinds_need_an_option(kinds, kind, other):
    models = [f"{kind}0", f"{other}1"]
    ended = kinds("classify", "-", *models, stdin="word,n\nthe,1\n")
    if kind == other:
        assert ended.code == 0
        return
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"charlm: the models were trained on different kinds of documents: {KINDS[kind][1]}, "
        f"{KINDS[other][1]}; specify how to read the text: --lines, --separator, --column, --field "
        "or --files\n"
    )
    for options, variables in ((["--lines"], {}), ([], {"CHARLM_CLASSIFY_LINES": "1"})):
        words = ("classify", "-", *models, "--json", *options)
        records = kinds(*words, stdin="the\nword\n", variables=variables).records
        assert [record["line"] for record in records] == ["the", "word"]


def test_row_of_a_document_has_escapes_in_place_of_line_ends(shell):
    text = "the\\machine\n\twrites\n%%\n123\n456\n"
    ended = shell("classify", "-", "--separator", "%%", *BOTH, stdin=text)
    assert ended.out == f"{ONE}\tthe\\\\machine\\n\\twrites\n{OTHER}\t123\\n456\n"
    assert ended.err.splitlines()[0].split()[-1] == "documents"


def test_final_newline_is_optional(shell):
    with_newline, without = (
        shell("classify", "-", "--lines", *BOTH, stdin="the\n12" + end) for end in ("\n", "")
    )
    assert without == with_newline
    assert without.out.count("\n") == 2


def test_json_matches_the_library(shell):
    ended = shell("classify", "lines.txt", "--json", *BOTH)
    assert ended.code == 0
    assert ended.err.startswith("warning: one/best.npz does not know 22.2 % of the characters of ")
    (record,) = ended.records
    models = {path: package.load(shell.folder / path) for path in (ONE, OTHER)}
    expected = classify(LINES, models)
    assert (record["text"], record["model"]) == ("lines.txt", expected.winner)
    least = expected.nlls[expected.winner].nats
    assert [each["model"] for each in record["models"]] == [ONE, OTHER]
    for each in record["models"]:
        nll = expected.nlls[each["model"]]
        assert each["nats"] == pytest.approx(nll.nats)
        assert each["bits_per_char"] == pytest.approx(nll.bits_per_char)
        assert each["bits_more"] == pytest.approx((nll.nats - least) / math.log(2))
        assert each["characters"] == len(LINES)
        assert each["unknown_characters"] == nll.unknown_characters
        assert each["unknown_fraction"] == nll.unknown_characters / len(LINES)


def test_json_has_an_object_per_line(shell):
    ended = shell("classify", "lines.txt", "--lines", "--json", *BOTH)
    assert [each["line"] for each in ended.records] == LINES.splitlines()
    assert [each["model"] for each in ended.records] == [ONE, None, OTHER, ONE]
    assert ended.records[1]["models"] == []
    (alone,) = shell("classify", "-", "--lines", "--json", *BOTH, stdin="123 + 987").records
    for one, other in zip(ended.records[2]["models"], alone["models"], strict=True):
        assert one == pytest.approx(other)


def test_json_can_be_set_by_a_variable(shell):
    ended = shell("classify", "lines.txt", *BOTH, variables={"CHARLM_CLASSIFY_JSON": "1"})
    assert json.loads(ended.out)["text"] == "lines.txt"


def test_encoding_of_the_text(shell):
    (shell.folder / "utf16.txt").write_text(LINES, encoding="utf-16")
    ended = shell("classify", "utf16.txt", "--lines", "--encoding", "utf-16", *BOTH)
    assert ended.out == shell("classify", "lines.txt", "--lines", *BOTH).out


def test_line_endings_are_kept_or_converted(shell):
    (shell.folder / "crlf.txt").write_bytes(LINES.replace("\n", "\r\n").encode())
    expected = shell("classify", "lines.txt", "--lines", *BOTH).out
    assert shell("classify", "crlf.txt", "--lines", "--newlines", "lf", *BOTH).out == expected
    (kept, *_) = shell("classify", "crlf.txt", "--lines", "--json", *BOTH).records
    assert kept["line"] == "the machine", "a line end is no part of a line"


OPTIONS = {"texts": [], "lines": ["--lines"], "files": ["--files"], "fields": ["--field", "t"]}


@pytest.fixture(scope="module")
def several(shell) -> list[str]:
    """The names of files in a folder, each a text, lines and a record."""
    folder = shell.folder / "several"
    folder.mkdir()
    texts = {"a.txt": "the machine", "b.txt": "123 + 987", "c.txt": "the 猫\twrites"}
    for name, text in texts.items():
        (folder / name).write_text(json.dumps({"t": text}) + "\n" * 2, encoding="utf-8")
    return [f"several/{name}" for name in texts]


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize("as_json", [False, True])
def test_each_file_is_classified_as_if_alone(shell, several, kind, as_json):
    words = ["classify", *BOTH, *OPTIONS[kind], *["--json"][:as_json]]
    ended = shell(*words, *several)
    alone = [shell(*words, file) for file in several]
    if as_json:
        expected = [
            {"file": f, **r} for f, e in zip(several, alone, strict=True) for r in e.records
        ]
        assert [list(record) for record in ended.records] == [list(record) for record in expected]
        for record, other in zip(ended.records, expected, strict=True):
            assert _rounded(record) == _rounded(other)
        return
    rows = [
        each.out.splitlines()[:1] if kind == "texts" else each.out.splitlines() for each in alone
    ]
    pairs = [(f, row) for f, some in zip(several, rows, strict=True) for row in some]
    empty = "" if kind == "texts" else "\t"  # the column of the text of an empty line
    expected = [f"{f}\t{row or empty}\n" for f, row in pairs]
    assert ended.out == "".join(expected)
    counts = {line.split()[0]: line.split()[-1] for line in ended.err.splitlines()}
    assert counts["model"] == {"texts": "texts", "lines": "lines"}.get(kind, "documents")
    assert int(counts[ONE]) + int(counts[OTHER]) == len(several)


def _rounded(record: dict) -> dict:
    """A record without the last digits of its figures."""
    models = [
        {k: float(f"{v:.8g}") if isinstance(v, float) else v for k, v in model.items()}
        for model in record["models"]
    ]
    return {**record, "models": models}


@pytest.mark.parametrize(
    "sources", [["several"], ["several/*.txt"], ["several/[ab].txt", "-"], ["-", "several/c.txt"]]
)
def test_directories_and_globs_stand_for_files(shell, several, sources):
    ended = shell("classify", *sources, "one", "other", "--json", stdin="the\n")
    files = [record["file"] for record in ended.records]
    expected = {"several/[ab].txt": several[:2], "several/c.txt": several[2:], "-": ["-"]}
    assert files == [file for source in sources for file in expected.get(source, several)]


def test_a_directory_with_a_checkpoint_is_a_model(shell, several):
    ended = shell("classify", "several", "one", "other", "--json")
    assert {m["model"] for record in ended.records for m in record["models"]} == {ONE, OTHER}
    only = shell("classify", "one", "other", "--json", stdin="the\n").records
    assert [record["text"] for record in only] == ["-"]


def test_files_without_documents_are_noted(shell, several):
    for name in ("none.txt", "none too.txt"):
        (shell.folder / name).write_text("\n")
    words = ("classify", *BOTH, "--lines", "none.txt")
    ended = shell(*words, several[0])
    assert [row.split("\t")[0] for row in ended.out.splitlines()] == ["none.txt", *several[:1] * 2]
    assert ended.err.startswith("none.txt: all documents are empty\n")
    ended = shell(*words, "none too.txt")
    assert (ended.code, ended.out) == (1, "")
    assert ended.last_note == "charlm: none of the 2 files has a document that is not empty"
    refusal = shell("classify", *BOTH, "empty.txt", *several).refusal
    assert refusal.startswith("charlm: cannot read empty.txt: ")
    (shell.folder / "nothing.txt").write_text("")
    refusal = shell("classify", *BOTH, several[0], "nothing.txt").refusal
    assert refusal == "charlm: nothing.txt: the text is empty"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "specify at least two models, got none"),
        (["--model", "one"], "specify at least two models, got 'one'"),
        (["--model", "one", "--model", ONE], "all models are one/best.npz"),
        (["--model", "one", "--model", "./other/../one"], "all models are one/best.npz"),
    ],
)
def test_fewer_than_two_models_exit_with_2(shell, models, message):
    ended = shell("classify", "lines.txt", *models)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-"], "charlm: standard input: the text is empty"),
        (["-", "--lines"], "charlm: standard input: all documents are empty"),
        (["nowhere.txt"], "nowhere.txt"),
        (["lines.txt", "--model", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_failure_prints_one_line(shell, arguments, message):
    assert message in shell("classify", *arguments, *BOTH).refusal


def test_error_in_a_record_of_standard_input_names_it(shell):
    line = shell("classify", "-", "--field", "text", *BOTH, stdin="{\n").refusal
    assert line.startswith("charlm: standard input, line 1: the line is not valid JSON: ")


def test_bidirectional_and_unidirectional_models_cannot_be_compared(shell):
    shell("train", "one.txt", "--bidirectional", "--steps", 1, "--out", "sides", "--quiet")
    line = shell("classify", "lines.txt", *BOTH, "--model", "sides").refusal
    assert "cannot compare bidirectional models (sides/best.npz)" in line
