"""`charlm train --validation` and `--val-fraction 0`: what is said, kept, resumed and scored."""

import pytest

from charlm.cli.training_display import Terminal
from charlm.training.events import Done, Start
from tests.shell import Shell

TEXT = "the cat sat on the mat.\n" * 20
OTHER = "the mat sat on the cat.\n" * 5
NAMES = "".join(f"{'abc'[n % 3] * (n % 5 + 1)}{n}\n" for n in range(40))
SHORT = ["--steps", 4, "--hidden", 4, "--batch-size", 4, "--seq-len", 8]


@pytest.fixture
def shell(tmp_path) -> Shell:
    """A folder with texts."""
    files = {"a.txt": TEXT, "b.txt": OTHER, "c.txt": "cat\n", "names.txt": NAMES, "n.txt": "aa1\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "letters").mkdir()
    for n in range(30):
        (tmp_path / f"letters/{n}.txt").write_text(f"letter {n}\n", encoding="utf-8")
    return Shell(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["names.txt", "--lines"], "validation: 4 of 40 documents, drawn at random"),
        (
            ["letters", "--files"],
            "validation: 3 of 30 files, drawn at random, none of which is in the training split",
        ),
        (
            ["names.txt", "--lines", "--validation", "n.txt"],
            "validation: 1 document of other files; training reads all of 40 documents",
        ),
        (
            ["a.txt", "--validation", "b.txt"],
            "validation: text of other files; training reads all of the corpus",
        ),
        (
            ["a.txt", "--val-fraction", 0],
            "validation: none; best.npz is the model of the last evaluation step",
        ),
        (["a.txt"], None),
    ],
)
def test_start_says_what_validation_is(shell, arguments, line):
    ended = shell("train", *arguments, *SHORT)
    assert ended.code == 0
    said = [each for each in ended.err.splitlines() if each.startswith("validation: ")]
    assert said == ([line] if line else [])
    if "--val-fraction" in arguments:
        assert "held-out perplexity  -\n" in ended.err


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("ř" + OTHER, [], ["1 (0.8 %) of the characters", "were skipped: 'ř'"]),
        ("ř" * 9 + OTHER, [], ["warning: 9 (7.0 %) of the", "were skipped: 'ř'"]),
        ("ａ" + OTHER, [], ["1 (0.8 %)", "; 'a' is known: normalize the text, as by --normalize"]),
        (OTHER, ["--min-count", 25], ["warning: ", "were read as <unk>: "]),
        (TEXT, [], ["warning: the validation text is also in the training text"]),
        (OTHER, [], []),
    ],
)
def test_unknown_characters_and_known_texts_are_said(shell, text, more, said):
    (shell.folder / "v.txt").write_text(text, encoding="utf-8")
    ended = shell("train", "a.txt", "--validation", "v.txt", *more, *SHORT)
    lines = [line for line in ended.err.splitlines() if "the validation text" in line]
    assert len(lines) == bool(said)
    for words in said:
        assert words in lines[0]
    assert all(line.startswith(said[0]) for line in lines)
    quiet = shell("train", "a.txt", "--validation", "v.txt", *SHORT, "--quiet")
    assert quiet.err == ""


def test_validation_texts_are_read_again(shell):
    """By eval, which gives the figure of training, and by --resume, which checks them."""
    validation = ["--validation", "b.txt", "--validation", "c.txt"]
    done = shell("train", "a.txt", *validation, *SHORT, "--out", "run", "--json").records[-1]
    (scored,) = shell("eval", "run", "--json").records
    assert scored["nats_per_char"] == pytest.approx(done["nats_per_char"], rel=1e-6)
    assert scored["characters"] == len(OTHER) - 1 + 3
    resume = ["train", "--resume", "--out", "run", "--quiet"]
    assert shell(*resume, "--steps", 5).code == 0
    assert shell(*resume, "--steps", 6, *validation).code == 0
    assert "has changed" in shell(*resume, "--steps", 7, "--validation", "b.txt").refusal
    (shell.folder / "c.txt").rename(shell.folder / "d.txt")
    line = shell(*resume, "--steps", 7).refusal
    assert line.endswith("charlm train --resume --out run --validation FILE")
    assert "cannot read" in shell("eval", "run").refusal
    moved = ["--validation", "b.txt", "--validation", "d.txt"]
    assert shell(*resume, "--steps", 7, *moved).code == 0


