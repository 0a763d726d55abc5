"""Compressed files are read to their end, stream by stream, or rejected."""

import gzip
import io
import lzma
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.compressed_files import COMPRESSIONS, CompressedFile
from charlm.text.config import TextConfig
from charlm.text.text_files import read_pieces, read_text
from tests.helpers import lawful
from tests.texts import flipped, refusal

TEXT = "one\r\ntwo\rthree\n\0\ufeff\U0001f600 灯\n" * 20
COMPRESSORS = {".gz": gzip.compress, ".xz": lzma.compress}
FIRST, SECOND = b"the first\n" * 20, b"and the second\n" * 9


def test_there_is_a_compressor_for_each_format():
    assert COMPRESSORS.keys() == COMPRESSIONS.keys()


@pytest.mark.parametrize("ending", COMPRESSORS)
@pytest.mark.parametrize("name", ["text.txt{}", "TEXT{}"])
def test_compressed_file_is_read_as_its_text(tmp_path, ending, name):
    compress = COMPRESSORS[ending]
    path = tmp_path / name.format(ending.upper() if name.isupper() else ending)
    path.write_bytes(compress(b"\xef\xbb\xbf" + TEXT.encode()))
    assert read_text(path) == TEXT
    path.write_bytes(compress(TEXT.encode()) + compress(TEXT.encode()))  # two concatenated files
    assert read_text(path) == TEXT * 2
    path.write_bytes(compress("Übel".encode("utf-16")))
    assert read_text(path, TextConfig(encoding="utf-16")) == "Übel"


# What other programs write: several streams, with padding, of any level and with any header.


def gzip_member(data: bytes, level: int, flags: int) -> bytes:
    """A gzip member with the optional fields of these flags."""
    body = zlib.compress(data, level, wbits=-15)
    header = b"\x1f\x8b\x08" + bytes([flags]) + b"\0" * 4 + b"\0\x03"
    header += b"\x03\0abc" * bool(flags & 4) + b"name\0" * bool(flags & 8)
    header += b"a comment\0" * bool(flags & 16)
    if flags & 2:
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    return header + body + zlib.crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")


CHECKS = [lzma.CHECK_CRC32, lzma.CHECK_CRC64, lzma.CHECK_SHA256]
DATA = st.lists(st.sampled_from([b"a", b"line\n", bytes(range(200)), b"\0" * 9]), max_size=40)
STREAMS = {
    ".gz": st.builds(gzip_member, DATA.map(b"".join), st.integers(0, 9), st.integers(0, 31)),
    ".xz": st.builds(
        lambda data, level, check: lzma.compress(data, preset=level, check=check),
        DATA.map(b"".join),
        st.integers(0, 3),
        st.sampled_from(CHECKS),
    ),
}


def decompressed(data: bytes, ending: str, size: int = 1 << 20) -> bytes:
    """The content of a compressed file, read in pieces."""
    file = CompressedFile(io.BytesIO(data), COMPRESSIONS[ending])
    return b"".join(iter(lambda: file.read(size), b""))


