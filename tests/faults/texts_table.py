"""The kinds of text input, the commands that read text, and the outcomes."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from tests.shell import TEXT

COMMANDS = {
    "train": "train {text} --out new --steps 1 --hidden 4 --threads 1 --json",
    "train --resume": "train --resume {text} --out run --steps 6 --threads 1 --json",
    "corpus prepare": "corpus prepare {text} --json",
    "sample": "sample {models}/one.npz --prompt-file {text} --length 5 --json",
    "eval": "eval {models}/one.npz {text} --json",
    "score": "score {models}/one.npz {text} --json",
    "classify": "classify {text} --model {models}/one.npz --model {models}/two.npz --json",
    "classify --lines": "classify {text} --model {models}/one.npz --model {models}/two.npz "
    "--lines --json",
    "proofread": "proofread {text} --model {models}/both.npz --json",
}
READ_AS_CORPUS = ("train", "train --resume", "corpus prepare")
KNOWN = frozenset(TEXT)  # the characters that the models know


@dataclass(frozen=True)
class Given:
    """A text input and its expected outcome.

    Attributes:
        make: creates the input at a path.
        text: the text that is read, if it can be read.
        refused: a part of the error message, by command. In addition, a run can only be resumed
            with its own text, and a prompt must have only characters that the model knows.
        ending: the file name extension.
        options: command-line options.
        said: a part of the note that is printed when the text is read.
        change: the change of the file while it is read; see `texts_moving.py`.
        has_a_name: whether the input needs a file name, and cannot be standard input.
    """

    make: Callable[[Path], object]
    text: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    ending: str = ".txt"
    options: tuple[str, ...] = ()
    said: str = ""
    change: str = ""
    has_a_name: bool = False

    def refusal(self, command: str) -> str:
        """A part of the error message of a command; empty if it succeeds."""
        if command in self.refused:
            return self.refused[command]
        if command == "train --resume" and self.text != TEXT:
            return "the corpus has changed since training began"
        if command == "sample" and not KNOWN.issuperset(self.text):
            return "characters that are not in the model's vocabulary"
        return ""


def of_bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def fifo(path: Path) -> None:
    os.mkfifo(path)
    Thread(target=path.write_bytes, args=(TEXT.encode(),), daemon=True).start()


def tar_in_gzip(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("text.txt")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT.encode()))


def by_all(words: str, **others: str) -> dict[str, str]:
    return dict.fromkeys(COMMANDS, words) | others


def plain(text: str, **more: object) -> Given:
    return Given(of_bytes(text.encode()), text, **more)


TOO_SHORT = {"train": "the corpus has 1 characters"} | dict.fromkeys(
    ("eval", "score"), "at least 2"
)
CRLF = TEXT.replace("\n", "\r\n")
DEVICE = by_all("devices are not supported")
NO_FILES = "no files found in"
A_DIRECTORY = by_all(NO_FILES) | dict.fromkeys(("sample", "proofread"), "Is a directory")


def texts(line: int) -> dict[str, Given]:
    """All text inputs by name.

    Args:
        line: the length of the long line, in characters.
    """
    return {
        "empty": plain(
            "",
            refused={
                **dict.fromkeys(
                    (*READ_AS_CORPUS, "eval", "score", "classify"), "the text is empty"
                ),
                "classify --lines": "all documents are empty",
            },
        ),
        "one character": plain("a", refused=TOO_SHORT),
        "shorter than one chunk": plain("the machine reads a letter"),
        "one distinct character": plain("a" * 500),
        "one line": plain((TEXT.replace("\n", " ") * -(-line // len(TEXT)))[:line]),
        "binary": Given(
            of_bytes(bytes(range(1, 256)) * 9),
            refused=by_all("is not valid utf-8: invalid start byte at byte 127, line 2; "),
        ),
        "image": Given(
            of_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" * 9),
            refused=by_all("it looks like PNG; it has no text to read"),
        ),
        "tar in .gz": Given(
            tar_in_gzip, refused=by_all("it looks like tar in gzip; extract it"), ending=".gz"
        ),
        "UTF-16": Given(of_bytes(TEXT.encode("utf-16")), refused=by_all("pass --encoding utf-16")),
        "UTF-16, named": Given(
            of_bytes(TEXT.encode("utf-16")),
            TEXT,
            options=("--encoding", "utf-16"),
        ),
        "UTF-16 without a mark": Given(
            of_bytes(TEXT.encode("utf-16-be")), refused=by_all("pass --encoding utf-16-be")
        ),
        "gzip under another name": Given(
            of_bytes(gzip.compress(TEXT.encode())), refused=by_all("looks like gzip; decompress it")
        ),
        "no gzip in .gz": Given(
            of_bytes(TEXT.encode()),
            refused=by_all("it is not in gzip format"),
            ending=".gz",
            has_a_name=True,
        ),
        "gzip, cut off": Given(
            of_bytes(gzip.compress(TEXT.encode())[:-9]),
            refused=by_all("the gzip data is truncated"),
            ending=".gz",
            has_a_name=True,
        ),
        "broken UTF-8": Given(
            of_bytes(TEXT.encode() + b"the \xff machine"),
            refused=by_all(f"at byte {len(TEXT) + 4}, line {TEXT.count(chr(10)) + 1};"),
        ),
        "broken UTF-8, skipped": Given(
            of_bytes(TEXT.encode() + b"\xff\xfe"),
            TEXT,
            options=("--errors", "skip"),
            said="skipped 2 invalid bytes, the first at byte ",
        ),
        "lone surrogate": Given(
            of_bytes(b"the " + "\ud800".encode("utf-8", "surrogatepass")),
            refused=by_all("at byte 4, line 1;"),
        ),
        "lone surrogate in UTF-7": Given(
            of_bytes(TEXT.encode() + b"+2AA-\n"),
            TEXT + "\ud800\n",
            options=("--encoding", "utf-7"),
        ),
        "byte-order mark": Given(
            of_bytes(("\ufeff" + TEXT).encode()), TEXT, said="ignoring the byte-order mark"
        ),
        "CRLF": plain(CRLF),
        "CRLF, to be newlines": Given(
            of_bytes(CRLF.encode()),
            TEXT,
            {"train --resume": "--newlines is lf"},
            options=("--newlines", "lf"),
        ),
        "NUL": plain(TEXT + "the\0machine\n"),
        "directory": Given(Path.mkdir, refused=A_DIRECTORY, has_a_name=True),
        "FIFO": Given(fifo, TEXT),
        "/dev/null": Given(lambda path: path.symlink_to("/dev/null"), refused=DEVICE),
        "/dev/zero": Given(lambda path: path.symlink_to("/dev/zero"), refused=DEVICE),
        "missing": Given(
            lambda path: None, refused=by_all("No such file or directory"), has_a_name=True
        ),
        "vanishes while it is read": plain(TEXT, change="vanishes"),
        "grows while it is read": Given(
            of_bytes(TEXT.encode()), TEXT + "the end\n", change="grows"
        ),
        "shrinks while it is read": Given(of_bytes(TEXT.encode()), TEXT[:300], change="shrinks"),
    }
