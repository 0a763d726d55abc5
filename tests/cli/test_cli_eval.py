"""`charlm eval`: the choice of text and model, and consistent results."""

import json
import math
import re

import pytest

import charlm as package
from charlm.cli.eval_output import context as context_of
from charlm.inference.scoring import Score
from tests.shell import QUICK, TEXT, Ended, Shell

HELD_OUT = "the validation split of the model's corpus, on which it was selected"
MODEL = "runs/corpus-1/best.npz"


def figures(ended: Ended) -> dict:
    """The one JSON object on stdout."""
    assert ended.code == 0
    return json.loads(ended.out)


@pytest.fixture(scope="module")
def scored(trained) -> dict:
    """The output of `eval --json` for a text with unknown characters."""
    (trained.folder / "text.txt").write_text("The Übel reads the machine, 猫!\n", encoding="utf-8")
    return figures(trained("eval", "text.txt", "--json"))


def test_validation_split_is_scored_by_default(trained):
    ended = trained("eval")
    assert ended.code == 0
    assert HELD_OUT.partition(",")[0] in ended.out
    assert ended.err.startswith(f"model: {MODEL}\n")
    assert "the model was selected on this split" in ended.last_note


def test_validation_result_equals_that_of_training(training):
    shell, trained = training
    done, ours = trained.records[-1], figures(shell("eval", "--json"))
    for key in ("nats_per_char", "bits_per_char", "perplexity", "characters"):
        assert ours[key] == done[key]


def test_note_on_selection_is_for_the_validation_split_only(trained, scored):
    ended = trained("eval", "text.txt")
    assert f"{scored['perplexity']:.4f}" in ended.out
    assert "selected" not in ended.err


def test_json_has_the_results_and_their_source(scored):
    assert {
        *("nats_per_char", "bits_per_char", "perplexity", "characters", "unknown_characters"),
        *("model", "text"),
    } <= set(scored)
    assert scored["bits_per_char"] == pytest.approx(scored["nats_per_char"] / math.log(2))
    assert scored["perplexity"] == pytest.approx(math.exp(scored["nats_per_char"]))


def test_result_equals_that_of_the_library(trained, scored):
    text = (trained.folder / "text.txt").read_text(encoding="utf-8")
    model = package.load(trained.folder / "runs/corpus-1")
    assert scored["perplexity"] == pytest.approx(model.perplexity(text))


def test_unknown_characters_are_counted_and_skipped(trained, scored):
    known = figures(trained("eval", "-", "--json", stdin="The el reads the machine, \n"))
    assert scored["unknown_characters"] == 4
    assert known["unknown_characters"] == 0
    assert scored["characters"] == known["characters"] == 26
    assert scored["nats_per_char"] == known["nats_per_char"]


@pytest.mark.parametrize(
    ("arguments", "model", "text"),
    [
        ([], MODEL, HELD_OUT),
        (["runs/corpus-1"], MODEL, HELD_OUT),
        (["known.txt"], MODEL, "known.txt"),
        (["-"], MODEL, "-"),
        (["runs/corpus-1/last.npz", "-"], "runs/corpus-1/last.npz", "-"),
        (["-", "runs/corpus-1/last.npz"], "runs/corpus-1/last.npz", "-"),
        (["known.txt", "corpus-1"], MODEL, "known.txt"),
        (["known.txt", "--model", "corpus-1"], MODEL, "known.txt"),
        (["-m", "runs/corpus-1/", "known.txt"], MODEL, "known.txt"),
    ],
)
def test_model_and_text_are_named_in_any_order(trained, arguments, model, text):
    (trained.folder / "known.txt").write_text("the machine\n")
    stdin = "the machine\n" if "-" in arguments else ""
    ended = trained("eval", *arguments, "--json", stdin=stdin)
    ours = figures(ended)
    assert (ours["model"], ours["text"]) == (model, text)
    assert ours["trained_on"] == [str(trained.folder / "corpus.txt")]
    named = any("corpus-1" in argument for argument in arguments)
    assert ended.err == ("" if named else f"model: {MODEL}\n")


