"""`charlm eval --baseline`: rows and keys for models without a network."""

import json
import math
import shutil

import pytest

import charlm as package
from charlm.baselines.compressors import compressors
from charlm.cli.baseline_rows import more_or_fewer
from tests.helpers import run, small_trainer
from tests.shell import QUICK, TEXT, Shell

NAMES = ["uniform", "unigram", "ngram", *compressors()]
LINES = "".join(f"{'abc'[n % 3] * (n % 5 + 1)}{n % 7}\n" for n in range(200))


def figures(ended) -> dict:
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


@pytest.fixture(scope="module")
def of_lines(tmp_path_factory) -> Shell:
    """A folder with a model of lines."""
    folder = tmp_path_factory.mktemp("lines")
    (folder / "names.txt").write_text(LINES)
    shell = Shell(folder, **QUICK)
    assert shell("train", "names.txt", "--lines", "--quiet").code == 0
    return shell


def test_each_baseline_has_a_row(trained):
    ended = trained("eval", "--baseline")
    assert ended.code == 0
    table = ended.out[ended.out.index("baseline  ") :].splitlines()
    heading, *rows, conclusion = (line.split() for line in table)
    assert heading == ["baseline", "perplexity", "bits", "per", "character"]
    order = rows[2][0]
    assert order.endswith("-gram")
    assert [row[0] for row in rows] == ["uniform", "unigram", order, *compressors()]
    for row in rows:
        assert math.log2(float(row[-2])) == pytest.approx(float(row[-1]), abs=2e-4)
    assert " ".join(conclusion).startswith("the model needs ")
    assert " ".join(conclusion).endswith(f"% more bits than the {order}")  # after 20 steps


def test_keys_are_the_figures_of_the_library(trained):
    ours = figures(trained("eval", "--baseline", "--json"))
    model = package.load(trained.folder / "runs/corpus-1")
    baselines = model.baselines()
    expected = baselines.held_out()
    assert list(ours["baselines"]) == NAMES
    for name, found in ours["baselines"].items():
        assert found.pop("order", None) == (baselines.ngram.order if name == "ngram" else None)
        assert found == {
            key: getattr(expected[name], key)
            for key in ("nats_per_char", "bits_per_char", "perplexity")
        }
    assert {score.characters for score in expected.values()} == {ours["characters"]}


def test_the_figures_of_the_model_are_those_without_baselines(trained):
    with_them, without = (figures(trained("eval", "--json", *o)) for o in (["--baseline"], []))
    del with_them["baselines"]
    assert with_them == without
    assert "baseline" not in trained("eval").out


def test_each_text_and_the_total_have_baselines(trained):
    texts = {"one.txt": TEXT[:700], "two.txt": "A Machine, 猫.\n"}
    for name, text in texts.items():
        (trained.folder / name).write_text(text, encoding="utf-8")
    ours = figures(trained("eval", "one.txt", "two.txt", "--baseline", "--json"))
    each = [figures(trained("eval", name, "--baseline", "--json")) for name in texts]
    assert [text["baselines"] for text in ours["texts"]] == [one["baselines"] for one in each]
    for name in NAMES:
        nats = [one["baselines"][name]["nats_per_char"] * one["characters"] for one in each]
        total = ours["baselines"][name]["nats_per_char"] * ours["characters"]
        assert total == pytest.approx(sum(nats))
    ended = trained("eval", "one.txt", "two.txt", "--baseline")
    rows = ended.out[ended.out.index("bits per character  uniform") :].splitlines()[1:4]
    assert [row.split()[0] for row in rows] == ["one.txt", "two.txt", "total"]
    assert rows[0].split()[1] == f"{each[0]['baselines']['uniform']['bits_per_char']:.4f}"
    assert "fewer than 1,000 characters" in ended.err


def test_piped_text_is_compared(trained):
    ours = figures(trained("eval", "-", "--baseline", "--json", stdin=TEXT))
    assert ours["characters"] == len(TEXT) - 1
    assert ours["baselines"]["ngram"]["bits_per_char"] < 0.1


