"""Hostile checkpoints with valid content: false array headers and false archives."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tests.faults.hostile import WEIGHT, Arrays
from tests.faults.rawzip import END, Member, end, end_64, member, members, zipped

# The headers of arrays

HEADERS: dict[str, dict[str, Any]] = {
    "Fortran order": {"fortran_order": "True"},
    "Fortran order as a number": {"fortran_order": "0"},
    "no header": {"header": b""},
    "header of code": {"header": b"__import__('os').abort()"},
    "header of a list": {"header": b"[]"},
    "header not closed": {"header": b"{'descr': '<f4', 'fortran_order': False, 'shape': (7,)"},
    "header not of ASCII": {"header": b"{\xff}"},
    "header with a NUL": {"header": b"{\0}"},
    "header of brackets": {"header": b"(" * 60_000},
    "header of signs": {"header": b"-" * 60_000 + b"1"},
    "header of powers": {"header": b"9**9**9**9"},
    "header of a long text": {"header": b"'x' * 10**12"},
    "header of spaces": {"header": b" " * 60_000},
    "header length too large": {"length": 65535},
    "header length too small": {"length": 10},
    "header length of zero": {"length": 0},
    "version 2": {"version": b"\2\0"},
    "version 3": {"version": b"\3\0"},
    "version 2 of 4 GB": {"version": b"\2\0", "length": 2**32 - 1},
    "version 1.1": {"version": b"\1\1"},
    "version 255": {"version": b"\xff\xff"},
    "bytes too many": {"more": b"\0"},
    "bytes too few": {"fewer": 1},
    "no bytes": {"data": b""},
}
SHAPES = (
    "(-1,)",
    "(-1, -16)",
    "(10**18,)",
    f"({10**18},)",
    f"({2**63},)",
    f"({2**32}, {2**32})",
    f"({2**63}, 2)",
    f"(0, {10**18})",
    f"({'9' * 900},)",
    f"({'9' * 5000},)",
    "(16.0,)",
    "(True, True, True)",
    "('16',)",
    "(None,)",
    "((16,),)",
    "[16]",
    "16",
    "{}",
    "'(16,)'",
    f"({'1, ' * 33})",
    f"({'1, ' * 15_000})",
    f"({'(' * 400}",
    f"({'(' * 20_000}",
)
TYPES = (
    "'|O'",
    "'object'",
    "'<f2'",
    "'>f4'",
    "'<f16'",
    "'<i4'",
    "'|V4'",
    "'|S4'",
    "'<U1'",
    "'<M8[s]'",
    "'|b1'",
    f"'<U{2**29}'",
    f"'|V{2**31 - 1}'",
    "'<f4, <f4'",
    "'(2,)<f4'",
    "('<f4', (1000000000,))",
    "[('a', '<f4')]",
    "[('a', '|O')]",
    "[(('t', 'a'), '<f4')]",
    "[('a', '<f4', (1000000000,))]",
    f"[{repr(('', '|O')) + ', '}]" * 4000,
    "['a'] * 10**9",
    "''",
    "None",
    "4",
    "'" + "<f4," * 200 + "'",
    "'" + "<f4," * 10_000 + "'",
    "[('a', " * 100 + "'<f4'" + ")]" * 100,
    "[('a', " * 3000 + "'<f4'" + ")]" * 3000,
    "{'names': ['a'], 'formats': ['<f4']}",
    "'<f4\\0'",
    "'\\n\\x1b[2J'",
)


def wrong_headers(arrays: Arrays) -> Iterator[tuple[str, bytes]]:
    """Files in which one array has a false header before its valid bytes."""
    shapes = {f"shape {shape:.40}": {"shape": shape} for shape in SHAPES}
    types = {f"type {descr:.40}": {"descr": descr} for descr in TYPES}
    for name in (WEIGHT, "meta", "vocabulary", "state/0"):
        for what, lie in (HEADERS | shapes | types).items():
            file = zipped(member(k, a, **(lie if k == name else {})) for k, a in arrays.items())
            yield f"{name}: {what}", file


# The archive

ZIP_64 = struct.Struct("<2H3Q")  # the field with a size, a stored size and an offset
LIES = {
    "compressed by an unknown method": {"method": 99},
    "declared as compressed": {"method": 8},
    "encrypted": {"flags": 1},
    "strongly encrypted": {"flags": 0x41},
    "patched": {"flags": 0x20},
    "larger than it is": {"size": 10**6},
    "smaller than it is": {"size": 100, "stored": 100},
    "of no bytes": {"size": 0, "stored": 0},
    "larger than the file": {"size": 10**9, "stored": 10**9},
    "of 4 GB": {"size": 2**32 - 2, "stored": 2**32 - 2},
    "elsewhere": {"offset": 5},
    "beyond the file": {"offset": 2**31},
    "of 2**63 bytes": {
        "size": 2**32 - 1,
        "stored": 2**32 - 1,
        "extra": ZIP_64.pack(1, 24, 2**63, 2**63, 0),
    },
    "at 2**63": {"offset": 2**32 - 1, "extra": struct.pack("<2HQ", 1, 8, 2**63)},
    "of a missing size": {"size": 2**32 - 1, "extra": struct.pack("<2H", 1, 0)},
    "of half a field": {"size": 2**32 - 1, "extra": struct.pack("<2H", 1, 400)},
    "of a later version": {"needed": 99},
    "named otherwise": {"name": b"params/0.X.npy"},
    "named by a NUL": {"name": b"params/0.W.npy\0.txt"},
    "named after a NUL": {"name": b"\0params/0.W.npy"},
    "no array by its name": {"name": b"params/0.W"},
    "of a name that is not UTF-8": {"flags": 0x800, "name": b"\xff\xfe.npy"},
}


def deflated(whole: Member) -> Member:
    """A compressed member with correct headers."""
    data = zlib.compress(whole.data)[2:-4]
    true = {"size": len(whole.data), "stored": len(data), "crc": zlib.crc32(whole.data)}
    return replace(whole, data=data, both={"method": 8, **true})


def wrong_archives(arrays: Arrays) -> Iterator[tuple[str, bytes]]:
    """Archives with false headers or unexpected members."""
    good = members(arrays)
    place = next(k for k, each in enumerate(good) if each.name == f"{WEIGHT}.npy".encode())
    weight = good[place]

    def among(*changed: Member) -> bytes:
        return zipped([*good[:place], *changed, *good[place + 1 :]])

    for what, lie in LIES.items():
        yield f"a member {what}", among(replace(weight, both=lie))
        if lie.keys() <= {"name"}:  # sizes and flags in the first header are not read
            yield f"a member {what} at first", among(replace(weight, first=lie))
        yield f"a member {what} at last", among(replace(weight, last=lie))
    yield "a member compressed", among(deflated(weight))
    yield "all members compressed", zipped(map(deflated, good))
    other = replace(weight, data=weight.data[:-1] + bytes([weight.data[-1] ^ 1]))
    yield "a member twice", among(weight, weight)
    yield "a member twice, other first", among(other, weight)
    yield "a member twice, other last", among(weight, other)
    yield "a member twice in the directory", among(replace(weight, count=2))
    yield "a member of a prefix", among(replace(weight, data=b"\0" + weight.data))
    yield (
        "two members in the same bytes",
        zipped(
            replace(m, last={"offset": state_offset(good)}) if m.name == b"state/1.npy" else m
            for m in good
        ),
    )
    yield "a member that is no array", zipped([*good, Member(b"readme.txt", b"")])
    yield "a folder", zipped([*good, Member(b"params/", b"")])
    yield "no members", zipped([])
    yield "nothing but a directory", zipped(good)[len(b"".join(m.data for m in good)) :]
    yield from wrong_ends(arrays)


def state_offset(good: list[Member]) -> int:
    """The offset of the member state/0."""
    return zipped(good).index(b"state/0.npy") - 30


def wrong_ends(arrays: Arrays) -> Iterator[tuple[str, bytes]]:
    """Archives whose end record, or zip64 end record, is false."""
    good = zipped(members(arrays))
    body, last = good[: -END.size], END.unpack(good[-END.size :])
    count, size, offset = last[4:7]
    directory = body[offset:]
    for what, said in {
        "a directory size too large": {"size": size + 1},
        "a directory size too small": {"size": size - 1},
        "a directory of nothing": {"size": 0},
        "a directory of 4 GB": {"size": 2**32 - 2},
        "a directory beyond the file": {"offset": 2**31},
        "a directory further on": {"offset": offset + 7},
    }.items():
        yield what, body + end(**{"count": count, "size": size, "offset": offset} | said)
    for what, said in {
        "a directory of 2**63 bytes": {"size": 2**63},
        "a directory at 2**63": {"offset": 2**63},
        "a directory before the file": {"offset": 2**64 - 1},
        "a record on other disks": {"disks": 7},
    }.items():
        truth = {"count": count, "size": size, "offset": offset, "at": len(body)}
        last_record = end(0xFFFF, 2**32 - 1, 2**32 - 1)
        yield f"zip64: {what}", body + end_64(**truth | said) + last_record
    yield "zip64: no record", body + end(0xFFFF, 2**32 - 1, 2**32 - 1)
    half = directory[: len(directory) // 2]
    yield "a directory cut off", body[:offset] + half + end(count, len(half), offset)
    shadow = b"PK\5\6" + bytes(18)
    yield "an empty archive in the comment", body + end(count, size, offset, shadow)


def hostile_bytes(arrays: Arrays) -> Iterator[tuple[str, bytes]]:
    """Each file with its name; `arrays` are those of a valid checkpoint, with its `sha256`."""
    yield from wrong_headers(arrays)
    yield from wrong_archives(arrays)


def harmless(arrays: Arrays) -> dict[str, bytes]:
    """Archives that differ from a valid one without any effect on the content."""
    good = members(arrays)

    def all_with(**fields: Any) -> bytes:
        return zipped(replace(each, **fields) for each in good)

    whole = zipped(good)
    return {
        "nothing else": whole,
        "other dates": all_with(both={"date": 0x5A21}),
        "other rights": all_with(last={"mode": 0o4777}),
        "another order": zipped(reversed(good)),
        "no fields of zip64": zipped(
            replace(m, first={"extra": b"", "short_size": len(m.data), "short_stored": len(m.data)})
            for m in good
        ),
        "sizes that lie at first": all_with(first={"size": 10**12, "stored": 0}),
        "checksums that lie at first": all_with(first={"crc": 0}),
        "checksums of zip that lie": all_with(both={"crc": 1}),
        "flags that lie at first": all_with(first={"flags": 1}),
        "a method that lies at first": all_with(first={"method": 8}),
        "sizes after the members": all_with(both={"flags": 8}),
        "other disks": all_with(last={"disk": 3}),
        "comments": all_with(last={"comment": b"c" * 100}),
        "unknown fields": all_with(last={"extra": struct.pack("<2H4x", 0x7777, 4)}),
        "a wrong count": zipped(good, total=1),
        "a comment at the end": zipped(good, b"comment"),
        "a comment that is too long": zipped(good, b"c" * 65_535),
        "a comment beyond the file": zipped(good, length=9),
        "bytes before": b"#!/bin/sh\n" * 9 + whole,
        "itself before": whole + whole,
    }