def test_text_from_stdin(trained, scored):
    text = (trained.folder / "text.txt").read_text(encoding="utf-8")
    assert figures(trained("eval", "-", "--json", stdin=text)) == scored | {"text": "-"}


def test_each_character_is_scored_once_for_any_number_of_streams(trained):
    one, two = (figures(trained("eval", "--json", "--streams", n)) for n in (1, 2))
    assert (one["streams"], two["streams"]) == (1, 2)
    assert one["characters"] == two["characters"]
    assert one["nats_per_char"] == pytest.approx(two["nats_per_char"], rel=0.05)


def test_windows_are_scored_from_zeros(trained):
    cold = figures(trained("eval", "--json", "--cold", 16))
    warm = figures(trained("eval", "--json"))
    model = package.load(trained.folder / MODEL)
    (text,) = map("".join, model.held_out())
    assert cold["nats"] == pytest.approx(model.score(text, cold=16).nats)
    assert (cold["cold"], warm["cold"]) == (16, 0)
    assert cold["characters"] == warm["characters"]
    assert cold["nats"] != pytest.approx(warm["nats"], rel=1e-6)
    out = trained("eval", "--cold", 16).out
    assert re.search(r"^context +at most 16 characters \(windows, each", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cold", 16, "--streams", 2], "--cold and --streams cannot be combined"),
        (["--cold", 16, "--lines"], "--cold has no effect on documents"),
        (["--cold", 0], "at least 1"),
        (["--dynamic", "--streams", 2], "--streams and --dynamic cannot be combined"),
        (["--dynamic", "--cold", 2], "--cold and --dynamic cannot be combined"),
        (["--dynamic", "--lines"], "--dynamic has no effect on documents"),
    ],
)
def test_ways_to_score_that_contradict_are_refused(trained, several, options, words):
    ended = trained("eval", several[0], *options)
    assert ended.code == 2
    assert words in ended.last_note


def test_dynamic_evaluation_stands_beside_the_static_one(trained, several):
    path = trained.folder / MODEL
    before = path.read_bytes()
    both = figures(trained("eval", MODEL, *several, "--json", "--dynamic"))
    static = figures(trained("eval", MODEL, *several, "--json"))
    assert "dynamic" not in static
    assert path.read_bytes() == before
    dynamics = [each.pop("dynamic") for each in (both, *both["texts"])]
    assert both == static
    assert dynamics[0]["nats"] == pytest.approx(sum(each["nats"] for each in dynamics[1:]))
    assert dynamics[0]["perplexity"] == pytest.approx(math.exp(dynamics[0]["nats_per_char"]))
    model, text = package.load(path), (trained.folder / several[2]).read_text()
    assert dynamics[3]["nats"] == pytest.approx(model.score(text, dynamic=True).dynamic.nats)
    out = trained("eval", MODEL, several[2], "--dynamic").out
    shown = re.search(r"^dynamic evaluation +perplexity ([\d.]+), ", out, re.MULTILINE)[1]
    assert shown == f"{dynamics[3]['perplexity']:.4f}"


@pytest.fixture(scope="module")
def second(trained) -> str:
    """A second model of the same corpus."""
    words = ("corpus.txt", "--cell", "gru", "--random-seed", 7, "--out", "second", "--quiet")
    assert trained("train", *words).code == 0
    return "second/best.npz"


