"""How `charlm sample` prints what it samples, and the prompt before it."""

import math
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from charlm.cli.console import as_result, note, plural, print_json, warn

if TYPE_CHECKING:
    from charlm.inference.document_sampling import Document
    from charlm.language_model import LanguageModel

IN_MEMORY = 1 << 20  # bytes of a prompt; a longer one is kept in a temporary file
BLOCK = 1 << 16  # characters of a prompt that are printed at once
GROUP = 256  # documents that are scored at once

Settings = dict[str, Any] | None  # what each line of JSON has besides the result; None for text


def temporary_file() -> IO[str]:
    """A file for a prompt, in memory unless the prompt is long."""
    return SpooledTemporaryFile(IN_MEMORY, "w+", -1, "utf-8", "", errors="surrogatepass")


class Prompt:
    """The characters of a prompt that a model reads, kept in a file.

    Attributes:
        unknown: how often each character occurs that the model does not know.
        length: the number of characters, with those.
    """

    def __init__(self, model: "LanguageModel", file: IO[str]) -> None:
        self._model, self._file = model, file
        self.unknown = Counter[str]()
        self.length = 0

    def kept(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the pieces of the prompt, and keep what the model reads of them."""
        from charlm.text.text_files import converted

        vocabulary = self._model.vocabulary
        for piece in converted(pieces, self._model.text_config):
            ids, unknown = vocabulary.encode(piece)
            self.unknown.update(unknown)
            self.length += len(piece)
            is_whole = not unknown or vocabulary.unk_id is not None
            self._file.write(piece if is_whole else vocabulary.decode(ids))
            yield piece

    def blocks(self) -> Iterator[str]:
        """Yield what was kept."""
        self._file.seek(0)
        yield from iter(partial(self._file.read, BLOCK), "")

    def text(self) -> str:
        """What was kept, as a whole."""
        return "".join(self.blocks())


def print_texts(
    characters: Iterable[tuple[str, ...]],
    prompt: Prompt,
    count: int,
    stops: tuple[str, ...],
    about: Settings,
) -> None:
    """Print texts, given the next character of each; a single one as it is sampled."""
    if about is None and count == 1:
        _print_text(prompt, (character for (character,) in characters), stops)
        return
    for number, text in enumerate(_texts(characters, count), 1):
        if about is None:
            print(f"--- {number} of {count}")
            _print_text(prompt, [text], stops)
        else:
            print_json({"text": text} | about)


def _texts(characters: Iterable[tuple[str, ...]], count: int) -> list[str]:
    """The generated texts, from the next character of each."""
    return ["".join(text) for text in zip(*characters, strict=True)] or [""] * count


def print_document(
    characters: Iterable[tuple[str, ...]], prompt: Prompt, stops: tuple[str, ...], length: int
) -> None:
    """Print one document as it is sampled, and note whether it was cut off.

    Args:
        characters: the next character; empty at the end that the model gives the document.
        prompt: what it begins with.
        stops: the texts with which it also ends, as the model reads text.
        length: the number of characters at which it is cut off.
    """
    tail = deque[str](maxlen=max(map(len, stops), default=1))

    def followed() -> Iterator[str]:
        for (character,) in characters:
            tail.append(character)
            yield character

    _print_text(prompt, followed(), stops)
    has_ended = "" in tail or "".join(tail).endswith(stops)
    _note_cut(not has_ended, 1, length)


def _note_cut(cut: int, found: int, length: int) -> None:
    """Say how many of the documents were cut off."""
    if cut:
        note(f"{cut:,} of {plural(found, 'document')} did not end within --length {length}")


def _print_text(prompt: Prompt, characters: Iterable[str], stops: tuple[str, ...]) -> None:
    """Print a prompt and the text that continues it, with a newline unless it stopped at one."""
    longest, end = max(map(len, stops), default=0), ""
    for text in chain(prompt.blocks(), characters):
        print(as_result(text), end="", flush=True)
        end = (end + text)[-longest:] if stops else ""
    is_line = end.endswith("\n") and end.endswith(stops)
    print(end="" if is_line else "\n")


def print_documents(
    documents: Iterator["Document"],
    count: int,
    about: Settings,
    *,
    scorer: "LanguageModel | None",
    have_newlines: bool,
    length: int,
) -> None:
    """Print documents, and how many were cut off or could not be found.

    Args:
        documents: the documents.
        count: the number that was asked for.
        about: the settings, for lines of JSON.
        scorer: the model whose NLL of each is printed; None for none.
        have_newlines: whether the documents can contain newlines.
        length: the number of characters at which they are cut off.
    """
    from charlm.inference.document_sampling import PATIENCE

    has_heads = have_newlines and count > 1 and sys.stdout.isatty()
    end = "\0" if have_newlines and count > 1 and not has_heads else "\n"
    found = cut = 0
    for document, nats in _scored(documents, scorer):
        found += 1
        cut += not document.ended
        bits = [] if nats is None else [f"{nats / math.log(2):.4f}"]
        if about is not None:
            figures = {} if nats is None else {"nats": nats}
            result = {"text": document.text, "ended": document.ended}
            print_json(result | figures | about)
        elif has_heads:
            print("--- " + ", ".join([f"{found} of {count}", *(f"{each} bits" for each in bits)]))
            print(as_result(document.text))
        else:
            print("\t".join([*bits, as_result(document.text)]), end=end)
    _note_cut(cut, found, length)
    if found < count:
        warn(
            f"found only {found:,} of {count:,} documents: the last {PATIENCE:,} that were sampled "
            "were repetitions, or in the corpus"
        )


def _scored(
    documents: Iterator["Document"], scorer: "LanguageModel | None"
) -> Iterator[tuple["Document", float | None]]:
    """Documents with the NLL of each in nats; None without a model."""
    if scorer is None:
        yield from ((document, None) for document in documents)
        return
    while group := list(islice(documents, GROUP)):
        nats = scorer.score([document.text for document in group]).nats
        yield from zip(group, nats.tolist(), strict=True)
