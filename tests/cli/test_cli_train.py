"""`charlm train`: its output and files, and bit-identical resuming."""

import json
import math
import os
import shlex
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from charlm.cli.run_setup import _note_idle_cores
from charlm.training.checkpoint import load
from tests.helpers import small_trainer
from tests.shell import TEXT, Ended, Shell, end, overridden

FILES = ["best.npz", "history.jsonl", "last.npz"]


def files(shell: Shell, run: str) -> list[str]:
    return sorted(path.name for path in (shell.folder / run).iterdir())


def contents(shell: Shell, run: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (shell.folder / run).iterdir()}


def weights(shell: Shell, run: str) -> dict[str, np.ndarray]:
    with np.load(shell.folder / run / "last.npz") as file:
        return {name: file[name] for name in file.files if name.startswith("params/")}


def of(event: str, records: list[dict]) -> list[dict]:
    return [record for record in records if record["event"] == event]


@pytest.fixture
def records(training) -> list[dict]:
    """The output of `train --json`."""
    return training[1].records


@pytest.fixture
def again(charlm, trained) -> Shell:
    """A directory with a finished run, which a test may change."""
    shutil.copytree(trained.folder / "runs", charlm.folder / "runs")
    return charlm


def test_training_prints_to_stderr_only(charlm):
    ended = charlm("train", "corpus.txt")
    assert ended.code == 0
    assert ended.out == ""
    for words in ("corpus: ", "lstm, 1 x 8", "step  train ppl  val ppl", "held-out perplexity"):
        assert words in ended.err
    assert "%|" not in ended.err  # no bar without a terminal
    assert ended.last_note == "next: charlm sample runs/corpus-1"


def test_suggested_command_can_be_run(charlm):
    (charlm.folder / "a b.txt").write_text("灯是灯，碗是碗。\n" * 50, encoding="utf-8")
    note = charlm("train", "a b.txt", "--out", "my run").last_note
    command = shlex.split(note.removeprefix("next: charlm "))
    assert charlm(*command).code == 0


def test_run_directory_is_created_under_runs(training):
    shell, ended = training
    assert ended.code == 0
    assert files(shell, "runs/corpus-1") == FILES


def test_second_run_gets_the_next_number(again):
    before = contents(again, "runs/corpus-1")
    start, *_ = again("train", "corpus.txt", "--json").records
    assert start["run"] == "runs/corpus-2"
    assert files(again, "runs/corpus-2") == FILES
    assert contents(again, "runs/corpus-1") == before


def test_each_file_is_a_text_that_ends_with_a_newline(charlm):
    (charlm.folder / "end.txt").write_text("Goes on? " * 10)
    start, *_ = charlm("train", "corpus.txt", "end.txt", "--json").records
    assert start["train_characters"] + start["val_characters"] == len(TEXT) + 90 + 1
    assert start["run"] == "runs/corpus-1"


def test_text_from_stdin(charlm):
    start, *_ = charlm("train", "-", "--json", stdin=TEXT).records
    assert start["train_characters"] + start["val_characters"] == len(TEXT)
    assert start["run"] == "runs/stdin-1"


def test_json_lines_are_ordered(records):
    assert [(record["event"], record["step"]) for record in records[:2]] == [
        ("start", 0),
        ("eval", 0),
    ]
    assert [record["step"] for record in of("step", records)] == list(range(1, 21))
    assert [record["step"] for record in of("eval", records)] == [0, 10, 20]
    assert [record["step"] for record in records] == sorted(record["step"] for record in records)
    assert records[-1]["event"] == "done"


def test_json_prints_no_notes(training):
    assert training[1].err == ""


def test_json_lines_equal_the_history(training, records):
    assert training[0].history("runs/corpus-1") == records


def test_last_line_has_the_perplexity_and_the_speed(records):
    done = records[-1]
    assert done["perplexity"] == pytest.approx(math.exp(done["nats_per_char"]))
    assert done["bits_per_char"] == pytest.approx(done["nats_per_char"] / math.log(2))
    assert done["train_chars_per_second"] > 0
    assert done["characters"] == records[0]["val_characters"] - 1
    assert done["model"] == "runs/corpus-1/best.npz"


def test_quiet_prints_nothing(charlm):
    assert charlm("train", "corpus.txt", "--quiet") == Ended(0, "", "")


