"""`charlm sample` on a model of documents: what is printed, and to where."""

import math

import pytest

import charlm
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.inference import document_sampling
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from tests.shell import Ended
from tests.terminal import run, run_on_terminal

NAMES = "anna bert cora dora emil ann bea cor té ber\n".replace(" ", "\n") * 3
VERSES = "a rose\nis a rose\n\nis it\n\na rose\nor\tnot\n\n" * 8
MODELS = {
    "lines": (NAMES, TextConfig(lines=True, encoding="latin-1")),
    "verses": (VERSES, TextConfig(separator="\n\n")),
    "text": (NAMES, TextConfig()),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model of each kind, and its corpus."""
    folder = tmp_path_factory.mktemp("sampled")
    for name, (text, config) in MODELS.items():
        path, fraction = folder / f"{name}.txt", 0 if name == "lines" else None
        path.write_text(text, encoding=config.encoding)
        charlm.train(
            Corpus.read(path, config),
            ModelConfig("gru", 12),
            TrainConfig(seq_len=16, batch_size=4, warmup=0, lr=0.03, val_fraction=fraction),
            Budget(steps=150),
            out=folder / name,
            threads=1,
        )
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def sample(*words: object) -> Ended:
    return run(["sample", *map(str, words), "--random-seed", "1"])


def documents(ended: Ended, end: str = "\n") -> list[str]:
    assert ended.code == 0
    *each, rest = ended.out.split(end)
    assert not rest
    return each


def test_documents_are_printed_one_per_line():
    printed = documents(sample("lines", "--count", 30))
    records = sample("lines", "--count", 30, "--json").records
    assert [record["text"] for record in records] == printed
    assert len(printed) == 30
    for record in records:
        assert record["ended"]
        assert list(record)[:3] == ["text", "ended", "model"]
        assert (record["random_seed"], record["prompt"], record["stop"]) == (1, "", "")
    assert documents(sample("lines")) == printed[:1], "one is printed as it is sampled"
    (single,) = sample("lines", "--json").records
    assert single == records[0]


def test_a_prompt_is_the_beginning_of_each_document(folder):
    for words in (["--seed", "co"], ["--seed", "co", "--json"]):
        ended = sample("lines", "--count", 8, *words)
        found = documents(ended) if len(words) == 2 else [each["text"] for each in ended.records]
        assert len(found) == 8
        assert all(text.startswith("co") for text in found)
    (folder / "prompt.txt").write_text("co\n")
    from_file = sample("lines", "--count", 8, "--prompt-file", "prompt.txt", "--json").records
    assert [record["text"] for record in from_file] == found
    assert from_file[0]["prompt_file"] == "prompt.txt"
    (one,) = documents(sample("lines", "--seed", "co"))
    assert one == found[0]


def test_unique_and_new_documents(monkeypatch):
    found = documents(sample("lines", "--count", 25, "--unique", "--new"))
    assert len(found) == len(set(found)) == 25
    assert not set(found) & set(NAMES.splitlines())
    every = documents(sample("lines", "--count", 2000))
    distinct = dict.fromkeys(text for text in every if text not in NAMES.split("\n"))
    assert found == list(distinct)[:25]
    assert set(every) & set(NAMES.split()), "without --new there are such documents"
    monkeypatch.setattr(document_sampling, "PATIENCE", 40)
    ended = sample("lines", "--count", 9, "--unique", "--temperature", 0)
    assert len(documents(ended)) == 1
    assert "found only 1 of 9 documents: the last 40 that were sampled" in ended.err


@pytest.mark.parametrize(
    ("change", "said"), [("more\n", "has changed"), (None, "No such file or directory")]
)
def test_new_documents_need_the_corpus(folder, change, said):
    corpus = folder / "lines.txt"
    content = corpus.read_bytes()
    try:
        if change is None:
            corpus.unlink()
        else:
            corpus.write_bytes(content + change.encode())
        ended = sample("lines", "--count", 2, "--new")
    finally:
        corpus.write_bytes(content)
    assert (ended.code, ended.out) == (1, "")
    assert said in ended.err
    assert ended.err.endswith("; omit --new\n")


@pytest.mark.parametrize("more", [[], ["--temperature", "0.5", "--seed", "b"]], ids=str)
def test_likelihood_is_that_of_eval(folder, more):
    rows = documents(sample("lines", "--count", 12, "--likelihood", *more))
    bits, texts = zip(*(row.split("\t") for row in rows), strict=True)
    records = sample("lines", "--count", 12, "--likelihood", "--json", *more).records
    assert [record["text"] for record in records] == list(texts)
    scores = charlm.load("lines").score(list(texts))
    assert [record["nats"] for record in records] == pytest.approx(scores.nats.tolist())
    for shown, nats in zip(bits, scores.nats.tolist(), strict=True):
        assert float(shown) == pytest.approx(nats / math.log(2), abs=5e-5)
    for record in records[:3]:
        (folder / "one.txt").write_text(record["text"] + "\n", encoding="utf-8")
        (evaluated,) = run(["eval", "lines", "one.txt", "--lines", "--json"]).records
        assert evaluated["nats_per_document"] == pytest.approx(record["nats"], rel=1e-6)


def test_documents_that_are_cut_off_are_marked():
    ended = sample("lines", "--count", 20, "--length", 4)
    records = sample("lines", "--count", 20, "--length", 4, "--json").records
    assert [record["text"] for record in records] == documents(ended)
    cut = [len(record["text"]) == 4 for record in records]
    assert [not record["ended"] for record in records] == cut
    assert 0 < sum(cut) < 20
    assert f"{sum(cut)} of 20 documents did not end within --length 4" in ended.err


CUT = "1 of 1 document did not end within --length {}\n"


@pytest.mark.parametrize(
    "more", [[], ["--seed", "o"], ["--stop", "a"], ["--stop", "e", "--stop", "nn"]]
)
@pytest.mark.parametrize("model", ["lines/last.npz", "verses/last.npz"])
def test_a_document_that_is_cut_off_is_marked_as_one_of_several_is(model, more):
    ends = set()
    for length in (0, 1, 2, 3, 4, 9, 99):
        options = [model, "--length", length, *more]
        (record,) = sample(*options, "--json").records
        ends.add(record["ended"])
        assert sample(*options).err == ("" if record["ended"] else CUT.format(length))
    assert ends == {True, False}


def test_several_documents_with_newlines_are_separated_by_nul_on_a_pipe():
    records = sample("verses", "--count", 20, "--json").records
    texts = [record["text"] for record in records]
    assert any("\n" in text for text in texts)
    assert documents(sample("verses", "--count", 20), "\0") == texts
    rows = documents(sample("verses", "--count", 20, "--likelihood"), "\0")
    assert [row.partition("\t")[2] for row in rows] == texts
    (one,) = documents(sample("verses", "--count", 20, "--unique", "--temperature", 0), "\0")
    assert one
    assert sample("verses").out == texts[0] + "\n"


def on_terminal(*words: str) -> str:
    """What a terminal shows in the end, without the bar that was erased."""
    shown = run_on_terminal(["sample", *words]).out
    return "\n".join(line.rpartition("\r")[2] for line in shown.split("\n"))


def test_documents_on_a_terminal():
    words = ["--count", "4", "--random-seed", "1"]
    texts = [record["text"] for record in sample("verses", "--count", 4, "--json").records]
    heads = [f"--- {n} of 4" for n in range(1, 5)]
    expected = "".join(f"{head}\n{text}\n" for head, text in zip(heads, texts, strict=True))
    assert on_terminal("verses", *words).endswith(expected)
    scored = on_terminal("verses", *words, "--likelihood")
    lines = [line for line in scored.splitlines() if line.startswith("---")]
    assert all(line.startswith(f"{head}, ") for line, head in zip(lines, heads, strict=True))
    assert all(line.endswith(" bits") for line in lines)
    assert on_terminal("lines", *words).endswith(sample("lines", "--count", 4).out)


def test_options_of_documents_are_refused_on_texts(monkeypatch):
    for name in ("unique", "new", "likelihood"):
        ended = sample("text", f"--{name}")
        assert (ended.code, ended.out) == (2, "")
        assert f"--{name} has no effect on a model that was trained on a text" in ended.err
        assert "charlm train FILE --lines" in ended.err
        monkeypatch.setenv(f"CHARLM_SAMPLE_{name.upper()}", "1")
    assert sample("text", "--length", 5).code == 0, "a variable may be for other models"


# Stop texts and separators


@pytest.mark.parametrize("model", ["text", "verses"])
def test_several_stop_texts_with_escapes(model, monkeypatch):
    options = ["--count", 20, "--json"]
    ended = sample(model, "--stop", r"\na", "--stop", r"o\n", *options)
    assert all(record["stop"] == ["\na", "o\n"] for record in ended.records)
    texts = [record["text"] for record in ended.records]
    assert {"\na", "o\n"} & {text[-2:] for text in texts}
    assert not any(stop in text[:-1] for text in texts for stop in ("\na", "o\n"))
    single = sample(model, "--stop", r"s\n", *options)
    assert all(record["stop"] == "s\n" for record in single.records)
    monkeypatch.setenv("CHARLM_SAMPLE_STOP", r"s\n")
    assert sample(model, *options).out == single.out
    monkeypatch.setenv("CHARLM_SAMPLE_STOP", "a r")
    assert sample("verses", *options).records[0]["stop"] == "a r", "not split at the space"


@pytest.mark.parametrize("count", [1, 20])
def test_no_line_is_empty_unless_an_empty_one_was_sampled(count):
    options = ["text", "--count", count, "--stop", r"\n"]
    texts = [record["text"] for record in sample(*options, "--json").records]
    lines = sample(*options).out.split("\n")[:-1]
    assert [line for line in lines if not line.startswith("---")] == [t[:-1] for t in texts]


def test_stop_texts_that_cannot_come_are_refused():
    for stops in (["a", "§"], ["", "a"]):
        words = [word for stop in stops for word in ("--stop", stop)]
        ended = sample("text", *words)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.startswith("charlm: --stop must be ")


def test_a_separator_with_escapes_is_that_of_the_library():
    train = ["train", "verses.txt", "--steps", "2", "--hidden", "4", "--quiet", "--force"]
    assert run([*train, "--separator", r"\n\n", "--out", "again"]).code == 0
    assert charlm.load("again").text_config == TextConfig(separator="\n\n")
    (typed,) = run(["eval", "verses", "verses.txt", "--separator", r"\n\n", "--json"]).records
    (given,) = run(["eval", "verses", "verses.txt", "--json"]).records
    assert typed == given