def test_mean_of_models_stands_above_the_figures_of_each(trained, second, several):
    for texts in ([], several):
        mean = figures(trained("eval", MODEL, second, *texts, "--mean", "--json"))
        alone = [figures(trained("eval", model, *texts, "--json")) for model in (MODEL, second)]
        assert [each["model"] for each in mean["models"]] == [MODEL, second]
        for each, expected in zip(mean["models"], alone, strict=True):
            for key in ("nats", "nats_per_char", "bits_per_char", "perplexity", "interval"):
                assert each[key] == expected[key]
        assert mean["nats"] < max(each["nats"] for each in alone)
        assert mean["model"] is None
        assert mean["trained_on"] == alone[0]["trained_on"]
        assert [len(each["models"]) for each in mean.get("texts", [])] == [2] * len(texts)
    out = trained("eval", MODEL, second, several[0], "--mean").out
    assert re.search(rf"^model 2 +{second}: perplexity [\d.]+, ", out, re.MULTILINE)
    assert re.search(r"^model +the mean of 2 models", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([MODEL, "second"], 2, "specify one model instead of 2: .* add --mean"),
        ([MODEL, "--mean"], 2, "--mean requires at least two models, got"),
        (["--mean"], 2, "--mean requires at least two models, got none"),
        ([MODEL, MODEL, "--mean"], 2, "all models are"),
        ([MODEL, "second", "--mean", "--dynamic"], 2, "--mean and --dynamic cannot be combined"),
        ([MODEL, "other", "--mean"], 2, "different validation splits; specify a text"),
        ([MODEL, "other", "a.txt", "--mean"], 1, "cannot average .*: their vocabularies differ"),
    ],
)
def test_models_without_a_mean_are_refused(trained, second, words, code, message):
    (trained.folder / "a.txt").write_text(TEXT, encoding="utf-8")
    if "other" in words and not (trained.folder / "other").exists():
        trained("train", "a.txt", "-", "--out", "other", "--quiet", stdin="XYZ" * 99)
    ended = trained("eval", *words)
    assert ended.code == code
    assert re.search(message, ended.last_note)


def test_encoding_of_the_text(trained, scored):
    text = (trained.folder / "text.txt").read_text(encoding="utf-8")
    (trained.folder / "utf16.txt").write_text(text, encoding="utf-16")
    ours = figures(trained("eval", "utf16.txt", "--encoding", "utf-16", "--json"))
    assert ours == scored | {"text": "utf16.txt"}


def test_line_endings_are_kept_or_converted(trained, scored):
    text = (trained.folder / "text.txt").read_bytes()
    (trained.folder / "crlf.txt").write_bytes(text.replace(b"\n", b"\r\n"))
    kept = figures(trained("eval", "crlf.txt", "--json"))
    assert kept["unknown_characters"] == scored["unknown_characters"] + text.count(b"\n")
    converted = figures(trained("eval", "crlf.txt", "--json", "--newlines", "lf"))
    assert converted == scored | {"text": "crlf.txt"}


def test_too_short_text_is_an_error(trained):
    line = trained("eval", "runs/corpus-1", "-", stdin="a猫").refusal
    assert "at least 2" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("gone", "corpus.txt"),
        ("changed", "has changed"),
        ("stdin", "standard input"),
    ],
)
def test_unavailable_validation_split_is_an_error(charlm, change, message):
    corpus = charlm.folder / "corpus.txt"
    source = "-" if change == "stdin" else corpus.name
    charlm("train", source, "--steps", 1, "--out", "run", "--quiet", stdin=TEXT)
    if change == "gone":
        corpus.unlink()
    elif change == "changed":
        corpus.write_text(TEXT.replace("machine", "engine"))
    assert message in charlm("eval", "run").refusal


@pytest.fixture(scope="module")
def several(trained) -> list[str]:
    """The names of texts in a folder, in reading order."""
    folder = trained.folder / "several"
    folder.mkdir()
    texts = {"a.txt": TEXT[:500], "b.txt": "The machine, 猫猫!\n", "c.txt": TEXT[100:]}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [f"several/{name}" for name in texts]


