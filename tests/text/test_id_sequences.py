"""Ids read from a file equal those written, in any slice; damage is detected."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import TextError
from charlm.text.id_sequences import IdFile, IdWriter, RecodedIds, SplicedIds, Windows
from tests.helpers import lawful
from tests.texts import flipped, new_bytes, refusal

TYPES = st.sampled_from([np.uint8, np.uint16, np.uint32])
LENGTHS = st.integers(0, 150)


def written(ids, file=None, block: int = 16, pieces: int = 1) -> IdFile:
    """Write ids to a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.id_sequences.BLOCK", block)
        writer = IdWriter(new_bytes() if file is None else file, ids.dtype)
        for piece in np.array_split(ids, pieces):
            writer.add(piece)
        return writer.finish()


def some(length: int, dtype: type) -> np.ndarray:
    return np.random.default_rng(length).integers(250, size=length).astype(dtype)


@pytest.fixture(autouse=True)
def small_blocks():
    """Use small blocks, so that every text has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.id_sequences.BLOCK", 16)
        yield


POSITION = st.none() | st.integers(-200, 200)


@lawful
@given(LENGTHS, TYPES, st.integers(1, 9), st.lists(st.tuples(POSITION, POSITION), max_size=20))
def test_any_slice_of_a_file_equals_that_of_the_array(length, dtype, pieces, parts):
    ids = some(length, dtype)
    file = written(ids, pieces=pieces)
    assert (len(file), file.dtype) == (length, ids.dtype)
    for start, stop in parts:
        part = file[start:stop]
        assert part.dtype == ids.dtype
        assert part.tolist() == ids[start:stop].tolist()
    assert file.is_whole()


@lawful
@given(LENGTHS, st.integers(0, 150), st.integers(0, 150), POSITION, POSITION)
def test_recoded_slice_equals_the_recoded_array(length, start, stop, first, last):
    start, stop = sorted((start % (length + 1), stop % (length + 1)))
    ids = some(length, np.uint8)
    table = np.arange(1000, 1250, dtype=np.uint16)[::-1].copy()
    part = SplicedIds(RecodedIds(written(ids), table), np.array([start]), np.array([stop]))
    expected = table[ids][start:stop]
    assert (len(part), part.dtype) == (len(expected), expected.dtype)
    assert part[first:last].tolist() == expected[first:last].tolist()


@lawful
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9)), max_size=6), POSITION, POSITION)
def test_spliced_slices_equal_the_array_of_all_of_them(slices, first, last):
    ids = some(110, np.uint16)
    starts, lengths = np.array(slices, np.int64).reshape(-1, 2).T
    spliced = SplicedIds(ids, starts, starts + lengths)
    expected = np.concatenate([ids[:0], *(ids[k : k + n] for k, n in slices)])
    assert (len(spliced), spliced.dtype) == (len(expected), expected.dtype)
    assert spliced[first:last].tolist() == expected[first:last].tolist()


@lawful
@given(
    st.integers(1, 150),
    st.lists(st.integers(0, 150), min_size=1, max_size=5),
    st.integers(1, 300),
    st.integers(0, 60),
    st.lists(st.tuples(st.integers(-20, 170), st.integers(0, 40)), min_size=1, max_size=6),
)
def test_windows_equal_those_of_the_padded_array(length, starts, read, beyond, asked):
    ids = some(length, np.uint16)
    last = max(first + count for first, count in asked) - beyond
    padded = np.concatenate([np.zeros(400, ids.dtype), ids, np.zeros(800, ids.dtype)])
    for sequence in (ids, written(ids)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("charlm.text.id_sequences.READ", read)
            windows = Windows(sequence, np.array(starts), asked[0][0], last)
            for first, count in asked:
                rows = windows.rows(first, first + count)
                expected = [
                    [padded[400 + s + k] for s in starts] for k in range(first, first + count)
                ]
                assert rows.shape == (count, len(starts))
                assert rows.tolist() == np.array(expected).reshape(count, len(starts)).tolist()


def test_advancing_windows_read_each_id_once(monkeypatch):
    monkeypatch.setattr("charlm.text.id_sequences.READ", 60)
    ids = some(150, np.uint8)
    asked: list[int] = []

    class Counted:
        dtype = ids.dtype

        def __len__(self):
            return len(ids)

        def __getitem__(self, positions):
            asked.append(len(ids[positions]))
            return ids[positions]

    windows = Windows(Counted(), np.array([0, 50, 100]), 0, 50)
    for first in range(0, 50, 5):
        windows.rows(first, first + 5)
    assert sum(asked) == 150
    assert len(asked) == 9  # three columns, 20 ids per read


# Damage


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_flipped_byte_is_detected_in_its_block_only(dtype, tmp_path):
    ids = some(45, dtype)
    data = ids.tobytes()
    path = tmp_path / "ids"
    for position in range(len(data)):
        path.write_bytes(b"")
        with path.open("r+b") as opened:
            checksums = written(ids, opened).checksums
        path.write_bytes(flipped(data, position))
        file = IdFile(path.open("rb"), ids.dtype, len(ids), checksums, path)
        per_block = 16 // ids.itemsize
        bad = position // 16
        for block in range(-(-len(data) // 16)):
            part = slice(block * per_block, (block + 1) * per_block)
            if block != bad:
                assert file[part].tolist() == ids[part].tolist()
                assert path.exists()
        assert str(path) in refusal(lambda: file[bad * per_block : bad * per_block + 1])  # noqa: B023
        assert not path.exists()


@pytest.mark.parametrize("size", [0, 15, 16, 44])
def test_truncated_file_is_detected(size):
    ids = some(45, np.uint8)
    opened = new_bytes()
    file = written(ids, opened)
    opened.truncate(size)
    assert not file.is_whole()
    assert "disk" in refusal(lambda: file[:])
    assert file[: size // 16 * 16].tolist() == ids[: size // 16 * 16].tolist()


def test_is_whole_checks_every_block(monkeypatch):
    monkeypatch.setattr("charlm.text.id_sequences.READ", 32)
    ids = some(150, np.uint8)
    for position in range(150):
        opened = new_bytes()
        file = written(ids, opened)
        assert file.is_whole()
        opened.seek(position)
        opened.write(bytes([ids[position] ^ 1]))
        assert not file.is_whole()


def test_read_error_is_a_text_error(monkeypatch):
    file = written(some(45, np.uint8))

    class Broken:
        def seek(self, position):
            raise OSError(5, "Input/output error")

    file.file = Broken()
    with pytest.raises(TextError, match="Input/output error"):
        file[:]
