"""Hostile checkpoints made from a valid one: changed JSON, arrays and checksums.

An attacker who writes a checkpoint can also compute its `sha256`, so the checksum is correct in all
files except those that test it. `hostile_bytes.py` has valid content with false headers or a false
archive; `hostile_large.py` has files that attack by their size.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from charlm.system.arrays import Array
from tests.faults.rawzip import members, zipped

Arrays = dict[str, Array]

WEIGHT = "params/0.W"


def arrays_of(path: Path) -> Arrays:
    """The arrays of a valid checkpoint, as NumPy reads them."""
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def digest(arrays: Mapping[str, Array]) -> str:
    """The correct `sha256` for these arrays."""
    lines = [
        f"{name} {array.dtype.str} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}\n"
        for name, array in sorted(arrays.items())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sealed(arrays: Mapping[str, Array]) -> Arrays:
    """The same content with the correct `sha256`."""
    content = {name: np.asarray(array) for name, array in arrays.items() if name != "sha256"}
    return content | {"sha256": np.array(digest(content))}


def file_of(arrays: Mapping[str, Array]) -> bytes:
    """A checkpoint with any content and the correct `sha256`."""
    return zipped(members(sealed(arrays)))


# JSON of meta

WRONG: dict[type, tuple[object, ...]] = {
    str: (None, 1, True, [], {}),
    bool: (None, 1, 0.5, "true", [], {}),
    int: (None, -1, 1.5, 3.0, True, "3", [], {}, np.nan),
    float: (True, "0.5", [], {}, np.nan, np.inf, -np.inf),
    type(None): (True, "0.5", [], {}, np.nan),
    list: (None, 1, "corpus.txt", {}, [1], [None], [[]]),
    dict: (None, 1, "x", []),
}
MAY_BE_NONE = ("progress.best_nats", "train.lr", "train.val_fraction", "model.activation")
FOR_PEOPLE = ("charlm", "numpy")  # the versions that wrote the file; not read
BEYOND_MEMORY = {
    "hidden": (10**9, 10**30, -(10**9)),
    "layers": (10**7, 10**30),
    "head_layers": (10**7, 10**30),
    "embedding": (10**9, 10**30),
}
PARTS = ("model", "train", "progress", "corpus")
MOST = 1 << 19  # characters of meta


def meta_of(arrays: Mapping[str, Array]) -> dict[str, Any]:
    return json.loads(arrays["meta"].item())


def values(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value in the JSON of `meta`, with its path of keys."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key in sorted(value.keys() - set(FOR_PEOPLE)):
            yield from values(value[key], *path, key)


def replaced(value: Any, path: tuple[str, ...], new: object) -> Any:
    """The same JSON with a new value at a path of keys."""
    return {**value, path[0]: replaced(value.get(path[0]), path[1:], new)} if path else new


def wrong_values(meta: dict[str, Any]) -> dict[str, str]:
    """Texts of `meta`, each with one value replaced by an invalid one."""
    texts = {}
    for path, value in values(meta):
        name = ".".join(path)
        for new in WRONG[type(value)]:
            if new is not None or name not in MAY_BE_NONE:
                texts[f"{name}: {json.dumps(new):.30}"] = json.dumps(replaced(meta, path, new))
    for field, sizes in BEYOND_MEMORY.items():
        for size in sizes:
            changed = replaced(meta, ("model", field), size)
            texts[f"model.{field}: {size:.0e}"] = json.dumps(changed)
    for part in PARTS:
        for key in ("more", "a\nb", "\x1b[2J", "k" * 10**5, "self", "__class__"):
            changed = replaced(meta, (part, key), 1)
            texts[f"unknown {key!r:.10} in {part}"] = json.dumps(changed)
    return texts


def wrong_texts(meta: dict[str, Any]) -> dict[str, str]:
    """Invalid texts of `meta`."""
    good = json.dumps(meta)
    fields = ", ".join(f'"{k}": 0' for k in range(60_000))
    return {
        "no JSON": good[:-1],
        "JSON twice": good + good,
        "JSON with a comment": good + "//",
        "JSON with a byte order mark": "\ufeff" + good,
        "nothing": "",
        "more than meta may have": good + " " * MOST,
        "lists in lists": "[" * MOST,
        "lists in lists that are closed": "[" * (MOST // 2) + "]" * (MOST // 2),
        "objects in objects": '{"a":' * (MOST // 5),
        "many empty lists": last_value(good, "model", "[" + "[]," * 340_000 + "[]]"),
        "many lists of a list": last_value(good, "model", "[" + "[[]]," * 200_000 + "[]]"),
        "many objects of a number": last_value(good, "model", "[" + '{"":0},' * 140_000 + "[]]"),
        "many fields": last_value(good, "model", "{" + fields + "}"),
        "many escapes": last_value(good, "model", '"' + "\\u001b" * 170_000 + '"'),
        "a wide character and many narrow ones": last_value(
            good, "model", f'"\U0001f600{"x" * 10**6}"'
        ),
        "a number of a million digits": last_value(good, "format", "9" * 10**6),
        "a number of 4,000 digits": last_value(good, "format", "9" * 4000),
        "a fraction of a million digits": last_value(good, "format", "2." + "1" * 10**6),
        "an infinite format": last_value(good, "format", "1e999"),
        "a format of lines": last_value(good, "format", r'"2\nformat 2\r\u001b[2J\u2028"'),
        "a cell of lines": last_value(good, "model", r'{"cell": "lstm\n\u001b[2J\u0085"}'),
        "a cell of a million characters": last_value(good, "model", f'{{"cell": "{"x" * 10**6}"}}'),
        "a width of a million characters": last_value(
            good, "model", f'{{"hidden": "{"x" * 10**6}"}}'
        ),
        "a lone surrogate": last_value(good, "model", r'{"cell": "\ud800"}'),
    }


def last_value(good: str, key: str, value: str) -> str:
    """JSON with a duplicate key; the last value counts."""
    return f'{good[:-1]}, "{key}": {value}}}'


# Arrays

TRICKS = (
    "../../x",
    "/etc/x",
    "C:\\x",
    "\\\\host\\x",
    "params/../x",
    "params/",
    "",
    ".",
    " ",
    "meta\n",
    "\x1b[2J\r\x85\u2028",
    "params/0.W ",
    "PARAMS/0.W",
    "params\\0.W",
    "params/é",
    "n" * 60_000,
    "state/2",
    "state/00",
    "optimizer/w",
    "params/1.W",
    "sha512",
)


def wrong_arrays(arrays: Arrays) -> dict[str, Arrays]:
    """Invalid arrays, in a file that is otherwise valid."""
    meta, weight, points = meta_of(arrays), arrays[WEIGHT], arrays["vocabulary"]
    content = {name: a for name, a in arrays.items() if name not in ("meta", "sha256")}
    numbers = {name: a for name, a in content.items() if name != "vocabulary"}

    changed: dict[str, Arrays] = {}
    for name, array in content.items():
        changed[f"no {name}"] = {k: a for k, a in arrays.items() if k != name}
        for what, other in {
            "half": array[: len(array) // 2],
            "twice": np.concatenate([array, array]),
            "none": array[:0],
            "flat": array.reshape(1, -1),
            "one number": array.reshape(-1)[0],
            "swapped bytes": array.astype(array.dtype.newbyteorder()),
        }.items():
            changed[f"{name}: {what}"] = {**arrays, name: other}
    for name, array in numbers.items():
        for to in ("f2", "f8", "c8", "i4", "U4", "S4", "?", "M8[s]"):
            changed[f"{name}: {to}"] = {**arrays, name: array.astype("i8").astype(to)}
        for number in (np.nan, np.inf, -np.inf):
            other = array.copy()
            other.reshape(-1)[-1] = number
            changed[f"{name}: {number}"] = {**arrays, name: other}
    for name in TRICKS:
        changed[f"also {name!r:.30}"] = {**arrays, name: weight}
    beyond = points.copy()
    beyond[-1] = 0x110000
    others = {
        "vocabulary: from behind": {"vocabulary": points[::-1].copy()},
        "vocabulary: beyond Unicode": {"vocabulary": beyond},
        "vocabulary: a million": {"vocabulary": np.arange(10**6, dtype=np.uint32)},
        "vocabulary: signed": {"vocabulary": points.astype(np.int32)},
        f"{WEIGHT}: turned": {WEIGHT: weight.T.copy()},
        "meta: in one axis": {"meta": arrays["meta"][None]},
        "meta: bytes": {"meta": arrays["meta"].astype("S")},
        "meta: a number": {"meta": np.array(2)},
        "meta: beyond Unicode": {"meta": np.array([0x110000] * 9, np.uint32).view("U9")[0]},
        "has_unk without the token": with_meta(meta, ("has_unk",), True),
        "another optimizer": with_meta(meta, ("train", "optimizer"), "sgd"),
        "format 1": with_meta(meta, ("format",), 1),
    }
    return changed | {what: {**arrays, **other} for what, other in others.items()}


def with_meta(meta: dict[str, Any], path: tuple[str, ...], value: object) -> Arrays:
    return {"meta": np.array(json.dumps(replaced(meta, path, value)))}


def wrong_seals(arrays: Arrays) -> dict[str, Arrays]:
    """Invalid arrays for `sha256`."""
    seal = arrays["sha256"]
    without = {name: array for name, array in arrays.items() if name != "sha256"}
    others = {
        "of other content": np.array(digest(without | {WEIGHT: -arrays[WEIGHT]})),
        "of itself as well": np.array(digest(arrays)),
        "of nothing": np.array(""),
        "of bytes": seal.astype("S"),
        "of 65 characters": np.array(f"{seal}0"),
        "in one axis": seal[None],
        "of objects": np.array(0),
        "of lines": np.array("\n\x1b[2J" * 10),
    }
    return {"no sha256": without} | {
        f"sha256 {k}": {**arrays, "sha256": v} for k, v in others.items()
    }


def hostile_contents(arrays: Arrays) -> Iterator[tuple[str, bytes]]:
    """Each file with its name; `arrays` are those of a valid checkpoint, with its `sha256`."""
    meta = meta_of(arrays)
    for what, text in (wrong_values(meta) | wrong_texts(meta)).items():
        yield f"meta: {what}", file_of({**arrays, "meta": np.array(text)})
    for what, changed in wrong_arrays(arrays).items():
        yield what, file_of(changed)
    for what, changed in wrong_seals(arrays).items():
        yield what, zipped(members(changed))
