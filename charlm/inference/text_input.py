"""Encoding of the text that a model is given, in memory or in pieces."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import numpy as np

from charlm.errors import TextError
from charlm.inference.trained_model import TrainedModel
from charlm.text.characters import as_normalized, listed_characters
from charlm.text.corpus_cache import new_file, temporary_error
from charlm.text.id_sequences import IdSequence, IdWriter
from charlm.text.text_files import converted
from charlm.text.vocabulary import Ids, ids_type

Text = str | Iterable[str]  # in memory, or in pieces
Unknown = Literal["refuse", "skip"]


def edge(model: TrainedModel) -> Ids:
    """What a model reads before a text, `(1,)`: the boundary of documents, or a newline.

    A model that does not know the newline reads nothing, `(0,)`.
    """
    network = model.network
    if network.boundary is not None:
        return np.array([network.boundary], ids_type(network.symbols))
    return model.vocabulary.encode("\n")[0]


def not_characters(model: TrainedModel) -> list[int]:
    """The ids that are no characters: the unknown token and the boundary, if there are any."""
    return [i for i in (model.vocabulary.unk_id, model.network.boundary) if i is not None]


def as_read(model: TrainedModel, text: str) -> str:
    """A text with the line endings and the normalization of the model's corpus."""
    return "".join(converted([text], model.text_config))


def encode(
    model: TrainedModel, text: Text, *, unknown: Unknown = "skip", name: str = "text"
) -> tuple[IdSequence, Counter[str]]:
    """Encode a text; the ids of a text in pieces are written to a temporary file.

    Args:
        model: the model, with the characters that it knows.
        text: the text, or its pieces.
        unknown: whether to reject or to skip unknown characters. A vocabulary with an unknown token
            encodes them instead.
        name: the name of the text in an error message.

    Returns:
        The ids, and how often each unknown character occurs.

    Raises:
        TextError: the text has unknown characters, or the temporary file cannot be written.
    """
    vocabulary, counts = model.vocabulary, Counter[str]()

    def ids_of(piece: str) -> Ids:
        ids, missing = vocabulary.encode(piece)
        if missing and unknown == "refuse" and vocabulary.unk_id is None:
            known = vocabulary.characters
            advice = as_normalized(missing, known) or "remove them"
            raise TextError(
                f"the {name} has characters that are not in the model's vocabulary: "
                f"{listed_characters(missing, known)}; {advice}, or pass `unknown='skip'`"
            )
        counts.update(missing)
        return ids

    if isinstance(text, str):
        return ids_of(as_read(model, text)), counts
    try:
        writer = IdWriter(new_file(), ids_type(len(vocabulary)))
        for piece in converted(text, model.text_config):
            writer.add(ids_of(piece))
        return writer.finish(), counts
    except OSError as error:
        raise temporary_error(error) from error
