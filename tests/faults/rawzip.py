"""Zip archives and .npy files written byte by byte, so that any of their fields can be false.

Without false fields they have the layout of `numpy.savez`: stored members, with their sizes in a
zip64 field of the local header.
"""

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charlm.system.arrays import Array

BEFORE = struct.Struct("<4s5H3I2H")  # the local header of a member
ENTRY = struct.Struct("<4s6H3I5H2I")  # its entry in the central directory
END = struct.Struct("<4s4H2IH")
END_64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
IN_EXTRA = 0xFFFFFFFF  # instead of a size, which is then in the zip64 field
DATE = 0x21  # 1 January 1980
Said = Mapping[str, Any]


def before(said: Said) -> bytes:
    """The local header of a member."""
    sizes = struct.pack("<2H2Q", 1, 16, said["size"], said["stored"])
    extra = said.get("extra", sizes)
    two = (said.get("short_stored", IN_EXTRA), said.get("short_size", IN_EXTRA))
    kind = (said.get("needed", 45), said["flags"], said["method"], 0, said.get("date", DATE))
    lengths = (len(said["name"]), len(extra))
    return BEFORE.pack(b"PK\3\4", *kind, said["crc"], *two, *lengths) + said["name"] + extra


def entry(said: Said) -> bytes:
    """The entry of a member in the central directory."""
    extra, comment = said.get("extra", b""), said.get("comment", b"")
    kind = (said.get("needed", 45), said["flags"], said["method"], 0, said.get("date", DATE))
    sizes = (said["crc"], said["stored"], said["size"])
    lengths = (len(said["name"]), len(extra), len(comment))
    rest = (said.get("disk", 0), 0, said.get("mode", 0o600) << 16, said["offset"])
    header = ENTRY.pack(b"PK\1\2", 45 | 3 << 8, *kind, *sizes, *lengths, *rest)
    return header + said["name"] + extra + comment


def end(count: int, size: int, offset: int, comment: bytes = b"", **said: Any) -> bytes:
    """The end record: the number of entries and the offset of the directory."""
    total = said.get("total", count)
    length = said.get("length", len(comment))
    disks = (said.get("disk", 0), said.get("first_disk", 0))
    return (
        END.pack(b"PK\5\6", *disks, count & 0xFFFF, total & 0xFFFF, size, offset, length) + comment
    )


def end_64(count: int, size: int, offset: int, at: int, **said: Any) -> bytes:
    """The two zip64 records of an archive with many entries; `at` is their offset."""
    record = END_64.pack(
        b"PK\6\6", said.get("length", 44), 45, 45, 0, 0, count, count, size, offset
    )
    locator = LOCATOR.pack(b"PK\6\7", 0, said.get("points_to", at), said.get("disks", 1))
    return record + locator


@dataclass(frozen=True)
class Member:
    """A member of an archive, with its false header fields.

    Attributes:
        name: its name in the archive.
        data: its bytes.
        both: false fields of both headers.
        first: false fields of the local header.
        last: false fields of the directory entry.
        count: the number of its directory entries.
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
    """An archive of members; `said` has the false fields of the end record."""
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
        array: written in C order, whatever the header states.
        lies: false fields: `descr`, `fortran_order` and `shape` as Python literals, the whole
            `header`, the `version`, the `length` of the header, the `data`, the number of missing
            bytes `fewer`, and the extra bytes `more`.
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
    """An array as an archive member."""
    return Member(f"{name}.npy".encode(), npy(np.asarray(array), **lies))


def members(arrays: Mapping[str, Array]) -> list[Member]:
    """Arrays as archive members, in the layout of `numpy.savez`."""
    return [member(name, array) for name, array in arrays.items()]