def test_options_for_the_text_do_not_change_how_the_corpus_is_read(trained):
    (trained.folder / "text.16").write_text(TEXT, encoding="utf-16")
    (trained.folder / "text.8").write_text(TEXT, encoding="utf-8")
    options = ["--encoding", "utf-16", "--newlines", "lf"]
    ours = figures(trained("eval", "text.16", "--baseline", "--json", *options))
    theirs = figures(trained("eval", "text.8", "--baseline", "--json"))
    assert ours | {"text": ""} == theirs | {"text": ""}


def test_documents_are_compared(of_lines):
    held_out = figures(of_lines("eval", "--baseline", "--json"))
    assert list(held_out["baselines"]) == NAMES
    assert held_out["baselines"]["uniform"]["perplexity"] == pytest.approx(11)  # with the end
    (of_lines.folder / "more.txt").write_text("aaa1\n\nzb2\ncc\n")
    (of_lines.folder / "none.txt").write_text("")
    ours = figures(of_lines("eval", "more.txt", "none.txt", "--baseline", "--json"))
    model = package.load(of_lines.folder / "runs/names-1")
    expected = model.baselines().score(["aaa1", "", "zb2", "cc"])
    assert ours["characters"] == expected["ngram"].characters == 4 + 1 + 1 + 2 + 1 + 2 + 1
    found = ours["baselines"]["ngram"]["nats_per_char"]
    assert found == pytest.approx(expected["ngram"].nats_per_char)


@pytest.mark.parametrize(
    ("change", "message"), [("gone", "cannot read"), ("changed", "has changed")]
)
def test_an_unavailable_corpus_is_an_error_before_anything_is_scored(charlm, change, message):
    corpus = charlm.folder / "corpus.txt"
    charlm("train", corpus.name, "--steps", 1, "--quiet")
    shutil.copy(corpus, charlm.folder / "text.txt")
    if change == "gone":
        corpus.unlink()
    else:
        corpus.write_text(TEXT.replace("machine", "engine"))
    refusal = charlm("eval", "runs/corpus-1", "text.txt", "--baseline").refusal
    assert message in refusal
    assert refusal.endswith("omit --baseline")


def test_a_bidirectional_model_is_refused(charlm):
    charlm("train", "corpus.txt", "--bidirectional", "--steps", 1, "--quiet")
    assert "from both sides" in charlm("eval", "runs/corpus-1", "--baseline").refusal


def test_difference_in_percent():
    assert more_or_fewer(90, 100) == "10.0 % fewer"
    assert more_or_fewer(125, 100) == "25.0 % more"
    assert more_or_fewer(0, 0) == "0.0 % fewer"


def test_training_ends_with_the_figures_of_the_ngram_model(training):
    shell, ended = training
    done, ours = ended.records[-1], figures(shell("eval", "--baseline", "--json"))
    assert done["ngram"] == ours["baselines"]["ngram"]


def test_the_summary_of_training_has_a_row_for_the_ngram_model(charlm):
    ended = charlm("train", "corpus.txt")
    (row,) = (line for line in ended.err.splitlines() if "-gram (Kneser-Ney)" in line)
    found = figures(charlm("eval", "runs/corpus-1", "--baseline", "--json"))["baselines"]["ngram"]
    perplexity, bits = (f"{found[key]:.4f}" for key in ("perplexity", "bits_per_char"))
    shown = f"perplexity {perplexity}, {bits} bits; the model needs "
    assert row.startswith(f"{found['order']}-gram (Kneser-Ney)")
    assert shown in row
    assert row.endswith(" % more")  # after 20 steps


@pytest.mark.parametrize("option", [["--val-fraction", 0], ["--bidirectional"]])
def test_without_comparable_figures_the_summary_has_no_such_row(charlm, option):
    ended = charlm("train", "corpus.txt", *option)
    assert ended.code == 0
    assert "-gram" not in ended.err
    assert charlm.history("runs/corpus-1")[-1]["ngram"] is None


def test_a_run_does_not_fail_for_want_of_memory_for_its_baseline(monkeypatch):
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("charlm.training.baselines.ngram_model", fail)
    records = run(small_trainer(steps=1))
    assert records[-1].ngram is None
    assert records[-1].perplexity is not None