def test_quiet_json_prints_no_notes(again):
    ended = again("train", "--resume", "--steps", 22, "--json", "--quiet")
    assert ended.err == ""
    assert [record["step"] for record in of("step", ended.records)] == [21, 22]


def test_flags_override_variables_and_variables_override_defaults(charlm):
    variables = {"CHARLM_TRAIN_CELL": "gru", "CHARLM_TRAIN_JSON": "1"}
    ended = charlm("train", "corpus.txt", "--hidden", 9, variables=variables)
    start = ended.records[0]
    assert start["model"]["hidden"] == 9
    assert start["model"]["cell"] == "gru"
    assert start["model"]["layers"] == 1
    assert start["steps"] == 20


def test_flag_overrides_the_variable_of_another_budget(charlm):
    start, *_ = charlm("train", "corpus.txt", "--epochs", 3, "--json").records
    assert start["steps"] == 3 * start["steps_per_epoch"]


def test_existing_run_is_an_error(again):
    before = contents(again, "runs/corpus-1")
    line = again("train", "corpus.txt", "--out", "runs/corpus-1").refusal
    for words in ("runs/corpus-1", "--resume", "--force"):
        assert words in line
    assert contents(again, "runs/corpus-1") == before


@pytest.mark.skipif(os.name != "posix", reason="the system has no limit for files")
def test_existing_run_is_kept_if_it_cannot_be_replaced(again):
    import resource

    before = contents(again, "runs/corpus-1")
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))}
    options = ("--out", "runs/corpus-1", "--force", "--hidden", 64, "--threads", 1)
    ended = end(again.start("train", "corpus.txt", *options, "--quiet", **small))
    assert "cannot write runs/corpus-1/last.npz: File too large" in ended.refusal
    assert contents(again, "runs/corpus-1") == before


@pytest.mark.parametrize("budget", [[], ["--steps", 20]])
def test_finished_run_without_final_score_is_scored(again, budget):
    path = again.folder / "runs/corpus-1/history.jsonl"
    *before, done = path.read_text().splitlines(keepends=True)
    path.write_text("".join(before))
    assert again("train", "--resume", "corpus.txt", *budget).code == 0
    untimed = {"event", "nats_per_char", "characters", "best_step", "step"}
    last = again.history("runs/corpus-1")[-1]
    assert {k: last[k] for k in untimed} == {k: json.loads(done)[k] for k in untimed}
    ended = again("train", "--resume", "corpus.txt", *budget)
    assert (ended.code, ended.last_note.split(";")[0]) == (
        0,
        "runs/corpus-1 already finished, after 20 steps",
    )


@pytest.mark.parametrize("lost", ["missing", "damaged"])
def test_run_without_last_checkpoint_resumes_from_the_best(again, lost):
    shutil.copytree(again.folder / "runs/corpus-1", again.folder / "runs/whole")
    last = again.folder / "runs/corpus-1/last.npz"
    last.unlink() if lost == "missing" else last.write_bytes(last.read_bytes()[:1000])
    more = ("train", "--resume", "--steps", 23, "--out")
    assert "resuming from the best checkpoint" in again(*more, "runs/corpus-1").err
    assert again(*more, "runs/whole").code == 0
    found, expected = weights(again, "runs/corpus-1"), weights(again, "runs/whole")
    assert all((found[name] == expected[name]).all() for name in expected)


def test_best_model_of_another_run_is_not_used(again, trained, tmp_path):
    charlm = Shell(tmp_path / "other", **again.environment)
    charlm.folder.mkdir()
    (charlm.folder / "corpus.txt").write_text(TEXT * 2, encoding="utf-8")
    assert charlm("train", "corpus.txt", "--steps", 1, "--hidden", 9, "--out", "run").code == 0
    shutil.copy(charlm.folder / "run/best.npz", again.folder / "runs/corpus-1/best.npz")
    ended = again("train", "--resume", "--steps", 22)
    assert ended.code == 0
    assert "runs/corpus-1/best.npz belongs to another run" in ended.err


def test_force_replaces_a_run(again):
    (again.folder / "runs/corpus-1/notes.txt").touch()
    ended = again(
        *("train", "corpus.txt", "--out", "runs/corpus-1", "--force", "--hidden", 9, "--json")
    )
    assert ended.records[0]["model"]["hidden"] == 9
    assert again.history("runs/corpus-1") == ended.records
    assert files(again, "runs/corpus-1") == sorted([*FILES, "notes.txt"])


