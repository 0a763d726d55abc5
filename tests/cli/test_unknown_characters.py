"""What the commands say about the characters that a model does not know, and their options."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from charlm.cli.unknown_characters import percent, warn_of_unknown
from charlm.text.vocabulary import Vocabulary
from tests.shell import QUICK, TEXT, Shell
from tests.terminal import run

CHINESE = "灯是灯。\n"
MIXED = TEXT[:30] + CHINESE  # 4 of 35 characters are unknown
FEW = TEXT[:500] + "灯"


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    """A folder with runs: plain; unk, which has <unk>; both, which is bidirectional."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "corpus.txt").write_text(TEXT + "Ж", encoding="utf-8")
    for name, text in {"mixed": MIXED, "few": FEW, "gap": f"{MIXED}_"}.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    (folder / "plain.txt").write_text(TEXT, encoding="utf-8")
    shell = Shell(folder, **QUICK)
    options = {"unk": ["--min-count", 2], "both": ["--bidirectional"], "plain": []}
    for name, more in options.items():
        corpus = "corpus.txt" if name == "unk" else "plain.txt"
        ended = shell("train", corpus, "--out", f"runs/{name}", "--quiet", "--steps", 1, *more)
        assert ended.code == 0, ended.err
    return shell


COMMANDS = {
    "eval": ["eval", "plain", "{}"],
    "eval unk": ["eval", "unk", "{}"],
    "score": ["score", "plain", "{}"],
    "score unk": ["score", "unk", "{}", "--by", "word"],
    "classify": ["classify", "plain", "unk", "{}"],
    "proofread": ["proofread", "both", "{}"],
    "sample": ["sample", "plain", "--prompt-file", "{}", "--unknown", "skip", "--length", 1],
    "sample unk": ["sample", "unk", "--prompt-file", "{}", "--length", 1],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_above_one_percent_is_a_warning_with_the_share(shell, command):
    many, few = (
        shell(*(str(word).format(f"{name}.txt") for word in COMMANDS[command]))
        for name in ("mixed", "few")
    )
    assert (many.code, few.code) == (0, 0)
    (warning,) = [line for line in many.err.splitlines() if line.startswith("warning: ")]
    share = "11.8 %" if command.startswith("sample") else "11.4 %"  # no newline at the end
    assert share in warning
    assert ("read as <unk>" if "unk" in command else "skipped") in warning
    assert ": '。', '是', '灯'" in warning
    assert "warning" not in few.err


def test_share_is_beside_the_figure(shell):
    assert "4 (11.4 %), skipped" in shell("eval", "plain", "mixed.txt").out
    assert "1 (0.2 %), skipped" in shell("eval", "plain", "few.txt").out
    (figures,) = shell("eval", "plain", "mixed.txt", "--json").records
    assert figures["unknown_fraction"] == pytest.approx(4 / 35)
    assert figures["length"] == 35
    (result,) = shell("classify", "plain", "unk", "mixed.txt", "--json").records
    assert [each["unknown_fraction"] for each in result["models"]] == pytest.approx([4 / 35] * 2)


def test_model_is_named_with_its_corpus(shell):
    corpus = str(shell.folder / "plain.txt")
    out = shell("eval", "plain", "mixed.txt").out
    assert ["model", "runs/plain/best.npz"] in [line.split() for line in out.splitlines()]
    assert f"trained on               {corpus}\n" in out
    (figures,) = shell("eval", "plain", "mixed.txt", "--json").records
    assert figures["trained_on"] == [corpus]


def test_fill_warns(shell):
    ended = shell("fill", f"{MIXED}_", "both", "--unknown", "skip")
    assert ended.code == 0
    assert "warning: 4 (11.4 %) of the characters" in ended.err


@pytest.mark.parametrize("command", ["eval", "classify", "sample"])
def test_warning_says_that_normalization_would_help(shell, command):
    (shell.folder / "composed.txt").write_text("le café\n" * 99, encoding="utf-8")
    (shell.folder / "decomposed.txt").write_text("cafe\u0301", encoding="utf-8")
    if not (shell.folder / "runs/composed").exists():
        shell("train", "composed.txt", "--out", "runs/composed", "--quiet", "--steps", 1)
    models = {"classify": ["composed", "plain"], "sample": ["composed", "--prompt-file"]}
    arguments = [*models.get(command, ["composed"]), "decomposed.txt"]
    skip = ["--unknown", "skip"] if command == "sample" else []
    ended = shell(command, *arguments, *skip)
    (warning,) = [line for line in ended.err.splitlines() if line.startswith("warning: ")]
    assert "U+0301; the composed 'é' is known: normalize the text, as by --normalize NFC" in warning
    assert "warning" not in shell(command, *arguments, *skip, "--normalize", "NFC").err


def test_warning_names_the_worst_of_several_texts(capsys):
    model: Any = SimpleNamespace(vocabulary=Vocabulary.of("abc"))
    warn_of_unknown({"a": 0.01, "b": 0.02, "c": 0.5, "d": 0}, model, "abcd")
    (line,) = capsys.readouterr().err.splitlines()
    assert "50.0 % of the characters of c, and" in line
    assert "1 more" in line
    assert line.endswith(": 'd'")
    warn_of_unknown({"-": 0.02}, model, "abcd")
    assert "2.0 % of the characters of standard input; they" in capsys.readouterr().err
    warn_of_unknown({"a": 0.01}, model, "abcd")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("fraction", "shown"), [(0, "0.0 %"), (1e-9, "< 0.1 %"), (0.0125, "1.2 %"), (1, "100.0 %")]
)
def test_few_are_not_shown_as_none(fraction, shown):
    assert percent(fraction) == shown


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["sample", "plain", "--unknown", "skip"], "--unknown"),
        (["sample", "plain", "--encoding", "latin-1"], "--encoding"),
        (["sample", "plain", "--newlines", "lf"], "--newlines"),
        (["sample", "plain", "--seed", "a", "--errors", "skip"], "--errors"),
        (["sample", "unk", "--seed", "a", "--unknown", "skip"], "--unknown"),
        (["eval", "plain", "--normalize", "NFC"], "--normalize"),
        (["fill", "a_", "both", "--encoding", "latin-1"], "--encoding"),
    ],
)
def test_option_without_effect_is_refused(shell, arguments, option):
    ended = shell(*arguments)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(f"charlm: {option} has no effect ")


