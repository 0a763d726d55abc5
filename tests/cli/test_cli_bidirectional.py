"""`charlm fill` and `charlm proofread`, and bidirectional models in the other commands."""

import os
import shutil
from dataclasses import asdict

import pytest

import charlm as package
from charlm.cli.fill import _print_options
from charlm.inference.filling import Filled, Gap
from charlm.text.config import TextConfig
from tests.shell import TEXT, Shell


@pytest.fixture(scope="module")
def both(trained, tmp_path_factory) -> Shell:
    """A directory with a bidirectional run and a newer unidirectional one."""
    folder = tmp_path_factory.mktemp("both")
    shell = Shell(folder)
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    settings = ("--steps", 150, "--hidden", 24, "--seq-len", 20)
    ended = shell("train", "corpus.txt", "--bidirectional", *settings)
    assert ended.code == 0, ended.err
    assert "lstm, 1 x 24, bidirectional" in ended.err
    assert "held-out pseudo-perplexity" in ended.err
    assert "next: charlm proofread FILE --model runs/corpus-1" in ended.err
    shutil.copytree(trained.folder / "runs/corpus-1", folder / "runs/one-way-1")
    os.utime(folder / "runs/one-way-1/best.npz")
    return shell


def test_fill_prints_the_text_to_stdout_and_the_fillings_to_stderr(both):
    ended = both("fill", "The m_chine reads a l__ter")
    assert ended.code == 0
    assert ended.out == "The machine reads a letter\n"
    assert "model: runs/corpus-1/best.npz" in ended.err
    assert "'a' " in ended.err
    assert "'et' " in ended.err


def test_fillings_that_are_not_visible_are_code_points(capsys):
    gap = Gap(4, (("\u0301", 0.5), ("e\u0301", 0.25), ("st", 0.2)))
    _print_options(Filled("", 0.5, (gap,)))
    assert "5       U+0301 50.0 %, 'e' U+0301 25.0 %, 'st' 20.0 %\n" in capsys.readouterr().err


def test_fill_as_json(both):
    ended = both("fill", "The m?chine", "--gap", "?", "--json", "--model", "runs/corpus-1")
    (result,) = ended.records
    assert result["text"] == "The machine"
    assert result["model"] == "runs/corpus-1/best.npz"
    (gap,) = result["gaps"]
    assert gap["column"] == 6
    assert gap["options"][0]["text"] == "a"
    total = sum(option["probability"] for option in gap["options"])
    assert total == pytest.approx(1, abs=1e-6)


def test_proofread_prints_line_column_and_suggestion(both):
    text = TEXT.splitlines(keepends=True)
    text[2] = text[2].replace("machine reads", "mawhine reads")
    (both.folder / "typed.txt").write_text("".join(text), encoding="utf-8")
    ended = both("proofread", "typed.txt", "--odds", 50)
    assert ended.code == 0
    assert "typed.txt:3:7: 'w' -> 'c', " in ended.out
    assert "The ma[w]hine reads" in ended.out
    records = both("proofread", "typed.txt", "--odds", 50, "--json").records
    (found,) = [r for r in records if (r["line"], r["column"]) == (3, 7)]
    assert (found["character"], found["suggestion"]) == ("w", "c")
    assert len(records) == len(ended.out.splitlines())
    piped = both("proofread", "-", "--odds", 50, "--json", stdin="".join(text)).records
    assert piped == records


def test_proofread_reports_unknown_characters(both):
    ended = both("proofread", "-", stdin="The Ümachine reads a letter.\n")
    assert ended.code == 0
    assert "outside the model's vocabulary and were skipped: 'Ü'" in ended.err


@pytest.mark.parametrize("command", ["fill", "proofread"])
def test_missing_bidirectional_model_is_an_error_that_tells_how_to_train_one(trained, command):
    text = "corpus.txt" if command == "proofread" else "a_b"
    ended = trained(command, text)
    assert ended.refusal == (
        "charlm: no bidirectional model under runs/; train one with: charlm train "
        "--bidirectional corpus.txt"
    )
    named = trained(command, text, "--model", "runs/corpus-1")
    assert "is not bidirectional" in named.refusal


def test_fill_without_any_run(charlm):
    assert "charlm train --bidirectional corpus.txt" in charlm("fill", "a_b").refusal


def test_sample_rejects_a_bidirectional_model(both):
    refusal = both("sample", "runs/corpus-1").refusal
    assert "use it to fill gaps or to proofread" in refusal