@pytest.mark.parametrize("agreeing", [[], ["corpus.txt", "--hidden", 8, "--cell", "lstm"]])
def test_finished_run_is_reported(again, agreeing):
    before = contents(again, "runs/corpus-1")
    ended = again("train", "--resume", *agreeing)
    assert ended.code == 0
    assert ended.err.startswith("runs/corpus-1 already finished, after 20 steps; ")
    assert contents(again, "runs/corpus-1") == before


@pytest.mark.parametrize(
    ("option", "value", "kept"),
    [("--hidden", "9", "8"), ("--cell", "gru", "lstm"), ("--seq-len", "5", "64")],
)
def test_resuming_with_different_settings_is_an_error(again, option, value, kept):
    line = again("train", "--resume", option, value).refusal
    for words in (f"{option} is {value}", "runs/corpus-1", kept):
        assert words in line


def test_finished_run_resumes_with_a_larger_budget(again):
    ended = again("train", "--resume", "--steps", 30, "--json")
    start, *rest = ended.records
    assert (start["step"], start["steps"]) == (20, 30)
    assert ended.err == "resuming runs/corpus-1 after step 20\n"
    history = again.history("runs/corpus-1")
    assert [record["step"] for record in of("step", history)] == list(range(1, 31))
    assert of("done", history) == [rest[-1]]
    assert rest[-1]["step"] == 30


def test_resuming_without_a_checkpoint_starts_a_run(charlm):
    ended = charlm("train", "corpus.txt", "--resume", "--out", "new", "--json")
    assert ended.records[0]["step"] == 0
    assert "new has no checkpoint yet" in ended.err
    assert files(charlm, "new") == FILES


def test_run_on_stdin_resumes_with_the_same_text_only(charlm):
    charlm("train", "-", "--quiet", stdin=TEXT)
    assert "--resume --out runs/stdin-1 FILE" in charlm("train", "--resume", "--steps", 25).refusal
    again = ("train", "--resume", "-", "--steps", 22, "--json")
    assert charlm(*again, stdin=TEXT).records[-1]["step"] == 22
    assert "changed" in charlm(*again, stdin=TEXT.upper()).last_note


@pytest.mark.parametrize(
    "settings",
    [
        "--cell rnn --optimizer sgd --lr 1e38 --eval-every 100",
        "--lr 1e30",
    ],
)
def test_diverged_training_exits_with_3(charlm, settings):
    ended = charlm("train", "corpus.txt", "--quiet", "--clip", 0, *settings.split())
    assert ended.code == 3
    assert ended.last_note.startswith("charlm: training diverged at step ")
    assert "--lr" in ended.last_note


# The output is longer than the smallest pipe.
LONG = [
    *("train", "corpus.txt", "--steps", 600, "--eval-every", 150),
    *("--seq-len", 8, "--batch-size", 2, "--dropout", 0.1, "--json"),
]


def interrupted(
    shell: Shell, number: int, *arguments: object, handler: signal.Handlers = signal.SIG_DFL
) -> Ended:
    """Send a signal to training after its first step.

    Its output is not read until then, so the full pipe keeps it from finishing.

    Args:
        shell: the directory.
        number: the number of the signal.
        arguments: the arguments of the command.
        handler: the initial handler of the signal.
    """

    def handle() -> None:
        signal.signal(number, handler)

    with shell.start(*arguments, pipesize=4096, preexec_fn=handle) as process:
        try:
            lines = []
            while not lines or json.loads(lines[-1])["event"] != "step":
                lines.append(process.stdout.readline())
            process.send_signal(number)
            rest, err = process.stdout.read(), process.stderr.read()
        finally:
            process.kill()
    return Ended(process.wait(), "".join(lines) + rest, err)