def test_each_of_several_texts_is_scored_as_if_alone(trained, several):
    total = figures(trained("eval", *several, "corpus-1", "--json"))
    alone = [figures(trained("eval", name, "--json")) for name in several]
    about = {"model": total["model"], "trained_on": total["trained_on"]}
    assert [each | about for each in total["texts"]] == alone
    for key in ("nats", "characters", "unknown_characters", "length", "parts"):
        assert total[key] == pytest.approx(sum(each[key] for each in alone))
    assert total["nats_per_char"] == pytest.approx(total["nats"] / total["characters"])
    assert total["perplexity"] == pytest.approx(math.exp(total["nats_per_char"]))
    assert total["unknown_fraction"] == total["unknown_characters"] / total["length"]
    assert "text" not in total


@pytest.mark.parametrize("sources", [["several"], ["several/*.txt"], ["several/[ab].txt", "-"]])
def test_directories_and_globs_stand_for_texts(trained, several, sources):
    total = figures(trained("eval", "corpus-1", *sources, "--json", stdin=TEXT))
    names = [each["text"] for each in total["texts"]]
    assert names == ([*several[:2], "-"] if "-" in sources else several)


def test_table_has_a_row_for_each_text_and_the_total(trained, several):
    ended = trained("eval", *several)
    total = figures(trained("eval", *several, "--json"))
    head, *rows = [line.split() for line in ended.out.splitlines()]
    assert head[:2] == ["text", "perplexity"]
    assert [row[0] for row in rows[:4]] == [*several, "total"]
    assert [row[1] for row in rows[:3]] == [f"{each['perplexity']:.4f}" for each in total["texts"]]
    assert rows[3][1] == rows[4][1] == f"{total['perplexity']:.4f}"
    assert "17.6 % of the characters of several/b.txt" in ended.last_note


@pytest.mark.parametrize(
    ("text", "words"), [("", "the text is empty"), ("a", "at least 2"), ("猫猫猫", "at least 2")]
)
def test_text_that_cannot_be_scored_is_named(trained, several, text, words):
    (trained.folder / "short.txt").write_text(text, encoding="utf-8")
    for others in ([], several):
        line = trained("eval", "corpus-1", "short.txt", *others).refusal
        assert line.startswith("charlm: short.txt: ")
        assert words in line
    assert trained("eval", "-", stdin=text).last_note.startswith("charlm: standard input: ")


def test_perplexity_that_overflows_is_null(trained, tmp_path):
    model = package.load(trained.folder / "runs/corpus-1")
    model.params.flat[:] *= 1e4
    model.save(tmp_path / "steep.npz")
    (tmp_path / "a.txt").write_text(TEXT[:99], encoding="utf-8")
    texts = [tmp_path / "a.txt"] * 2
    total = figures(trained("eval", "-m", tmp_path / "steep.npz", *texts, "--json"))
    for each in (total, *total["texts"]):
        assert each["nats_per_char"] > 710
        assert each["perplexity"] is None


def test_row_of_the_context(trained, several):
    long = trained.folder / "long.txt"
    long.write_text(TEXT * 12, encoding="utf-8")

    def context(*texts: object) -> str:
        out = trained("eval", MODEL, *texts).out
        return re.search(r"^context +(.+)$", out, re.MULTILINE)[1]

    assert context(several[0]) == "all preceding characters"
    assert re.fullmatch(
        r"all preceding characters \(read in \d+ parallel parts(, [1-9]\d* of them twice)?\)",
        context(long),
    )
    assert (
        context_of([Score(1.0, 1, parts=9)])
        == "all preceding characters (read in 9 parallel parts)"
    )
    assert context(long, several[0], long) == "all preceding characters of its text"


