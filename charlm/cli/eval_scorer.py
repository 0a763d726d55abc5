"""Scoring the texts that `charlm eval` is given."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from charlm.cli.console import note
from charlm.cli.eval_output import total_of
from charlm.cli.failures import no_documents
from charlm.cli.unknown_characters import collected
from charlm.errors import TextError
from charlm.system.callbacks import Advance
from charlm.text.config import TextConfig

if TYPE_CHECKING:
    from charlm.inference.document_scoring import Scores
    from charlm.inference.scoring import Score
    from charlm.language_model import LanguageModel


@dataclass(frozen=True)
class Scorer:
    """Scores texts or documents, and collects their characters in `distinct`."""

    model: "LanguageModel"  # or the first of several
    score: "Callable[..., Score | Scores]"  # such as `LanguageModel.score`
    way: Mapping[str, Any]  # how it scores a text
    progress: Advance
    distinct: set[str] = field(default_factory=set)

    def file(self, pieces: Iterator[str], config: TextConfig, name: str) -> "Score | None":
        """Score the documents of a file, None if there are none, or its text.

        Every error names the file.
        """
        from charlm.text.documents import documents_of
        from charlm.text.source_files import shown_name

        if config.has_documents:
            return self._documents(documents_of(pieces, config, shown_name(name)))
        return self._text(pieces, shown_name(name))

    def _text(self, pieces: Iterator[str], name: str) -> "Score":
        is_read = False

        def read() -> Iterator[str]:
            nonlocal is_read
            yield from collected(pieces, self.distinct)
            is_read = True

        try:
            return as_score(self.score(read(), **self.way, progress=self.progress))
        except TextError as error:
            if not is_read:  # the error of a file names it
                raise
            raise TextError(f"{name}: {error}") from error

    def held_out(self) -> "Score":
        """Score the validation split of the model's corpus."""
        from charlm.text.documents import in_groups

        texts, name = self.model.held_out(), "the validation split"
        if not self.model.text_config.has_documents:
            return total_of([self._text(text, name) for text in texts])
        score = self._documents(in_groups(map("".join, texts)))
        if score is None:
            raise TextError(f"{name}: there are no documents")
        return score

    def _documents(self, groups: Iterable[list[str]]) -> "Score | None":
        scores = []
        for group in filter(None, groups):
            self.distinct.update(*group)
            scores.append(as_score(self.score(group, progress=self.progress)))
        return total_of(scores) if scores else None


def as_score(found: "Score | Scores") -> "Score":
    """The score of a text, or the total of documents."""
    from charlm.inference.document_scoring import Scores

    return found.total if isinstance(found, Scores) else found


def with_documents(
    files: Sequence[str], scores: Iterable["Score | None"]
) -> tuple[list[str], list["Score"]]:
    """The files that have documents, and their scores; each other file is noted.

    Raises:
        TextError: no file has documents.
    """
    from charlm.text.source_files import shown_name

    found: list[tuple[str, Score]] = []
    for file, score in zip(files, scores, strict=True):
        if score:
            found.append((file, score))
        elif len(files) > 1:
            note(f"{shown_name(file)}: there are no documents")
    if not found:
        raise no_documents(files)
    return [file for file, _ in found], [score for _, score in found]
