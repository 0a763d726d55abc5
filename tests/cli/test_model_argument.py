"""How a model is named: by a path or a run's name, as an argument or by --model; the default."""

import os
import shutil
from dataclasses import replace

import pytest

from charlm.cli.model_argument import open_model, texts_and_models
from charlm.training import checkpoint
from tests.shell import QUICK, TEXT, Shell

LINE = "the machine\n"


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    """A folder with runs old, both (bidirectional) and new-1, in this order of age."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    (folder / "text.txt").write_text(LINE)
    shell = Shell(folder, **QUICK)
    for age, (name, options) in enumerate([("old", []), ("both", ["--bidirectional"])]):
        out = f"runs/{name}"
        shell("train", "corpus.txt", "--out", out, "--quiet", "--steps", 1, *options)
        os.utime(folder / out / "best.npz", (1e9 + age, 1e9 + age))
    return shell


def model_of(shell: Shell, *arguments: object, **more) -> str:
    """The path of the model that `eval` uses for a text."""
    (figures,) = shell("eval", *arguments, "--json", **more).records
    return figures["model"]


@pytest.mark.parametrize(
    "name", ["old", "runs/old", "runs/old/", "./runs/old", "runs/old/best.npz", "old/"]
)
def test_model_has_the_same_names_everywhere(shell, monkeypatch, name):
    monkeypatch.chdir(shell.folder)
    for arguments in (["text.txt", name], [name, "text.txt"]):
        assert texts_and_models(arguments) == (["text.txt"], [name])
    assert open_model(name)[1] == "runs/old/best.npz"


def test_each_command_takes_a_model_as_argument_and_option(shell):
    for command in (["fill", "the m_chine"], ["proofread", "text.txt"]):
        ways = [shell(*command, "both"), shell(*command, "-m", "both")]
        assert ways[0].code == 0, ways[0].err
        assert ways[0] == ways[1]
    sampled = [shell("sample", *words, "--random-seed", 1) for words in (["old"], ["-m", "old"])]
    assert sampled[0].code == 0, sampled[0].err
    assert sampled[0] == sampled[1]
    before = shell("classify", "text.txt", "old", "runs/old/last.npz")
    assert before == shell("classify", "runs/old/last.npz", "-m", "old", "text.txt")
    assert before.code == 0
    assert before == shell("classify", "text.txt", "-m", "old", "-m", "runs/old/last.npz")


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "old", "both", "text.txt"],
        ["eval", "old", "-m", "both"],
        ["sample", "old", "--model", "both"],
        ["fill", "a_b", "both", "-m", "old"],
        ["proofread", "text.txt", "both", "old"],
    ],
)
def test_several_models_are_refused(shell, arguments):
    ended = shell(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("charlm: specify one model instead of 2: ")
    assert len(ended.err.splitlines()) == 1


def test_several_texts_are_refused(shell):
    ended = shell("proofread", "text.txt", "corpus.txt", "both")
    assert ended.code == 2
    assert ended.err == "charlm: specify one text instead of 2: text.txt, corpus.txt\n"


def test_variable_gives_way_to_an_argument(shell):
    variables = {"CHARLM_EVAL_MODEL": "both"}
    assert model_of(shell, "text.txt", variables=variables) == "runs/both/best.npz"
    assert model_of(shell, "text.txt", "old", variables=variables) == "runs/old/best.npz"
    assert model_of(shell, "text.txt", "-m", "old", variables=variables) == "runs/old/best.npz"


@pytest.mark.parametrize("make", [lambda path: path.write_text(LINE), lambda path: path.mkdir()])
def test_existing_text_precedes_a_run_of_its_name(shell, tmp_path, make):
    folder = Shell(tmp_path)
    shutil.copytree(shell.folder / "runs", tmp_path / "runs")
    text = tmp_path / "old"
    make(text)
    if text.is_dir():
        (text / "a.txt").write_text(LINE)
    ended = folder("eval", "old", "-m", "both", "--json")
    (figures,) = ended.records
    assert figures["text"] == ("old/a.txt" if text.is_dir() else "old")
    assert "old is read as a text; to use the run of that name, specify runs/old" in ended.err
    assert folder("sample", "runs/old", "--length", 1).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs/missing", "text.txt"], "runs/missing"),
        (["text.txt", "runs/missing"], "runs/missing"),
        (["missing.npz", "text.txt"], "missing.npz"),
        (["missing", "old"], "cannot read missing"),
        (["runs/missing.txt", "old"], "cannot read runs/missing.txt"),
    ],
)
def test_what_is_missing_is_named(shell, arguments, words):
    assert words in shell("eval", *arguments).refusal


@pytest.mark.parametrize(
    "arguments", [["eval", "", "old"], ["sample", "-m", ""], ["sample", ""], ["proofread", ""]]
)
def test_empty_name_is_refused(shell, arguments):
    ended = shell(*arguments)
    assert ended.code == 2
    assert ended.err == "charlm: the name of a text or model must not be empty, got ''\n"


def test_default_is_the_newest_model_that_fits(shell):
    assert shell("sample", "--length", 1).err == (
        "model: runs/old/best.npz, the newest unidirectional model\n"
    )
    assert shell("fill", "a_").err.startswith("model: runs/both/best.npz\n")
    assert shell("eval").err.startswith("model: runs/both/best.npz\n")


def test_without_a_model_that_fits_the_command_that_makes_one_is_shown(shell, tmp_path):
    folder = Shell(tmp_path)
    train = "under runs/; train one with: charlm train corpus.txt"
    assert folder("sample").refusal == f"charlm: no model {train}"
    shutil.copytree(shell.folder / "runs/both", tmp_path / "runs/both")
    assert folder("sample").refusal == f"charlm: no unidirectional model {train}"


def test_best_model_of_a_run_that_was_not_evaluated_yet(shell, tmp_path):
    run = tmp_path / "runs/new"
    shutil.copytree(shell.folder / "runs/old", run)
    read = checkpoint.load(run / "best.npz")
    assert read.training is not None
    start = replace(read.training, progress=replace(read.training.progress, step=0))
    checkpoint.save(run / "best.npz", replace(read, training=start))
    folder = Shell(tmp_path)
    warning = "warning: runs/new/best.npz is the model before the first step"
    for words in ([], ["new"], ["-m", "runs/new/best.npz"]):
        ended = folder("sample", *words, "--length", 1)
        assert warning in ended.err
        assert ended.err.endswith("the latest model is runs/new/last.npz\n")
    assert folder("sample", "runs/new/last.npz", "--length", 1).err == ""
    (run / "last.npz").unlink()
    assert folder("sample", "new", "--length", 1).err == ""
