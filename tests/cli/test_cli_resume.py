"""`charlm train --resume`: everything that is given is looked at, and every advice can be typed."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import charlm as package
from charlm import Budget, ModelConfig
from charlm.cli.resume import resume_advice
from charlm.training.checkpoint import CorpusInfo
from charlm.training.run_directory import RunDirectory
from tests.reliability import only_full
from tests.shell import TEXT, Shell

ORIGINAL = "corpus.txt"


@pytest.fixture
def again(charlm, trained) -> Shell:
    """A folder with a finished run, and with other texts."""
    shutil.copytree(trained.folder / "runs", charlm.folder / "runs")
    (charlm.folder / "same.txt").write_text(TEXT, encoding="utf-16")
    (charlm.folder / "other.txt").write_text(TEXT + "More.\n")
    (charlm.folder / "as long.txt").write_text(TEXT.upper())
    return charlm


BUDGETS = pytest.mark.parametrize(
    "budget",
    [[], *only_full(["--steps", 22], ["--steps", 5])],  # the run has 20 steps
)


@BUDGETS
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["missing.txt"], "missing.txt"),
        (["other.txt"], "it had 3,040 characters, and now has 3,046"),
        (["as long.txt"], "its length is the same, 3,040 characters, but not its content"),
        ([ORIGINAL, ORIGINAL], "now has 6,080"),
        (["same.txt"], "UTF-16"),
        (["same.txt", "--encoding", "utf-16", "--newlines", "lf"], "--newlines is lf"),
        (["--encoding", "latin-1"], "--encoding is latin-1, but runs/corpus-1 was started with"),
        (["--normalize", "NFC"], "--normalize is NFC"),
        (["--separator=zz"], "--separator is zz, but runs/corpus-1 was started with none"),
        (["--lines"], "runs/corpus-1 was started without --lines"),
        (["--any-order"], "runs/corpus-1 was started without --any-order"),
        (["--bidirectional"], "runs/corpus-1 was started without --bidirectional"),
        (["other.txt"], "runs/corpus-1, the newest run, cannot be resumed"),
        (["other.txt"], "; specify the original text or start a new run, or name another run with"),
        (["other.txt", "--out", "runs/corpus-1"], "charlm: runs/corpus-1 cannot be resumed"),
        (["runs/corpus-1"], "runs/corpus-1 is a run, not a text; to resume a run: charlm train"),
        (["--out", "runs/corpus-1/best.npz"], "--out runs/corpus-1"),
        (["--out", "corpus-1"], "no run to resume in corpus-1; did you mean --out runs/corpus-1?"),
        ([ORIGINAL, "--out", "corpus-1"], "no run to resume in corpus-1; did you mean --out runs/"),
    ],
)
def test_what_contradicts_a_run_is_refused_also_when_it_is_finished(again, budget, given, words):
    before = {p.name: p.read_bytes() for p in (again.folder / "runs/corpus-1").iterdir()}
    assert words in again("train", "--resume", *given, *budget).refusal
    assert {p.name: p.read_bytes() for p in (again.folder / "runs/corpus-1").iterdir()} == before


@BUDGETS
@pytest.mark.parametrize(
    "given",
    [
        [ORIGINAL],
        ["same.txt", "--encoding", "utf-16"],
        ["--encoding", "UTF8", "--newlines", "keep", "--cell", "LSTM"],
    ],
)
def test_what_agrees_with_a_run_is_accepted(again, budget, given):
    ended = again("train", "--resume", *given, *budget)
    assert ended.code == 0
    assert ("resuming" if 22 in budget else "already finished") in ended.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([""], "CORPUS must be the names of text files, got ''"),
        ([ORIGINAL, ""], "CORPUS must be the names of text files, got ''"),
        ([ORIGINAL, "--out", ""], "--out must be a path of 1 to 4,096 characters, got ''"),
        ([ORIGINAL, "--force"], "--force replaces the run in --out"),
        ([ORIGINAL, "--force", "--resume"], "--resume and --force cannot be combined"),
    ],
)
def test_what_has_no_meaning_is_refused(again, given, words):
    ended = again("train", *given)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("charlm: ")
    assert ended.err.count("\n") == 1
    assert words in ended.err


def test_run_in_place_of_a_text_is_refused(again):
    line = again("train", "runs/corpus-1").refusal
    assert line.endswith(
        "is a run, not a text; to resume a run: charlm train --resume --out runs/corpus-1"
    )


def test_variable_that_forces_applies_only_with_a_directory(again):
    ended = again("train", ORIGINAL, "--quiet", variables={"CHARLM_TRAIN_FORCE": "1"})
    assert ended.code == 0
    assert (again.folder / "runs/corpus-2").is_dir()


def test_setting_that_a_run_has_and_the_user_unset_is_refused(charlm):
    assert charlm("train", ORIGINAL, "--separator", "and", "--out", "run").code == 0
    line = charlm("train", "--resume", "--out", "run", "--separator", "").refusal
    assert "--separator is none, but run was started with and; omit the option" in line


def advised(line: str) -> list[str]:
    """The command that a message ends with."""
    return shlex.split(line.rpartition("charlm ")[2])


@pytest.mark.parametrize("out", ["-a run", "runs/it's", "new\nline"])
def test_run_on_a_string_is_resumed_as_advised(charlm, monkeypatch, out):
    monkeypatch.chdir(charlm.folder)
    package.train(TEXT, ModelConfig(hidden=8), budget=Budget(steps=2), out=out)
    line = charlm("train", "--resume", "--out", out, "--steps", 4).refusal
    assert "was trained on a string" in line
    *command, placeholder = advised(line)
    assert placeholder == "FILE"
    if "\n" in out:  # escaped for the shell, which `shlex` does not know
        command[-1] = out
    assert charlm(*command, ORIGINAL, "--steps", 4).code == 0
    assert charlm.history(out)[-1]["step"] == 4


@pytest.mark.parametrize(
    ("sources", "validation", "advice"),
    [
        (("a.txt",), None, "resume with: charlm train --resume --out './-a run'"),
        (
            ("-",),
            None,
            "resume with the same standard input: charlm train --resume --out './-a run' -",
        ),
        ((), None, "resume with: charlm train --resume --out './-a run' FILE"),
        (("a.txt",), ("b.txt",), "resume with: charlm train --resume --out './-a run'"),
        ((), (), "resume with: charlm train --resume --out './-a run' FILE --validation FILE"),
        (
            ("-",),
            (),
            "resume with the same standard input: charlm train --resume --out './-a run' - "
            "--validation FILE",
        ),
        (
            ("a.txt",),
            ("-",),
            "resume with the same standard input: charlm train --resume --out './-a run' "
            "--validation -",
        ),
    ],
)
def test_advice_has_what_the_text_needs(sources, validation, advice):
    of_validation = None if validation is None else CorpusInfo(validation, 9, "")
    info = CorpusInfo(sources, 9, "", validation=of_validation)
    assert resume_advice(RunDirectory(Path("-a run")), info) == advice


def test_weights_without_a_training_state_are_replaced_as_advised(charlm, monkeypatch):
    monkeypatch.chdir(charlm.folder)
    model = package.train(TEXT, ModelConfig(hidden=8), budget=Budget(steps=2))
    (charlm.folder / "weights").mkdir()
    model.save("weights/best.npz")
    assert "--resume" in charlm("train", ORIGINAL, "--out", "weights").refusal
    line = charlm("train", "--resume", "--out", "weights").refusal
    assert line.endswith(
        "has only weights, not the training state required to resume; start a new "
        "run in another directory, or replace this one with --force"
    )
    assert charlm("train", ORIGINAL, "--out", "weights", "--force").code == 0


@pytest.mark.parametrize("best", ["missing", "damaged", "weights only"])
def test_run_whose_checkpoints_are_lost_says_what_to_do(again, best):
    run = again.folder / "runs/corpus-1"
    (run / "last.npz").write_bytes(b"PK")
    match best:
        case "missing":
            (run / "best.npz").unlink()
        case "damaged":
            (run / "best.npz").write_bytes(b"PK")
        case "weights only":
            package.load(run).save(run / "weights.npz")
            model = package.train(TEXT, ModelConfig(hidden=8), budget=Budget(steps=1))
            model.save(run / "best.npz")
    line = again("train", "--resume").refusal
    assert line.endswith("; start a new run in another directory, or replace this one with --force")
    assert "specify a .npz file" not in line


@pytest.mark.parametrize("kind", ["link to nothing", "file"])
def test_runs_that_are_no_directory_end_the_command(charlm, kind):
    runs = charlm.folder / "runs"
    runs.symlink_to("nowhere") if kind == "link to nothing" else runs.touch()
    assert "cannot create the directory runs: " in charlm("train", ORIGINAL).refusal
    assert "no last.npz under runs/" in charlm("train", "--resume").refusal
    assert "no model under runs/" in charlm("sample").refusal


def test_link_to_nothing_is_passed_over(again):
    for name in ("best.npz", "last.npz"):
        (again.folder / "runs/newer").mkdir(exist_ok=True)
        (again.folder / "runs/newer" / name).symlink_to("nowhere")
    assert again("sample", "--length", 1).code == 0
    assert "runs/corpus-1 already finished" in again("train", "--resume").err


@pytest.mark.parametrize("kind", ["FIFO", "device", "link to nothing"])
def test_files_of_a_checkpoint_that_would_never_end_are_refused(charlm, kind):
    corpus = charlm.folder / ORIGINAL
    assert charlm("train", ORIGINAL, "--quiet").code == 0
    corpus.rename(charlm.folder / "moved.txt")
    match kind:
        case "FIFO":
            os.mkfifo(corpus)
        case "device":
            corpus.symlink_to("/dev/zero")
        case "link to nothing":
            corpus.symlink_to("nowhere")
    line = charlm("train", "--resume", "--steps", 22).refusal
    assert str(corpus) in line
    *command, placeholder = advised(line)
    assert placeholder == "FILE"
    assert charlm(*command, "moved.txt", "--steps", 22).code == 0


def test_damaged_history_is_refused_with_its_line(again):
    history = again.folder / "runs/corpus-1/history.jsonl"
    lines = history.read_text().splitlines(keepends=True)
    history.write_text("".join([*lines[:4], '{"event": "step", "step": 9}\n', *lines[4:]]))
    ended = again("train", "--resume", "--steps", 22)
    assert ended.code == 1
    assert "runs/corpus-1/history.jsonl is damaged in line 5: its nats_per" in ended.last_note
    move = re.search(r"; move it away: (mv .+); resume with: ", ended.last_note)
    subprocess.run(move[1], shell=True, check=True, cwd=again.folder)
    assert again(*advised(ended.last_note), "--steps", 22).code == 0


@pytest.mark.parametrize("name", ["best.npz", "last.npz"])
def test_directory_in_place_of_a_checkpoint_is_refused_before_training(again, name):
    path = again.folder / "runs/corpus-1" / name
    path.rename(path.with_name("kept"))
    path.mkdir()
    for words in (["--resume"], [ORIGINAL, "--force"]):
        ended = again("train", *words, "--out", "runs/corpus-1", "--steps", 22, "--json")
        assert f"runs/corpus-1/{name}: it is a directory" in ended.refusal
        assert not ended.out
    subprocess.run(ended.refusal.rpartition(": ")[2], shell=True, check=True, cwd=again.folder)
    assert again("train", "--resume", "--out", "runs/corpus-1", "--steps", 22).code == 0


def test_run_of_hard_links_is_resumed_as_advised(again):
    run = again.folder / "runs/corpus-1"
    shutil.copytree(run, again.folder / "runs/linked", copy_function=os.link)
    before, words = again.history("runs/corpus-1"), ("train", "--resume", "--out", "runs/linked")
    line = again(*words, "--steps", 22).refusal
    assert "it is a hard link, one of several names of a file; replace it by a copy: cp " in line
    subprocess.run(line.rpartition(": ")[2], shell=True, check=True, cwd=again.folder)
    assert again(*words, "--steps", 22).code == 0
    assert again.history("runs/corpus-1") == before
    assert [each["step"] for each in again.history("runs/linked")][:9] == [
        each["step"] for each in before
    ][:9]


def test_number_of_threads_is_limited_before_memory_is_allocated(charlm):
    options = ("--threads", 10**9, "--quiet", "--steps")
    assert charlm("train", ORIGINAL, *options, 1).code == 0
    assert charlm("train", "--resume", *options, 2).code == 0