def test_eval_reports_pseudo_perplexity_and_lookahead(both):
    ended = both("eval", "runs/corpus-1")
    assert "pseudo-perplexity" in ended.out
    assert "and at least 32 following characters" in ended.out
    (figures,) = both("eval", "runs/corpus-1", "--json").records
    assert "perplexity" not in figures
    assert figures["pseudo_perplexity"] > 1
    assert figures["lookahead"] == 32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fill", "no gap"], "the text 'no gap' has no gap"),
        (["fill", "no gap " * 999], "has no gap; write '_' in place of each missing character"),
        (["fill", "corpus.txt"], "; to fill the gaps in that file: charlm fill - < corpus.txt"),
        (["fill", "corpus-1"], "; the model is the second argument: charlm fill - corpus-1"),
        (["fill", "The Ü_"], "'Ü'"),
        (["proofread", "missing.txt"], "cannot read missing.txt"),
    ],
)
def test_invalid_input_is_an_error(both, arguments, words):
    ended = both(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.last_note


@pytest.mark.parametrize(
    "arguments", [["fill", "a_", "--gap", "xy"], ["proofread", "corpus.txt", "--odds", 1]]
)
def test_invalid_value_exits_with_2(both, arguments):
    ended = both(*arguments)
    assert ended.code == 2
    assert f"charlm: {arguments[2]} must be " in ended.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--cell", "lstm", "--activation", "relu"],
            "--activation must be omitted for the cell lstm",
        ),
        (["--cell", "jordan", "--bidirectional"], "--bidirectional must be omitted"),
        (["--cell", "jordan", "--head-layers", 1], "--head-layers must be 0"),
        (["--cell", "jordan", "--dropout", 0.5], "--dropout must be 0"),
        (["--residual"], "--residual must be omitted"),
        (["--cell", "elman"], "one of rnn, jordan, lstm, lstm-peephole, lstm-coupled, gru, "),
    ],
)
def test_option_without_effect_exits_with_2(charlm, options, words):
    ended = charlm("train", "corpus.txt", *options)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--cell", "jordan", "--layers", 2, "--activation", "sigmoid"],
        ["--cell", "sru", "--layers", 3, "--residual", "--head-layers", 1],
        ["--cell", "gru-cho", "--bidirectional", "--layers", 2, "--dropout", 0.2],
    ],
)
def test_combined_options_are_trained_resumed_and_scored(charlm, options):
    assert charlm("train", "corpus.txt", *options).code == 0
    more = charlm("train", "--resume", *options, "--steps", 30)
    assert more.code == 0, more.err
    (figures,) = charlm("eval", "--json").records
    assert figures["nats_per_char"] > 0


# Models of documents

DOCUMENTS = {"lines": True, "files": True, "separator": "%%", "column": "2", "field": "t"}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> Shell:
    """A directory with a bidirectional model of each kind of documents, and one of a text."""
    folder = tmp_path_factory.mktemp("kinds")
    shell = Shell(folder)
    words = TEXT.split()[:60]
    (folder / "a.txt").write_text("\n%%\n".join(words))
    (folder / "column.txt").write_text("".join(f"{word}\t{word}\n" for word in words))
    (folder / "field.txt").write_text("".join(f'{{"t": "{word}"}}\n' for word in words))
    (folder / "letter.txt").write_text("the mazhine\n\nthe letter\n\n")
    for kind, value in {"text": None, **DOCUMENTS}.items():
        options = [] if value is None else [f"--{kind}", *([value] if value is not True else [])]
        corpus = f"{kind}.txt" if kind in ("column", "field") else "a.txt"
        settings = ["--bidirectional", "--hidden", 4, "--steps", 2, "--val-fraction", 0, "--quiet"]
        ended = shell("train", corpus, *options, *settings, "--out", kind)
        assert ended.code == 0, ended.err
    return shell


def found_by(shell: Shell, *words: object) -> list[dict]:
    ended = shell("proofread", "letter.txt", *words, "--odds", 1.01, "--json")
    assert ended.code == 0, ended.err
    return ended.records


@pytest.mark.parametrize("read_as", ["lines", "files"])
@pytest.mark.parametrize("kind", DOCUMENTS)
def test_proofread_reads_lines_or_one_document(kinds, kind, read_as):
    model = package.load(kinds.folder / kind)
    model.text_config = TextConfig(**{read_as: True})
    text = (kinds.folder / "letter.txt").read_text()
    text = text if read_as == "lines" else text.rstrip("\n")
    expected = [asdict(misfit) for misfit in model.proofread(text, odds=1.01)]
    assert expected
    assert found_by(kinds, kind, f"--{read_as}") == expected
    if kind == read_as:
        assert found_by(kinds, kind) == expected


@pytest.mark.parametrize("kind", ["separator", "column", "field"])
def test_proofread_refuses_records(kinds, kind):
    ended = kinds("proofread", "letter.txt", kind)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"charlm: the model reads documents by --{kind} '{DOCUMENTS[kind]}', which proofread "
        "cannot; specify --lines for a text with a document on each line, or --files for a text "
        "that is one document\n"
    )


@pytest.mark.parametrize("option", ["--lines", "--files"])
def test_kind_of_document_is_refused_for_a_model_of_texts(kinds, option):
    ended = kinds("proofread", "letter.txt", "text", option)
    assert (ended.code, ended.out) == (2, "")
    assert f"{option} has no effect on a model that was trained on a text" in ended.err
    assert found_by(kinds, "text")
