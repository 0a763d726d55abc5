"""Names as words of a shell command, and commands for a file that cannot be used."""

import os
import shlex
from pathlib import Path

from charlm.errors import is_visible, printable


def quoted(argument: str | Path) -> str:
    """A file name or pattern as the user can type it in a POSIX shell, at any place of a command.

    A name that begins with a hyphen, but not `-` alone, which is standard input, gets `./`.
    Characters that `printable` escapes are escaped for the shell, as in $'\\033'.
    """
    word = os.fspath(argument)
    if word.startswith("-") and word != "-":
        word = f"./{word}"
    if printable(word) == word:
        return shlex.quote(word)
    return f"$'{''.join(map(_escaped, word))}'"


def to_move(path: Path) -> str:
    """The command that moves a file or directory away, under another name."""
    return f"mv {quoted(path)} {quoted(f'{path}.old')}"


def to_copy(path: Path) -> str:
    """The command that replaces a link by a copy of its file, which loses nothing."""
    link, copy = quoted(path), quoted(f"{path}.copy")
    return f"cp {link} {copy} && mv {copy} {link}"


def _escaped(character: str) -> str:
    if is_visible(character) and character not in "\\'":
        return character
    is_byte = "\udc80" <= character <= "\udcff"  # of a name that is not valid in its encoding
    bytes_ = character.encode("utf-8", "surrogateescape" if is_byte else "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in bytes_)