def test_interval_stands_beside_the_perplexity(trained, several):
    (trained.folder / "long.txt").write_text(TEXT * 12, encoding="utf-8")
    words = ("eval", MODEL, "long.txt", several[0])
    total = figures(trained(*words, "--json"))
    long, short = total["texts"]
    assert short["interval"] is None
    for each in (total, long):
        assert each["interval"]["blocks"] == each["characters"] // 1000 + (each is total)
        for key in ("nats_per_char", "bits_per_char", "perplexity"):
            low, high = each["interval"][key]
            assert low <= each[key] <= high
    bits, nats = (long["interval"][f"{unit}_per_char"] for unit in ("bits", "nats"))
    assert bits == pytest.approx([each / math.log(2) for each in nats])
    assert long["interval"]["perplexity"] == pytest.approx([math.exp(each) for each in nats])
    shown = re.search(r"^perplexity +[\d.]+(.*)$", trained(*words[:3]).out, re.MULTILINE)[1]
    low, high = map(float, re.fullmatch(r" \(95 % interval ([\d.]+) to ([\d.]+)\)", shown).groups())
    assert [low, high] == pytest.approx(long["interval"]["perplexity"], abs=0.006)
    assert "interval" not in trained("eval", MODEL, several[0]).out


def test_standard_input_is_named(trained, several):
    for texts in (["-"], [several[0], "-"]):
        ended = trained("eval", MODEL, *texts, stdin=TEXT[:90])
        assert "standard input" in ended.out
        assert not re.search(r"(^| )-( |$)", ended.out, re.MULTILINE)
    assert figures(trained("eval", MODEL, "-", "--json", stdin=TEXT[:90]))["text"] == "-"


# What a figure is called, for each kind of model

KINDS = {
    "texts": [],
    "documents": ["--lines"],
    "texts both ways": ["--bidirectional"],
    "documents both ways": ["--lines", "--bidirectional"],
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> Shell:
    """A folder with a model of each kind, and a text; tests must not change it."""
    folder = tmp_path_factory.mktemp("kinds")
    shell = Shell(folder, **QUICK)
    words = TEXT.split()
    (folder / "corpus.txt").write_text("".join(f"{w}{n}\n" for n, w in enumerate(words)))
    (folder / "other.txt").write_text("the machine\n\nreads\n")
    for kind, options in KINDS.items():
        arguments = ["corpus.txt", *options, "--steps", 1, "--hidden", 4, "--out", kind]
        ended = shell("train", *arguments, "--quiet")
        assert ended.code == 0, ended.err
    return shell


SOURCES = {"its own": [], "one": ["other.txt"], "several": ["other.txt", "corpus.txt"]}


@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.parametrize("kind", KINDS)
def test_figures_have_the_names_of_what_they_are(kinds, kind, sources):
    words = ("eval", f"{kind}/last.npz", *SOURCES[sources])
    total, out = figures(kinds(*words, "--json")), kinds(*words).out
    pseudo = "pseudo_" * ("both ways" in kind)
    of_documents = {f"{pseudo}nats_per_document", f"{pseudo}word_perplexity", "documents", "words"}
    possible = {f"{p}{name}" for p in ("", "pseudo_") for name in PSEUDO} | {"documents", "words"}
    expected = {f"{pseudo}perplexity"} | (of_documents if "documents" in kind else set())
    for each in (total, *total.get("texts", [])):
        assert set(each) & possible == expected
    if "documents" in kind:
        nats = total[f"{pseudo}nats_per_document"]
        assert nats == pytest.approx(total["nats"] / total["documents"])
    rows = [row.partition("  ")[0] for row in out.splitlines()]
    assert set(rows) & POSSIBLE_ROWS == ROWS[kind]


PSEUDO = ("perplexity", "nats_per_document", "word_perplexity")  # figures, if both sides are given
ROWS = {
    "texts": {"perplexity", "negative log-likelihood"},
    "documents": {
        *("perplexity", "negative log-likelihood", "per document", "perplexity per word"),
        "documents",
    },
    "texts both ways": {"pseudo-perplexity", "pseudo-NLL"},
    "documents both ways": {
        *("pseudo-perplexity", "pseudo-NLL", "pseudo-NLL per document"),
        *("pseudo-perplexity per word", "documents"),
    },
}
POSSIBLE_ROWS = set().union(*ROWS.values())
