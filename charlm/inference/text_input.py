"""Encoding of the text that a model is given, in memory or in pieces."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from charlm.errors import ConfigError, TextError
from charlm.text.corpus_cache import new_file
from charlm.text.id_sequences import IdSequence, IdWriter
from charlm.text.vocabulary import Ids, Vocabulary, ids_type, listed

Text = str | Iterable[str]  # in memory, or in pieces
Unknown = Literal["refuse", "skip"]


def encode(
    vocabulary: Vocabulary, text: Text, *, unknown: Unknown = "skip", name: str = "text"
) -> tuple[IdSequence, Counter[str]]:
    """Encode a text; the ids of a text in pieces are written to a temporary file.

    Args:
        vocabulary: the characters that the model knows.
        text: the text, or its pieces.
        unknown: whether to reject or to skip unknown characters. A vocabulary with an unknown token
            encodes them instead.
        name: the name of the text in an error message.

    Returns:
        The ids, and how often each unknown character occurs.

    Raises:
        TextError: the text has unknown characters, or the temporary file cannot be written.
        ConfigError: `unknown` is invalid.
    """
    if unknown not in ("refuse", "skip"):
        raise ConfigError("unknown", unknown, "refuse or skip")
    counts = Counter[str]()

    def ids_of(piece: str) -> Ids:
        ids, missing = vocabulary.encode(piece)
        if missing and unknown == "refuse" and vocabulary.unk_id is None:
            raise TextError(
                f"the {name} has characters that are not in the model's vocabulary: "
                f"{listed(missing)}; remove them, or pass `unknown='skip'`"
            )
        counts.update(missing)
        return ids

    if isinstance(text, str):
        return ids_of(text), counts
    try:
        writer = IdWriter(new_file(), ids_type(len(vocabulary)))
        for piece in text:
            writer.add(ids_of(piece))
        return writer.finish(), counts
    except OSError as error:
        raise TextError(
            f"cannot write the encoded text to a temporary file: {error.strerror}; set "
            "CHARLM_CACHE to a directory with free space"
        ) from error
