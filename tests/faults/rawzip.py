"""Zip archives and .npy files written byte by byte, so that any field of them can lie.

Without lies they are laid out as `numpy.savez` does it: stored members, with their sizes in a
zip64 field of the header before each.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charlm.system.arrays import Array

BEFORE = struct.Struct("<4s5H3I2H")  # the header before a member's bytes
ENTRY = struct.Struct("<4s6H3I5H2I")  # its entry in the directory at the end
END = struct.Struct("<4s4H2IH")
END_64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
IN_EXTRA = 0xFFFFFFFF  # in place of a size: it is in the zip64 field
DATE = 0x21  # 1 January 1980
Said = Mapping[str, Any]


def before(said: Said) -> bytes:
    """The header before a member's bytes."""
    sizes = struct.pack("<2H2Q", 1, 16, said["size"], said["stored"])
    extra = said.get("extra", sizes)
    two = (said.get("short_stored", IN_EXTRA), said.get("short_size", IN_EXTRA))
    kind = (said.get("needed", 45), said["flags"], said["method"], 0, said.get("date", DATE))
    lengths = (len(said["name"]), len(extra))
    return BEFORE.pack(b"PK\3\4", *kind, said["crc"], *two, *lengths) + said["name"] + extra


def entry(said: Said) -> bytes:
    """A member's entry in the directory."""
    extra, comment = said.get("extra", b""), said.get("comment", b"")
    kind = (said.get("needed", 45), said["flags"], said["method"], 0, said.get("date", DATE))
    sizes = (said["crc"], said["stored"], said["size"])
    lengths = (len(said["name"]), len(extra), len(comment))
    rest = (said.get("disk", 0), 0, said.get("mode", 0o600) << 16, said["offset"])
    header = ENTRY.pack(b"PK\1\2", 45 | 3 << 8, *kind, *sizes, *lengths, *rest)
    return header + said["name"] + extra + comment


def end(count: int, size: int, offset: int, comment: bytes = b"", **said: Any) -> bytes:
    """The record at the very end: how many entries, and where."""
    total = said.get("total", count)
    length = said.get("length", len(comment))
    disks = (said.get("disk", 0), said.get("first_disk", 0))
    return (
        END.pack(b"PK\5\6", *disks, count & 0xFFFF, total & 0xFFFF, size, offset, length) + comment
    )


def end_64(count: int, size: int, offset: int, at: int, **said: Any) -> bytes:
    """The two records of an archive with many entries; `at` is where they begin."""
    record = END_64.pack(
        b"PK\6\6", said.get("length", 44), 45, 45, 0, 0, count, count, size, offset
    )
    locator = LOCATOR.pack(b"PK\6\7", 0, said.get("points_to", at), said.get("disks", 1))
    return record + locator


@dataclass(frozen=True)
class Member:
    """A member of an archive, and what is untrue of it.

    Attributes:
        name: its name in the archive.
        data: its bytes.
        both: what both of its headers say otherwise.
        first: what the header before its bytes says otherwise.
        last: what the directory says otherwise.
        count: how often it stands in the directory.
    """

    name: bytes
    data: bytes
    both: Said = field(default_factory=dict)
    first: Said = field(default_factory=dict)
    last: Said = field(default_factory=dict)
    count: int = 1

    def said(self) -> dict[str, Any]:
        size = len(self.data)
        truth = {"name": self.name, "flags": 0, "method": 0, "crc": zlib.crc32(self.data)}
        return truth | {"stored": size, "size": size} | dict(self.both)


def zipped(members: Iterable[Member], comment: bytes = b"", **said: Any) -> bytes:
    """An archive of members; `said` is what its last record says otherwise."""
    body, directory, count = bytearray(), bytearray(), 0
    for member in members:
        truth = member.said()
        directory += entry({"offset": len(body), **truth, **member.last}) * member.count
        body += before({**truth, **member.first}) + member.data
        count += member.count
    where = {"count": count, "size": len(directory), "offset": len(body), "comment": comment}
    middle = said.pop("middle", b"")
    return bytes(body + directory + middle + end(**where | said))


def npy(array: Array, **lies: Any) -> bytes:
    """An array as a .npy file.

    Args:
        array: its bytes are written in C order, whatever the header says.
        lies: `descr`, `fortran_order` and `shape` as texts of Python, the whole `header`, the
            `version`, the `length` that the header is said to have, the `data`, how many of its
            bytes are `fewer`, and which are `more`.
    """
    fields = {
        "descr": repr(array.dtype.str),
        "fortran_order": "False",
        "shape": str(array.shape),
    }
    told = "".join(f"'{name}': {lies.get(name, truth)}, " for name, truth in fields.items())
    text = lies.get("header", f"{{{told}}}".encode())
    version = lies.get("version", b"\1\0")
    width = "<H" if version[0] == 1 else "<I"
    start = 8 + struct.calcsize(width)
    text += b" " * (-(start + len(text) + 1) % 64) + b"\n"
    length = struct.pack(width, lies.get("length", len(text)))
    data = lies.get("data", array.tobytes())
    data = data[: len(data) - lies.get("fewer", 0)] + lies.get("more", b"")
    return b"\x93NUMPY" + version + length + text + data


def member(name: str, array: Array, **lies: Any) -> Member:
    """An array as a member of an archive."""
    return Member(f"{name}.npy".encode(), npy(np.asarray(array), **lies))


def members(arrays: Mapping[str, Array]) -> list[Member]:
    """Arrays as `numpy.savez` lays them out."""
    return [member(name, array) for name, array in arrays.items()]