def in_chunks(size: int, data: bytes, ending: str) -> bytes:
    """The content of a file of which `size` compressed bytes are read at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.compressed_files.CHUNK", size)
        return decompressed(data, ending, size)


@pytest.mark.parametrize("ending", STREAMS)
@lawful
@given(data=st.data(), chunk=st.integers(1, 7), padding=st.integers(0, 3))
def test_all_streams_are_read_in_chunks_of_any_size(ending, data, chunk, padding):
    streams = data.draw(st.lists(STREAMS[ending], min_size=1, max_size=4))
    single = {".gz": gzip.decompress, ".xz": lzma.decompress}[ending]
    expected = b"".join(map(single, streams))
    zeros = b"\0" * padding * COMPRESSIONS[ending].padding
    for whole in (b"".join(streams), zeros.join(streams) + zeros):
        assert in_chunks(chunk, whole, ending) == decompressed(whole, ending) == expected


@pytest.mark.parametrize("ending", STREAMS)
@pytest.mark.parametrize(
    "more", [b"x", b"the rest\n", b"\0\0\0\0x", b"\x1f", b"\xfd7zXZ", b"BZh91AY&SY", b"\0x\0\0"]
)
def test_other_data_after_a_stream_is_rejected(ending, more):
    whole = COMPRESSORS[ending](FIRST) + more
    for chunk in (1, 5, 1 << 15):
        with pytest.raises((ValueError, EOFError), match=r"follows the|truncated"):
            in_chunks(chunk, whole, ending)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 4097])
def test_padding_of_xz_has_a_multiple_of_four_zeros(size):
    for whole in (lzma.compress(FIRST), lzma.compress(FIRST) * 2):
        with pytest.raises(ValueError, match="other data follows the xz data"):
            decompressed(whole + b"\0" * size, ".xz")
        assert decompressed(whole + b"\0" * 4 * size, ".xz")


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_truncated_file_is_rejected(tmp_path, ending):
    compress = COMPRESSORS[ending]
    first, whole = compress(FIRST), compress(FIRST) + b"\0" * 8 + compress(SECOND)
    path = tmp_path / f"text{ending}"
    between = range(len(first), len(first) + 9, COMPRESSIONS[ending].padding)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size in between:
            assert read_text(path) == FIRST.decode()
        else:
            assert str(path) in refusal(lambda: read_text(path))


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_file_with_a_flipped_bit_is_rejected_or_has_the_same_text(tmp_path, ending):
    compress = COMPRESSORS[ending]
    whole = compress(FIRST) + b"\0" * 4 + compress(SECOND)
    same = 0
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            try:
                assert decompressed(bytes(damaged), ending) == FIRST + SECOND
                same += 1
            except (ValueError, EOFError):
                pass
    # Two gzip headers have a time, a level, a system and a flag without meaning, and the last byte
    # of the compressed data has bits that are not used.
    headers = 2 * (6 * 8 + 1)
    assert same == 0 if ending == ".xz" else headers <= same < headers + 2 * 8


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_damaged_file_is_named(tmp_path, ending):
    whole = COMPRESSORS[ending](TEXT.encode())
    path = tmp_path / f"text{ending}"
    path.write_bytes(flipped(whole, len(whole) // 2))
    assert refusal(lambda: read_text(path)).startswith(f"cannot read {path}: the ")


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_invalid_bytes_of_a_compressed_file_are_rejected(tmp_path, ending):
    path = tmp_path / f"bad{ending}"
    path.write_bytes(COMPRESSORS[ending](b"ab\ncd\xff"))
    assert "at byte 5, line 2" in refusal(lambda: read_text(path))


@pytest.mark.parametrize("ending", COMPRESSORS)
@pytest.mark.parametrize("data", [b"only text\n", b"\x1f\x8b", b"\xfd7zXZ\0", b"\0" * 30, b"\x1f"])
def test_file_with_a_wrong_extension_is_rejected(tmp_path, ending, data):
    path = tmp_path / f"text{ending}"
    path.write_bytes(data)
    assert f"cannot read {path}: " in refusal(lambda: read_text(path))
    path.write_bytes(b"")
    assert refusal(lambda: read_text(path)) == f"{path}: the file is empty"


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_compressed_extension_must_match_the_content(tmp_path, ending):
    path = tmp_path / f"text{ending}"
    path.write_bytes(TEXT.encode())
    kind = COMPRESSIONS[ending].name
    message = refusal(lambda: read_text(path))
    assert f"it is not in {kind} format; rename it without the extension" in message
    (other,) = COMPRESSORS.keys() - {ending}
    path.write_bytes(COMPRESSORS[other](TEXT.encode()))
    message = refusal(lambda: read_text(path))
    assert f"it is not in {kind} format; it looks like {COMPRESSIONS[other].name}" in message
    assert message.endswith(f"rename it to end in {other}")


# Memory


def with_dictionary(data: bytes, code: int) -> bytes:
    """A .xz file whose header asks for a dictionary of this size, which the data does not need."""
    header = bytearray(data[12:24])  # of the only block
    assert header[2:4] == b"\x21\x01"  # LZMA2, with one byte of properties
    header[4] = code
    return data[:12] + header[:8] + zlib.crc32(header[:8]).to_bytes(4, "little") + data[24:]


def test_dictionary_of_xz_is_limited():
    whole = lzma.compress(FIRST)
    assert decompressed(with_dictionary(whole, 28), ".xz") == FIRST  # 64 MiB, as of xz -9
    for code in (33, 36, 40):  # 384 MiB, 1 GiB, 4 GiB
        with pytest.raises(ValueError, match="more than 256 MiB of memory; decompress it first"):
            decompressed(with_dictionary(whole, code), ".xz")


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_highly_compressed_file_is_read_in_small_pieces(tmp_path, ending):
    path = tmp_path / f"text{ending}"
    path.write_bytes(COMPRESSORS[ending](b"a" * 20_000_000))
    assert {len(piece) for piece in read_pieces(path)} <= {1 << 20, 20_000_000 % (1 << 20)}


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_many_small_streams_are_read_in_linear_time(ending):
    stream = COMPRESSORS[ending](b"a")
    assert decompressed(stream * 20_000, ending) == b"a" * 20_000