def test_finished_run_looks_at_the_validation_text(shell):
    shell("train", "a.txt", *SHORT, "--out", "run")
    resume = ["train", "--resume", "--out", "run", "--validation"]
    assert "was started without --validation" in shell(*resume, "b.txt").refusal
    shell("train", "a.txt", "--validation", "b.txt", *SHORT, "--out", "own")
    resume = ["train", "--resume", "--out", "own", "--validation"]
    assert "cannot read" in shell(*resume, "missing.txt").refusal
    assert "already finished" in shell(*resume, "b.txt").err


@pytest.mark.parametrize("variables", [{}, {"CHARLM_TRAIN_VAL_FRACTION": "0.2"}])
def test_option_overrides_the_variable_of_the_other(shell, variables):
    ended = shell("train", "a.txt", "--validation", "b.txt", *SHORT, "--json", variables=variables)
    assert ended.records[0]["validation"] == "texts"
    other = {"CHARLM_TRAIN_VALIDATION": "b.txt"}
    ended = shell("train", "a.txt", "--val-fraction", 0.2, *SHORT, "--json", variables=other)
    assert ended.records[0]["validation"] == "ends"
    ended = shell("train", "a.txt", *SHORT, "--json", variables=other)
    assert ended.records[0]["validation"] == "texts"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["a.txt", "--validation", "b.txt", "--val-fraction", 0.1],
            "--validation and --val-fraction cannot be combined",
        ),
        (["a.txt", "--validation", ""], "--validation must be the name of a text file, got ''"),
        (["-", "--validation", "-"], "CORPUS and --validation cannot both be standard input"),
    ],
)
def test_arguments_that_cannot_be_are_refused(shell, arguments, line):
    ended = shell("train", *arguments, *SHORT, stdin=TEXT)
    assert (ended.code, ended.err) == (2, f"charlm: {line}\n")


def test_validation_from_standard_input(shell):
    train = ["train", "a.txt", "--validation", "-", "--out", "run"]
    assert shell(*train, *SHORT, "--json", stdin=OTHER).records[-1]["event"] == "done"
    assert "validated on standard input; specify a text" in shell("eval", "run").refusal
    resume = ["train", "--resume", "--out", "run", "--steps", 5]
    assert shell(*resume).refusal.endswith(
        "charlm train --resume --out run --validation FILE, or - for standard input"
    )
    assert shell(*resume, "--validation", "-", stdin=OTHER).code == 0


# Advice


def advice(validation: str, best: int, *, documents: bool) -> str:
    """What is said at the end of a run whose best model is from a step of 100."""
    start = Start(
        step=0,
        steps=100,
        steps_per_epoch=10,
        corpus="a",
        train_characters=1000,
        val_characters=100,
        train_documents=90 if documents else None,
        val_documents=10 if documents else None,
        validation=validation,
        unknown_val_characters=0,
        vocabulary=30,
        rare_characters=0,
        parameters=100,
        batch_size=4,
        model={"bidirectional": False, "cell": "rnn", "layers": 1, "hidden": 4, "activation": None}
        | {"residual": False, "head_layers": 0, "dropout": 0.1},
        train={"seq_len": 8, "min_count": 1, "patience": 0},
        run="run",
    )
    display, said = Terminal(), []
    display.note = said.append  # type: ignore[method-assign, assignment]
    with display:
        display.show(start)
        display.show(Done(100, best, 1.0, 1.4, 2.7, 100, None, 1.0, "run/best.npz"))
    return " ".join(said)


@pytest.mark.parametrize(
    ("validation", "documents", "more", "reason"),
    [
        ("ends", False, "more text", "the end of the text differs from the rest"),
        ("documents", True, "more documents", ""),
        ("files", True, "more files", "the files of the validation split differ"),
        ("texts", False, "more text", "the validation text is of another kind"),
        ("texts", True, "more documents", "the validation text is of another kind"),
    ],
)
def test_advice_names_what_can_be_the_reason(validation, documents, more, reason):
    for best in (0, 30):
        line = advice(validation, best, documents=documents)
        assert line.endswith(more)
        assert reason in line
        assert (" differ" in line or "another kind" in line) == bool(reason)
    assert advice(validation, 90, documents=documents) == ""
    assert advice("none", 100, documents=documents) == ""


def test_eval_names_the_validation_text_and_warns_of_unknown_characters(shell):
    (shell.folder / "v.txt").write_text("ř" * 9 + OTHER, encoding="utf-8")
    shell("train", "a.txt", "--validation", "v.txt", *SHORT, "--out", "run")
    ended = shell("eval", "run")
    assert "text                     the model's validation text\n" in ended.out
    assert "7.0 % of the characters of the model's validation text; they were skipped" in ended.err
