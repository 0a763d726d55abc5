"""How the bytes of files become text: the settings, which the command line takes as options."""

import codecs
from dataclasses import dataclass, replace
from typing import Any

from charlm.checks import check_fields, flag, one_of, setting, string
from charlm.errors import ConfigError

DECODING_ERRORS = ("strict", "replace", "skip")
NEWLINES = ("keep", "lf")
DOCUMENTS = ("lines", "separator", "column", "field", "files")  # at most one is set
NORMALIZATIONS = ("none", "NFC", "NFD", "NFKC", "NFKD")


def _check_encoding(name: str, value: Any) -> str:
    """Accept the name of a text encoding."""
    try:
        b" ".decode(value, "replace")  # any codec accepts b"", even one that is not for text
        codecs.getincrementaldecoder(value)
    except (LookupError, ValueError, TypeError):
        expected = "an encoding that Python supports, such as utf-8"
        raise ConfigError(name, value, expected) from None
    return str(value)


@dataclass(frozen=True)
class TextConfig:
    """How the bytes of files become text. A model keeps the settings of its corpus.

    Attributes:
        encoding: the encoding of the files.
        errors: what to do with bytes that are not valid in the encoding: "strict" refuses the file,
            "replace" reads U+FFFD in their place, "skip" leaves them out.
        newlines: "keep" to keep line endings, "lf" to convert `\\r\\n` and `\\r` to newlines.
        normalize: the Unicode normalization form of the text, or "none".
        lines: whether each line is a document.
        separator: what stands between two documents; empty if they are not separated.
        column: the column of a table whose values are documents, by name or by number from 1.
        field: the field of JSON Lines whose values are documents.
        files: whether each file is a document.
        joined: whether all files are one text. Checkpoints of formats 1 to 3, which do not say so,
            are read with it.
    """

    encoding: str = setting("utf-8", "Encoding of the input text.", _check_encoding)
    errors: str = setting(
        "strict",
        "Whether to refuse invalid bytes (strict), or to replace or skip them.",
        one_of(DECODING_ERRORS),
        choices=DECODING_ERRORS,
    )
    newlines: str = setting(
        "keep",
        "Keep line endings (keep) or convert CRLF and CR to LF (lf).",
        one_of(NEWLINES),
        choices=NEWLINES,
    )
    normalize: str = setting(
        "none",
        "Unicode normalization form of the text.",
        one_of(NORMALIZATIONS),
        choices=NORMALIZATIONS,
    )
    lines: bool = setting(False, "Read each line as a document.", flag)
    separator: str = setting("", "Read what stands between separators as documents.", string)
    column: str = setting(
        "",
        "Read a column of a table (CSV or TSV), by name or number, as documents.",
        string,
    )
    field: str = setting("", "Read a field of JSON Lines as documents.", string)
    files: bool = setting(False, "Read each file as a document.", flag)
    joined: bool = setting(False, "", flag)

    def __post_init__(self) -> None:
        check_fields(self)
        given = [name for name in DOCUMENTS if getattr(self, name)]
        if len(given) > 1:
            raise ConfigError(given[1], getattr(self, given[1]), f"omitted with {given[0]}")

    @property
    def has_documents(self) -> bool:
        """Whether the corpus consists of documents; otherwise of texts."""
        return any(getattr(self, name) for name in DOCUMENTS)

    @property
    def for_other_files(self) -> "TextConfig":
        """The settings with which a model of such a corpus reads other files.

        The encoding and its errors are a matter of each file; line endings and normalization decide
        which characters the model knows, and a model of documents reads documents.
        """
        return replace(self, encoding="utf-8", errors="strict", joined=False)


PLAIN_TEXT = TextConfig()