@pytest.fixture(scope="module")
def uninterrupted(trained, tmp_path_factory) -> Shell:
    """A directory with a long run that was not interrupted."""
    shell = Shell(tmp_path_factory.mktemp("long"), CHARLM_TRAIN_HIDDEN="8")
    (shell.folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    assert shell(*LONG).code == 0
    return shell


@pytest.mark.parametrize(
    "options",
    [
        ("--minutes", 0.01, "--cell", "gru", "--any-order"),
        ("--operations", 3e8, "--lines", "--optimizer", "sgd"),
        ("--epochs", 0.5, "--cell", "jordan", "--layers", 2, "--separator=-. "),
        ("--steps", 3, "--bidirectional", "--validation", "-x.txt"),
    ],
)
def test_the_command_that_is_printed_trains_the_same_model(options, tmp_path):
    shell = Shell(tmp_path)
    lines = "".join(f"{n} is a number-. \n" for n in range(300))
    for name in ("corpus.txt", "-x.txt"):
        (tmp_path / name).write_text(TEXT + lines, encoding="utf-8")
    ended = shell("train", "corpus.txt", *options, "--out", "one")
    assert ended.code == 0, ended.err
    printed = next(line for line in ended.err.splitlines() if line.startswith("chosen for"))
    words = shlex.split(printed.partition(": charlm ")[2])
    assert shell(*words, "--out", "again").code == 0
    weights = [load(tmp_path / run / "last.npz").params.flat for run in ("one", "again")]
    assert weights[0].tobytes() == weights[1].tobytes()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupted_run_resumes_bit_identically(charlm, uninterrupted, name):
    number = getattr(signal, name)
    stopped = interrupted(charlm, number, *LONG)
    assert stopped.code == 128 + number
    done = of("step", stopped.records)[-1]["step"]
    assert done < 600
    note, _, command = stopped.last_note.partition("; resume with: charlm ")
    assert note == f"saved after step {done}"

    resumed = charlm(*shlex.split(command), "--json", variables={"CHARLM_TRAIN_STEPS": ""})
    assert resumed.records[0]["step"] == done
    ours, theirs = charlm.history("runs/corpus-1"), uninterrupted.history("runs/corpus-1")
    for key in ("step", "nats_per_char", "lr", "grad_norm"):
        assert [r[key] for r in of("step", ours)] == [r[key] for r in of("step", theirs)]
    assert of("eval", ours) == of("eval", theirs)
    assert ours[-1]["perplexity"] == theirs[-1]["perplexity"]
    last, expected = (weights(shell, "runs/corpus-1") for shell in (charlm, uninterrupted))
    assert all(np.array_equal(last[name], expected[name]) for name in expected)


def test_run_interrupted_before_an_evaluation_evaluates_when_resumed(charlm):
    arguments = overridden(LONG, "--eval-every", 1, "--steps", 100)
    stopped = interrupted(charlm, signal.SIGINT, *arguments)
    charlm("train", "--resume", variables={"CHARLM_TRAIN_STEPS": ""})
    evaluated = [record["step"] for record in of("eval", charlm.history("runs/corpus-1"))]
    assert stopped.code == 130
    assert evaluated == list(range(101))


def test_ignored_signal_stays_ignored(charlm):
    ended = interrupted(charlm, signal.SIGHUP, *LONG, handler=signal.SIG_IGN)
    assert ended.code == 0
    assert ended.records[-1]["step"] == 600


def test_run_resumes_without_its_best_model(again):
    (again.folder / "runs/corpus-1/best.npz").write_bytes(b"PK")
    ended = again("train", "--resume", "--steps", 22)
    assert ended.code == 0
    assert "resuming without the best checkpoint" in ended.err
    assert again("sample", "--length", 1).code == 0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(),
    reason="the worker is found among the children of a process, which only Linux lists",
)
def test_killed_worker_ends_the_run_with_the_command_that_resumes_it(charlm):
    options = ["--steps", "100000", "--threads", "2", "--out", "a run"]
    with charlm.start("train", "corpus.txt", *options) as train:
        while not children(train.pid) and train.poll() is None:
            time.sleep(0.02)
        os.kill(children(train.pid)[0], signal.SIGKILL)
        _, err = train.communicate(timeout=60)
    assert train.returncode == 1
    assert err.splitlines()[-1].endswith(
        "was killed by signal 9; resume with: charlm train --resume --out 'a run'"
    )
    assert charlm("train", "--resume", "--out", "a run", "--steps", "1").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 32}, "2 of 8 cores in use; --batch-size 256 uses all"),
        ({"batch_size": 32, "shards": 3}, "3 of 8 cores in use; --shards 8 uses all"),
        ({"batch_size": 32, "shards": 8}, None),
        ({"batch_size": 5000}, None),  # the text is too short for so many streams
    ],
)
def test_cores_that_have_nothing_to_do_are_noted(options, said):
    trainer, notes = small_trainer(seq_len=1, **options), list[str]()
    trainer.parallel.threads = 8
    _note_idle_cores(trainer, notes.append)
    assert notes == ([said] if said else [])
    trainer.parallel.threads = 2
    _note_idle_cores(trainer, notes.append)
    assert notes == ([said] if said else [])
