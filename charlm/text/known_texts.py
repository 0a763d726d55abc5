"""The texts or documents of a corpus as ids of a vocabulary, its own or that of another corpus."""

import numpy as np
from numpy.typing import NDArray

from charlm.text.corpus_cache import new_file, temporary_error
from charlm.text.encoder import Encoded
from charlm.text.id_sequences import IdFile, IdWriter, Positions, RecodedIds
from charlm.text.splits import Texts
from charlm.text.vocabulary import Ids, Vocabulary

PIECE = 1 << 20  # ids recoded at once


def known_texts(
    encoded: Encoded, vocabulary: Vocabulary, *, are_documents: bool
) -> tuple[Texts, int]:
    """All texts of a corpus, of the characters that a vocabulary knows.

    Unknown characters become the unknown token, or are left out if there is none.

    Args:
        encoded: the corpus.
        vocabulary: the vocabulary.
        are_documents: whether its texts are documents.

    Returns:
        The texts, and the number of unknown characters.

    Raises:
        TextError: the ids cannot be written to a temporary file.
    """
    is_known = vocabulary.numbers(encoded.points) >= 0
    unknown = int(encoded.counts[~is_known].sum())
    boundary = len(vocabulary) if are_documents else None
    table = vocabulary.table(encoded.points)
    if unknown and vocabulary.unk_id is None:
        return Texts.of(*_without_unknown(encoded, table, is_known), boundary), unknown
    return Texts.of(RecodedIds(encoded.ids, table), encoded.ends, boundary), unknown


def _without_unknown(
    encoded: Encoded, table: Ids, is_known: NDArray[np.bool_]
) -> tuple[IdFile, Positions]:
    """The new ids of the known characters, in a temporary file, and where each text ends."""
    ends = np.zeros_like(encoded.ends)
    try:
        writer = IdWriter(new_file(), table.dtype)
        for start in range(0, len(encoded.ids), PIECE):
            ids = encoded.ids[start : start + PIECE]
            kept = is_known[ids]
            first, last = np.searchsorted(encoded.ends, [start, start + len(ids)], side="right")
            before = np.append(0, np.cumsum(kept))  # the known characters before each
            ends[first:last] = len(writer) + before[encoded.ends[first:last] - start]
            writer.add(table[ids[kept]])
        return writer.finish(), ends
    except OSError as error:
        raise temporary_error(error) from error
