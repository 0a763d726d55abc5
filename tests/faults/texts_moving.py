"""Run `charlm` on a text that changes while it is read: texts_moving.py CHANGE PATH ARGUMENT…"""

import os
import sys
from collections.abc import Callable
from typing import IO

from charlm.text import text_files


def _grow(path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"the end\n")


# The change of the file, and the number of blocks that are read before it.
CHANGES: dict[str, tuple[Callable[[str], object], int]] = {
    "vanishes": (os.unlink, 0),
    "grows": (_grow, 1),
    "shrinks": (lambda path: os.truncate(path, 300), 0),
}


def changing(kind: str, path: str) -> Callable[[IO[bytes]], bytes]:
    """A function that reads a block of a file, and changes the file once."""
    change, blocks_before = CHANGES[kind]
    read, blocks = text_files._block, 0

    def block(file: IO[bytes]) -> bytes:
        nonlocal blocks
        if blocks == blocks_before:
            change(path)
        data = read(file)
        blocks += 1
        return data

    return block


def main() -> None:
    from charlm.__main__ import main as charlm

    _, kind, path, *arguments = sys.argv
    text_files._block = changing(kind, path)
    sys.argv = ["charlm", *arguments]
    charlm()


if __name__ == "__main__":
    main()
