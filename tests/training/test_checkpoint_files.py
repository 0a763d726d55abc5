"""A file that is no whole checkpoint is refused by name, and a save leaves an old or a new one."""

import copy
import errno
import gc
import io
import json
import math
import os
import pickle
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.errors import CheckpointError, printable
from charlm.nn.model import CharLM
from charlm.system.npz import digest
from charlm.training.checkpoint import FORMAT, load, save
from tests.helpers import bits, trained

# What is refused


def refusal(path: Path) -> str:
    """The one line in which `load` says why, having closed the file."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(CheckpointError) as info:
            load(path)
        message = str(info.value)
        del info
        gc.collect()
    assert [str(w.message) for w in seen] == []
    assert str(path) in message
    assert len(message.splitlines()) == 1
    return message


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.npz"
    save(path, trained())
    return path


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


FILES = {
    "empty": b"",
    "text": b"the cat sat on the mat\n",
    "pickle": pickle.dumps({"params": [1.0]}),
    "array": npy(np.zeros(3)),
    "array of objects": npy(np.array([{}])),
    "half an array": npy(np.zeros(300))[:200],
    "zip without anything": b"PK\x05\x06" + bytes(18),
    "zip signature": b"PK\x03\x04",
    "other arrays": npz(a=np.zeros(3)),
    "meta of objects": npz(meta=np.array({"format": 1}, object)),
    "meta of numbers": npz(meta=np.zeros(3)),
}


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_no_checkpoint_is_refused(name, tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(FILES[name])
    refusal(path)
    assert path.read_bytes() == FILES[name]


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_is_ever_unpickled(tmp_path):
    path, trap = tmp_path / "c.npz", Trap(tmp_path / "sprung")
    array = np.array(trap, object)
    for data in (pickle.dumps(trap), npy(array), npz(meta=array), npz(**{"state/0": array})):
        path.write_bytes(data)
        refusal(path)
        assert os.listdir(tmp_path) == ["c.npz"]


def test_path_without_a_file_is_refused(tmp_path):
    refusal(tmp_path / "missing.npz")
    refusal(tmp_path / "missing" / "c.npz")
    refusal(tmp_path)


@pytest.mark.parametrize("part", [0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
def test_file_that_was_cut_off_is_refused(part, good, tmp_path):
    data = good.read_bytes()
    path = tmp_path / "c.npz"
    path.write_bytes(data[: int(part * len(data))])
    refusal(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_flipped_bit_is_refused_or_harmless(good, tmp_path):
    data, expected = good.read_bytes(), bits(load(good))
    contents = data.index(b"PK\x01\x02")  # where the archive's table of contents starts
    places = [8 * i + i % 8 for i in range(0, contents, 23)]
    places += range(8 * contents, 8 * contents + 400, 3)
    places += [8 * i + i % 8 for i in range(contents + 50, len(data))]
    path, others = tmp_path / "c.npz", set()
    for place in places:
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            assert bits(load(path)) == expected
        except CheckpointError:
            pass
        except Exception as error:
            others.add(f"{type(error).__name__}: {error}")
    gc.collect()
    assert not others


def change_meta(change):
    """An edit of the arrays that edits the JSON in `meta`."""

    def edit(arrays: dict) -> None:
        meta = json.loads(arrays["meta"].item())
        change(meta)
        arrays["meta"] = np.array(json.dumps(meta))

    return edit


def put(name: str, array) -> object:
    """An edit of the arrays that puts another in the place of one."""
    return lambda arrays: arrays.__setitem__(name, np.asarray(array))


def cast(*prefixes: str, to) -> object:
    """An edit of the arrays that gives some another type."""

    def edit(arrays: dict) -> None:
        for name in arrays:
            if name.startswith(prefixes):
                arrays[name] = arrays[name].astype(to)

    return edit


ALL_NUMBERS = ("params/", "optimizer/", "state/")
EDITS = {
    "newer format": change_meta(lambda m: m.update(format=FORMAT + 1)),
    "no format": change_meta(lambda m: m.pop("format")),
    "no model": change_meta(lambda m: m.pop("model")),
    "unknown cell": change_meta(lambda m: m["model"].update(cell="transformer")),
    "unknown field": change_meta(lambda m: m["model"].update(heads=8)),
    "wider model": change_meta(lambda m: m["model"].update(hidden=4)),
    "model beyond all memory": change_meta(lambda m: m["model"].update(hidden=10**7)),
    "model without its layers": change_meta(lambda m: m["model"].update(layers=2)),
    "bad training": change_meta(lambda m: m["train"].update(batch_size=0)),
    "unknown optimizer": change_meta(lambda m: m["train"].update(optimizer="lion")),
    "no progress": change_meta(lambda m: m.pop("progress")),
    "progress that is none": change_meta(lambda m: m["progress"].update(step="three")),
    "no corpus": change_meta(lambda m: m.pop("corpus")),
    "corpus that is none": change_meta(lambda m: m.update(corpus=[])),
    "meta not JSON": put("meta", "{"),
    "meta a list": put("meta", "[]"),
    "meta a number": put("meta", 3),
    "meta too deep": put("meta", "[" * 100_000),
    "vocabulary of other numbers": cast("vocabulary", to=np.int64),
    "vocabulary not rising": lambda a: a.update(vocabulary=a["vocabulary"][::-1]),
    "vocabulary with a double": lambda a: a["vocabulary"].__setitem__(1, a["vocabulary"][0]),
    "vocabulary too short": lambda a: a.update(vocabulary=a["vocabulary"][1:]),
    "vocabulary empty": lambda a: a.update(vocabulary=a["vocabulary"][:0]),
    "vocabulary in two axes": lambda a: a.update(vocabulary=a["vocabulary"][None]),
    "vocabulary beyond Unicode": lambda a: a["vocabulary"].__setitem__(-1, 0x110000),
    "weights of two types": cast("params/head.b", to=np.float64),
    "weights unlike the rest": cast("params/", to=np.float64),
    "weights that are whole": cast(*ALL_NUMBERS, to=np.int64),
    "weights that are complex": cast(*ALL_NUMBERS, to=np.complex64),
    "weights that are text": cast(*ALL_NUMBERS, to="U8"),
    "weights turned": lambda a: a.update({"params/0.W": a["params/0.W"].T}),
    "moments too short": lambda a: a.update({"optimizer/m": a["optimizer/m"][1:]}),
    "moments in two axes": lambda a: a.update({"optimizer/m": a["optimizer/m"][None]}),
    "state too wide": put("state/0", np.zeros((4, 4), np.float32)),
    "states of different batches": put("state/1", np.zeros((3, 5), np.float32)),
    "state in one axis": put("state/0", np.zeros(4, np.float32)),
    "weight that is no number": lambda a: a["params/0.W"].__setitem__((1, 2), np.nan),
    "infinite moment": lambda a: a["optimizer/v"].__setitem__(-1, np.inf),
    "infinite state": lambda a: a["state/0"].__setitem__((0, 0), -np.inf),
    "value that is no number": change_meta(lambda m: m["progress"].update(best_nats=np.nan)),
    "array that does not belong": put("params/1.W", np.zeros(3, np.float32)),
    "corpus of numbers": change_meta(lambda m: m["corpus"].update(sources=[1, 2])),
    "a third of a step": change_meta(lambda m: m["progress"].update(step=1 / 3)),
    "state a number": put("state/0", np.float32(0)),
}


def edited(good: Path, tmp_path: Path, edit) -> Path:
    """A file with other arrays than a good one, and a checksum that is right for them."""
    with np.load(good, allow_pickle=False) as file:
        arrays = dict(file)
    edit(arrays)
    if arrays.pop("sha256", None) is not None:
        arrays["sha256"] = np.array(digest(arrays))
    path = tmp_path / "edited.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("name", EDITS)
def test_file_that_contradicts_itself_is_refused(name, good, tmp_path):
    message = refusal(edited(good, tmp_path, EDITS[name]))
    if name == "newer format":
        assert f"format {FORMAT + 1}" in message


def test_other_content_under_the_old_checksum_is_refused(good, tmp_path):
    with np.load(good, allow_pickle=False) as file:
        arrays = dict(file)
    for name in arrays:
        changed = arrays | {name: arrays[name].copy()}
        changed[name].reshape(-1).view(np.uint8)[0] ^= 1
        np.savez(tmp_path / "changed.npz", **changed)
        refusal(tmp_path / "changed.npz")


def test_arrays_of_one_place_are_refused(good, tmp_path):
    """Overlapping members would ask for more memory than the file is large."""
    with np.load(good, allow_pickle=False) as file:
        arrays = dict(file)
    meta = json.loads(arrays["meta"].item())
    meta["model"]["hidden"] = 200
    shapes = CharLM(ModelConfig(**meta["model"]), arrays["vocabulary"].size).shapes()
    largest = max(shapes.values(), key=math.prod)
    path = tmp_path / "overlapping.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("meta.npy", npy(np.array(json.dumps(meta | {"format": 1}))))
        archive.writestr("vocabulary.npy", npy(arrays["vocabulary"]))
        archive.writestr("params/0.W.npy", npy(np.zeros(largest, np.float32)))
        for k in range(9):
            again = copy.copy(archive.getinfo("params/0.W.npy"))
            again.filename = f"params/{k}.again.npy"
            archive.filelist.append(again)
    assert "larger than the file" in refusal(path)


def test_compressed_file_is_refused(good, tmp_path):
    with np.load(good, allow_pickle=False) as file:
        np.savez_compressed(tmp_path / "c.npz", **file)
    assert "compressed" in refusal(tmp_path / "c.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_array_that_is_there_twice_is_refused(good, tmp_path):
    path = tmp_path / "c.npz"
    for name in ("params/0.W", "meta", "sha256"):
        path.write_bytes(good.read_bytes())
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{name}.npy", archive.read(f"{name}.npy"))
        assert "twice" in refusal(path)


def test_reading_leaves_warnings_as_they_are(good):
    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        before = list(warnings.filters)
        list(pool.map(lambda _: load(good), range(100)))
        assert warnings.filters == before


def test_file_that_lacks_an_array_is_refused(good, tmp_path):
    with np.load(good, allow_pickle=False) as file:
        names = file.files
    assert len(names) > 7
    for name in names:
        message = refusal(edited(good, tmp_path, lambda arrays, name=name: arrays.pop(name)))
        assert name in message


# What is written


def test_missing_folders_are_made_and_nothing_is_left_beside_the_file(tmp_path):
    path = tmp_path / "a" / "b" / "c.npz"
    for checkpoint in (trained(), trained("gru")):
        save(path, checkpoint)
        assert bits(load(path)) == bits(checkpoint)
    assert os.listdir(path.parent) == ["c.npz"]


@pytest.mark.parametrize("place", ["file/c.npz", "folder", "n" * 300, "nul\0.npz"])
def test_place_that_cannot_be_written_to_is_named(place, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(CheckpointError) as info:
        save(tmp_path / place, trained())
    assert printable(str(tmp_path / place)) in str(info.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == ["inner"]


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fault", [full, interrupted])
@pytest.mark.parametrize("target", ["os.fsync", "os.replace", "numpy.lib.format.write_array"])
def test_write_that_fails_leaves_the_old_file_and_no_other(target, fault, good, tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(good.read_bytes())
    checkpoint = trained("gru")
    expected = CheckpointError if fault is full else KeyboardInterrupt
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, fault)
        with pytest.raises(expected) as info:
            save(path, checkpoint)
    if fault is full:
        assert str(path) in str(info.value)
        assert "No space left" in str(info.value)
    assert path.read_bytes() == good.read_bytes()
    assert os.listdir(tmp_path) == ["c.npz"]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_write_that_is_said_to_have_failed_has_left_the_old_file(fails_at, good, tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(good.read_bytes())
    checkpoint, calls = trained("gru"), []

    def fsync(_: int) -> None:
        calls.append(1)
        if len(calls) == fails_at:
            full()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", fsync)
        try:
            save(path, checkpoint)
            expected = bits(checkpoint)
        except CheckpointError:
            expected = bits(load(good))
    assert bits(load(path)) == expected
    assert os.listdir(tmp_path) == ["c.npz"]
