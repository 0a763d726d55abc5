"""Checkpoints have a format number: older formats are read, newer ones are rejected."""

import json
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.errors import CheckpointError
from charlm.training.checkpoint import FORMAT, OLDER, load, save
from charlm.training.run_directory import RunDirectory
from charlm.training.validation import validate
from tests.faults.hostile import arrays_of, file_of, members, meta_of, zipped
from tests.helpers import TEXT, bits, numbers, resumed, trained
from tests.shell import Shell

FOLDER = Path(__file__).parents[1] / "checkpoints"
SCORED = "the mat sat on the bat.\n"

# The perplexity of SCORED, from the version that wrote the file; see make.py in its folder.
PERPLEXITY = {
    "format-1.npz": 8.49818860814265,
    "format-1-signs.npz": 3.847854091735515,
    "format-1-before-signs.npz": 8.49818860814265,
    "format-2-signs.npz": 3.847854181481159,
    "format-3-min-count.npz": 3.847854181481159,
}


# After resuming to the last step, from commit e8efd1c, the last code before format 4: the training
# loss of that step, the validation loss, and the sum of the magnitudes of all weights.
RESUMED = {
    "format-1.npz": (1.9828926235437394, 2.0400769923414503, 241.9589385986328),
    "format-1-signs.npz": (1.196987509727478, 1.2243968067424638, 153.39727783203125),
    "format-1-before-signs.npz": (1.9828926235437394, 2.0400769923414503, 241.9589385986328),
    "format-2-signs.npz": (1.1969874799251556, 1.2243968301585741, 153.39727783203125),
    "format-3-min-count.npz": (1.1969874799251556, 1.2243968301585741, 153.39727783203125),
}


@pytest.fixture(params=PERPLEXITY)
def older(request) -> Path:
    return FOLDER / request.param


def run_of(checkpoint: Path, path: Path) -> RunDirectory:
    """The directory of a run with this last and best checkpoint."""
    run = RunDirectory(path)
    run.make()
    for file in (run.last, run.best):
        file.write_bytes(checkpoint.read_bytes())
    return run


def format_of(path: Path) -> int:
    return meta_of(arrays_of(path))["format"]


@pytest.mark.promise(
    7, "An older checkpoint gives the same scores, and its training can be resumed"
)
def test_older_format_is_read(tmp_path, figure):
    shell = Shell(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "other.txt").write_text(SCORED, encoding="utf-8")
    for name, perplexity in PERPLEXITY.items():
        run = run_of(FOLDER / name, tmp_path / name.removesuffix(".npz"))
        assert format_of(run.last) in OLDER
        scored = shell("eval", run.last, "other.txt", "--json").records[0]
        assert scored["perplexity"] == pytest.approx(perplexity, rel=1e-4)
        ended = shell("train", "corpus.txt", "--resume", "--out", run.path, "--json")
        assert ended.code == 0, ended.err
        steps = [record["step"] for record in ended.records if record["event"] == "step"]
        assert steps == list(range(9, 17))
        assert format_of(run.last) == FORMAT
    figure(f"{len(PERPLEXITY)} files of formats {' and '.join(map(str, OLDER))}")


def test_older_file_saved_again_has_the_same_content(older, tmp_path):
    path = tmp_path / "c.npz"
    save(path, load(older))
    assert format_of(path) == FORMAT
    assert bits(load(path)) == bits(load(older))


def test_training_resumes_equally_from_both_formats(older, tmp_path):
    old, new = (run_of(older, tmp_path / name) for name in ("old", "new"))
    save(new.last, load(older))
    ends = []
    for run in (old, new):
        trainer = resumed(run.path)
        while trainer.progress.step < trainer.progress.steps:
            trainer.step()
        ends.append(numbers(trainer))
    assert ends[0] == ends[1]


def test_older_run_ends_as_it_did(older, tmp_path):
    run = run_of(older, tmp_path)
    trainer = resumed(run.path)
    while trainer.progress.step < trainer.progress.steps:
        loss = trainer.step().nats_per_char
    validated = validate(trainer)
    assert validated is not None
    ended = loss, validated.nats_per_char, float(np.abs(trainer.p.flat).sum())
    assert ended == pytest.approx(RESUMED[older.name], rel=1e-5)  # processors round differently


def test_several_files_of_an_older_run_are_one_text(older, tmp_path):
    """The split is that of the joined text: its end, cut anywhere."""
    parts = {tmp_path / "a.txt": TEXT[:100], tmp_path / "b.txt": TEXT[100:]}
    for path, part in parts.items():
        path.write_text(part, encoding="utf-8")
    arrays = arrays_of(older)
    meta = meta_of(arrays)
    meta["corpus"]["sources"] = list(map(str, parts))
    path = tmp_path / "c.npz"
    arrays = {**arrays, "meta": np.array(json.dumps(meta))}
    has_checksum = meta["format"] > 1
    path.write_bytes(file_of(arrays) if has_checksum else zipped(members(arrays)))
    (held_out,) = ["".join(text) for text in charlm.load(path).held_out()]
    assert held_out == TEXT[-round(0.1 * len(TEXT)) :]


def test_every_older_format_has_a_file():
    assert {format_of(FOLDER / name) for name in PERPLEXITY} == set(OLDER)
    assert {path.name for path in FOLDER.glob("*.npz")} == set(PERPLEXITY)


@pytest.mark.promise(7, "A newer checkpoint is rejected by its number, whatever else it contains")
def test_newer_format_is_refused_by_number(tmp_path, figure):
    path = tmp_path / "c.npz"
    save(path, trained())
    good = arrays_of(path)
    newer = [FORMAT + 1, FORMAT + 2, 10 * FORMAT, 10**9]
    for number in newer:
        meta = np.array(json.dumps(meta_of(good) | {"format": number}))
        others = {**good, "meta": meta, "ema/0.W": np.zeros(3, np.float16)}
        del others["params/head.b"]
        path.write_bytes(file_of(others))
        message = refusal(path)
        assert f"format {number}," in message
        assert f"supports only {', '.join(map(str, OLDER))} and {FORMAT}" in message
    figure(f"formats {', '.join(map(str, newer))}")


@pytest.mark.parametrize("number", [0, -1, 1.0, 2.0, "2", True, None, [2], {}])
def test_format_that_is_no_number_of_ours_is_refused(number, tmp_path):
    path = tmp_path / "c.npz"
    save(path, trained())
    good = arrays_of(path)
    meta = np.array(json.dumps(meta_of(good) | {"format": number}))
    path.write_bytes(file_of({**good, "meta": meta}))
    assert "format" in refusal(path)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as info:
        load(path)
    assert str(path) in str(info.value)
    return str(info.value)