def test_variable_without_effect_is_ignored(shell):
    variables = {"CHARLM_SAMPLE_UNKNOWN": "skip", "CHARLM_SAMPLE_ENCODING": "latin-1"}
    assert shell("sample", "unk", "--length", 1, variables=variables).code == 0


DECOMPOSED = "cafe\u0301 au lait\r\n" * 60


@pytest.fixture(scope="module")
def normalized(tmp_path_factory) -> Shell:
    """A folder with models of decomposed text with CRLF that was read as NFC with newlines."""
    folder = tmp_path_factory.mktemp("normalized")
    composed = DECOMPOSED.replace("e\u0301", "é").replace("\r\n", "\n")
    (folder / "nfd.txt").write_bytes(DECOMPOSED.encode())
    (folder / "nfc.txt").write_bytes(composed.encode())
    shell = Shell(folder, **QUICK)
    reading = ("--normalize", "NFC", "--newlines", "lf", "--quiet", "--steps", 1)
    for name, more in {"one": [], "two": ["--cell", "gru"], "both": ["--bidirectional"]}.items():
        shell("train", "nfd.txt", "--out", f"runs/{name}", *reading, *more)
    return shell


READERS = {
    "eval": ["eval", "one", "{file}", "--json"],
    "score": ["score", "one", "{file}"],
    "classify": ["classify", "one", "two", "{file}", "--json"],
    "classify --lines": ["classify", "one", "two", "{file}", "--lines", "--json"],
    "proofread": ["proofread", "both", "{file}", "--odds", 1.1, "--json"],
    "prompt file": ["sample", "one", "--prompt-file", "{file}", "--random-seed", 1],
    "prompt": ["sample", "one", "--seed", "{text}", "--random-seed", 1],
    "fill": ["fill", "{text}_", "both", "--json"],
}


@pytest.mark.parametrize("command", READERS)
def test_text_is_read_as_the_corpus_was(normalized, command):
    results = []
    for form in ("nfc", "nfd"):
        file = normalized.folder / f"{form}.txt"
        text = "".join(file.read_bytes().decode().splitlines(keepends=True)[:3])
        words = [str(word).format(file=file.name, text=text) for word in READERS[command]]
        ended = normalized(*words)
        assert ended.code == 0, ended.err
        assert "unknown" not in ended.err
        results.append(ended.out.replace("nfc.txt", "file").replace("nfd.txt", "file"))
    assert results[0] == results[1]


def test_option_wins_over_how_the_corpus_was_read(normalized):
    arguments = ("eval", "one", "nfd.txt", "--json", "--newlines", "keep", "--normalize", "none")
    figures = json.loads(normalized(*arguments).out)
    assert figures["unknown_characters"] == 60 * len("e\u0301\r")


def test_unknown_characters_are_those_of_documents_and_not_of_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("anna\nbea\n" * 30, encoding="utf-8")
    (tmp_path / "new.csv").write_text("name,born\nanné,1985\n", encoding="utf-8")
    train = ["train", "names.txt", "--lines", "--steps", "2", "--hidden", "4", "--batch-size", "2"]
    for name in ("a", "b"):
        assert run([*train, "--out", name]).code == 0
    for command in (["eval", "new.csv", "a"], ["classify", "new.csv", "a", "b"]):
        (line,) = (
            line
            for line in run([*command, "--column", "name"]).err.splitlines()
            if "does not know" in line
        )
        assert line.endswith(": 'é'")
