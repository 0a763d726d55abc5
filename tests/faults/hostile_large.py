"""Hostile checkpoints that attack by their size, or by a false size.

Each kind is a function of the valid arrays and of the file size in bytes. It yields the file's
bytes in pieces.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from charlm.config import ModelConfig
from charlm.nn.model import CharLM
from tests.faults.hostile import WEIGHT, Arrays, meta_of, sealed
from tests.faults.rawzip import Member, before, end, end_64, entry, members, npy, zipped

Kind = Callable[[Arrays, int], Iterable[bytes]]
PIECE = 1 << 20


def repeated(piece: bytes, size: int) -> Iterator[bytes]:
    """A piece repeated up to a size."""
    block = piece * (PIECE // len(piece))
    yield from (block for _ in range(size // len(block)))
    yield piece * (size % len(block) // len(piece))


def random_bytes(arrays: Arrays, size: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    yield from (rng.bytes(PIECE) for _ in range(size // PIECE))


def only(piece: bytes) -> Kind:
    return lambda arrays, size: repeated(piece, size)


def good_and(piece: bytes) -> Kind:
    """A valid checkpoint with bytes after it."""
    return lambda arrays, size: (zipped(members(arrays)), *repeated(piece, size))


# Many members

ALL = 0xFFFF  # instead of a count, which is then in the zip64 record
NAME = b"%07d"
EMPTY = {"name": NAME % 0, "flags": 0, "method": 0, "crc": 0, "stored": 0, "size": 0, "offset": 0}
SHORT = {"extra": b"", "short_stored": 0, "short_size": 0}


def archive(body: bytes, directory: bytes, count: int) -> Iterator[bytes]:
    """An archive with more members than its end record can count."""
    yield body
    yield directory
    yield end_64(count, len(directory), len(body), len(body) + len(directory))
    yield end(min(count, ALL), len(directory), len(body))


def million_members(arrays: Arrays, size: int) -> Iterator[bytes]:
    """Empty members with different names: a million in 100 MB."""
    first, last = before(EMPTY | SHORT), entry(EMPTY)
    names = [NAME % number for number in range(size // len(first + last) - 2)]
    body = b"".join(first[: -len(name)] + name for name in names)
    directory = b"".join(last[: -len(name)] + name for name in names)
    yield from archive(body, directory, len(names))


def million_entries(arrays: Arrays, size: int) -> Iterator[bytes]:
    """One member with many entries in the directory."""
    meta = members(arrays)[0]
    one = entry({**meta.said(), "offset": 0})
    count = size // len(one) - 100
    yield from archive(before(meta.said()) + meta.data, one * count, count)


def long_names(arrays: Arrays, size: int) -> Iterator[bytes]:
    """Members with names of the maximum length."""
    names = [NAME % k + b"n" * 65_000 for k in range(size // 65_100)]
    directory = b"".join(entry(EMPTY | {"name": name}) for name in names)
    yield from archive(before(EMPTY), directory, len(names))


def long_comments(arrays: Arrays, size: int) -> Iterator[bytes]:
    """Members without a name, with comments of the maximum length."""
    one = entry(EMPTY | {"name": b"", "comment": b"c" * 65_535})
    yield from archive(before(EMPTY), one * (size // len(one)), size // len(one))


def overlapping_members(arrays: Arrays, size: int) -> Iterator[bytes]:
    """A thousand members that all extend to the end of the file."""
    whole = {"size": size, "stored": size}
    heads = [Member(b"state/%d.npy" % k, b"", both=whole) for k in range(2, 1002)]
    yield zipped([*members(arrays), *heads, Member(b"state/1002.npy", bytes(size))])


def bomb(claimed: int) -> Kind:
    """Weights that unpack to a thousand times their size, with a claimed size."""

    def kind(arrays: Arrays, size: int) -> Iterator[bytes]:
        packer = zlib.compressobj(wbits=-15)
        block = packer.compress(bytes(PIECE)) + packer.flush(zlib.Z_FULL_FLUSH)
        count = size // len(block)
        header = npy(np.zeros(0, np.float32), shape=f"({count * PIECE // 4},)")
        unpacked = struct.pack("<BHH", 0, len(header), 0xFFFF - len(header)) + header
        packed = unpacked + block * count + b"\3\0"
        claim = {"method": 8, "size": claimed, "crc": 0}
        weights = Member(f"{WEIGHT}.npy".encode(), packed, both=claim)
        yield zipped([weights, *(m for m in members(arrays) if m.name != weights.name)])

    return kind


def array(name: str, dtype: str) -> Kind:
    """A large array, which replaces one of the arrays or is an additional one."""

    def kind(arrays: Arrays, size: int) -> Iterator[bytes]:
        numbers = np.arange(size // np.dtype(dtype).itemsize).astype(dtype)
        yield zipped(members(sealed({**arrays, name: numbers})))

    return kind


def text(name: str) -> Kind:
    """`meta` or `sha256` with trailing spaces."""

    def kind(arrays: Arrays, size: int) -> Iterator[bytes]:
        long = np.array(arrays[name].item() + " " * (size // 4) + "x")
        yield zipped(members({**arrays, name: long}))

    return kind


def header(arrays: Arrays, size: int) -> Iterator[bytes]:
    """An array header as long as the file."""
    weights = npy(arrays[WEIGHT], version=b"\2\0", header=b" " * size)
    name = f"{WEIGHT}.npy".encode()
    others = (m for m in members(arrays) if m.name != name)
    yield zipped([Member(name, weights), *others])


def large_model(arrays: Arrays, size: int) -> Arrays:
    """The arrays of a valid checkpoint of about that size."""
    return with_training(arrays, ModelConfig("lstm", hidden=int((size / 48) ** 0.5) - 20))


def with_training(arrays: Arrays, config: ModelConfig) -> Arrays:
    """The arrays of a valid checkpoint of another model: weights, Adam moments, state."""
    model = CharLM(config, arrays["vocabulary"].size)
    weights = {f"params/{k}": np.full(v, 0.5, np.float32) for k, v in model.shapes().items()}
    moments = np.full(sum(a.size for a in weights.values()), 0.5, np.float32)
    widths = model.cells.state_widths()
    state = {f"state/{k}": np.zeros((4, w), np.float32) for k, w in enumerate(widths)}
    meta = meta_of(arrays) | {"model": vars(config)}
    return sealed(
        {
            "meta": np.array(json.dumps(meta)),
            "vocabulary": arrays["vocabulary"],
            "optimizer/m": moments,
            "optimizer/v": moments,
            **weights,
            **state,
        }
    )


def many_layers(arrays: Arrays, size: int) -> Iterator[bytes]:
    """As many layers as fit into a directory of one megabyte, with a wrong checksum."""
    layers = min(size // 600, 7_000)
    other = with_training(arrays, ModelConfig("rnn", hidden=1, layers=layers))
    yield zipped(members(other | {"sha256": np.array("0" * 64)}))


def model(name: str, value: float) -> Kind:
    """A large model with the last value of an array replaced, and the correct `sha256`."""

    def kind(arrays: Arrays, size: int) -> Iterator[bytes]:
        other = large_model(arrays, size)
        other[name].reshape(-1)[-1] = value
        yield zipped(members(sealed(other)))

    return kind


def changed_model(arrays: Arrays, size: int) -> Iterator[bytes]:
    """A large model with a flipped bit and a matching zip checksum."""
    other = large_model(arrays, size)
    other[WEIGHT].view(np.uint32)[-1, -1] ^= 1
    yield zipped(members(other))


def cut_model(arrays: Arrays, size: int) -> Iterator[bytes]:
    """A large model without its last array of weights."""
    other = large_model(arrays, size)
    del other["params/head.b"]
    yield zipped(members(sealed(other)))


LARGE: dict[str, Kind] = {
    "zeros": only(b"\0"),
    "text": only(b"the cat sat on the mat\n"),
    "random bytes": random_bytes,
    "ends of archives": only(end(0, 0, 0)),
    "starts of ends": only(b"PK\5\6"),
    "entries of a directory": only(entry(EMPTY)),
    "headers of members": only(before(EMPTY)),
    "one array": lambda arrays, size: (npy(np.zeros(size // 4, np.float32)),),
    "one pickle": lambda arrays, size: (b"\x80\4]\x94(", *repeated(b"]\x94", size), b"e."),
    "zeros after a checkpoint": good_and(b"\0"),
    "ends after a checkpoint": good_and(b"PK\5\6" + b"\xff" * 18),
    "many members": million_members,
    "many entries of one member": million_entries,
    "long names": long_names,
    "long comments": long_comments,
    "overlapping members": overlapping_members,
    "bomb": bomb(2**32 - 2),
    "bomb that claims to be small": bomb(10_000),
    "bomb that claims to be nothing": bomb(0),
    "long meta": text("meta"),
    "long sha256": text("sha256"),
    "long header": header,
    "long vocabulary": array("vocabulary", "u4"),
    "long weights": array(WEIGHT, "f4"),
    "long weights of another type": array(WEIGHT, "f8"),
    "long moments": array("optimizer/m", "f4"),
    "long state": array("state/0", "f4"),
    "another long state": array("state/2", "f4"),
    "an array of bytes": array("more", "u1"),
    "a model with a NaN": model("params/head.b", np.nan),
    "a model with an infinite weight": model(WEIGHT, np.inf),
    "a model with a bit flipped": changed_model,
    "a model cut off": cut_model,
    "a model of many layers": many_layers,
}
