"""A file that is written has the arrays that were given, and no others, whatever wrote it."""

import io
import time

import numpy as np
import pytest

from charlm.system import npz
from charlm.system.npz import CHECKSUM, NpzError

RNG = np.random.default_rng(0)
ARRAYS = {
    "meta": np.array('{"a": "灯"}'),
    "params/0.W": RNG.normal(size=(3, 4)).astype(np.float32),
    "turned": np.asfortranarray(RNG.normal(size=(3, 4))),
    "a view": np.arange(20, dtype=np.uint32)[::3],
    "empty": np.empty((0, 3), np.float32),
    "0-d": np.array(3, np.int64),
}


def written(arrays: dict = ARRAYS) -> io.BytesIO:
    file = io.BytesIO()
    npz.write(file, arrays)
    return file


def test_numpy_reads_what_was_written_and_nothing_else(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(written().getvalue())
    with np.load(path, allow_pickle=False) as read:
        assert set(read.files) == {*ARRAYS, CHECKSUM}
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(read[name], array)
    with npz.reading(path) as reader:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(reader.read(name, array.dtype, array.shape), array)
        reader.finish(has_checksum=True)


def test_same_arrays_give_the_same_file_at_any_time(monkeypatch):
    first = written().getvalue()
    monkeypatch.setattr(time, "time", lambda: 0.0)  # 1970, which a zip file cannot state
    assert written().getvalue() == first


def other_type(write, member, array, **options) -> None:
    write(member, array.astype("U9" if array.dtype.kind == "U" else np.float16), **options)


def other_shape(write, member, array, **options) -> None:
    write(member, array[None], **options)


def truncated(write, member, array, **options) -> None:
    file = io.BytesIO()
    write(file, array, **options)
    member.write(file.getvalue()[:-1])


def nothing(write, member, array, **options) -> None:
    pass


@pytest.mark.parametrize("wrong", [other_type, other_shape, truncated, nothing])
def test_library_that_writes_something_else_is_noticed(monkeypatch, wrong):
    write = np.lib.format.write_array

    def write_wrongly(member, array, **options) -> None:
        wrong(write, member, array, **options)

    monkeypatch.setattr(np.lib.format, "write_array", write_wrongly)
    with pytest.raises(NpzError):
        written({"a": np.ones((2, 3))})


def test_array_that_was_not_given_is_noticed(monkeypatch):
    file = written(ARRAYS | {"allow_pickle": np.array(0)})  # as NumPy before 2.2
    with pytest.raises(NpzError, match="other arrays"):
        npz._check_written(file, ARRAYS | {CHECKSUM: np.array("0" * 64)})
