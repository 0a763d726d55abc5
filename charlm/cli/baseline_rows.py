"""What `charlm eval --baseline` prints below the figures of the model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from charlm.cli.console import note, print_line, print_table, stdout
from charlm.cli.tables import figure
from charlm.text.config import TextConfig

if TYPE_CHECKING:
    from charlm.inference.scoring import Score
    from charlm.language_model import LanguageModel

COARSE = 1_000  # characters: for fewer, a byte is a percent or more


class Compared:
    """The baselines of a model, and their scores of each text that it has scored.

    Args:
        model: the model, whose `text_config` must still be that of its corpus.
    """

    def __init__(self, model: "LanguageModel") -> None:
        self.baselines = model.baselines()
        self.scores: list[Mapping[str, Score]] = []
        self._kept: list[str] = []

    def keep(self, pieces: Iterable[str]) -> Iterator[str]:
        """Yield the pieces of a file, and keep them for `add`."""
        self._kept = []
        for piece in pieces:
            self._kept.append(piece)
            yield piece

    def add(self, config: TextConfig, name: str) -> None:
        """Score the file that was kept, its documents or its text."""
        from charlm.text.documents import documents_of

        text: str | list[str] = "".join(self._kept)
        if config.has_documents:
            groups = documents_of(self._kept, config, name)
            text = [document for group in groups for document in group]
        self.scores.append(self.baselines.score(iter([text]) if isinstance(text, str) else text))

    def add_held_out(self) -> None:
        """Score the validation split of the model's corpus."""
        self.scores.append(self.baselines.held_out())

    def add_to(self, results: dict[str, Any]) -> None:
        """Add the key `baselines` to the results of a text, or to those of each and of all."""
        results["baselines"] = self._as_dict(self._total())
        for text, scores in zip(results.get("texts", []), self.scores, strict=False):
            text["baselines"] = self._as_dict(scores)

    def print(self, names: Sequence[str], model: "Score") -> None:
        """Print a row for each baseline; of several texts, a row of bits for each as well.

        Args:
            names: the names of the texts.
            model: the score of all texts under the model.
        """
        total = self._total()
        titles = [self._title(name) for name in total]
        if len(names) > 1:
            rows = [
                [name, *(figure(score.bits_per_char, "{:.4f}") for score in scores.values())]
                for name, scores in zip([*names, "total"], [*self.scores, total], strict=True)
            ]
            print_table(["bits per character", *titles], rows, to=stdout())
        figures = [
            [title, *(figure(x, "{:.4f}") for x in (score.perplexity, score.bits_per_char))]
            for title, score in zip(titles, total.values(), strict=True)
        ]
        print_table(["baseline", "perplexity", "bits per character"], figures, to=stdout())
        order = self.baselines.ngram.order
        more = more_or_fewer(model.nats, total["ngram"].nats)
        print_line((f"the model needs {more} bits than the {order}-gram", ""), to=stdout())
        if any(scores["ngram"].characters < COARSE for scores in self.scores):
            note(
                "compressed files differ by whole bytes, so the figures of compressors say little "
                f"about a text of fewer than {COARSE:,} characters"
            )

    def _title(self, name: str) -> str:
        return name_of_ngram(self.baselines.ngram.order) if name == "ngram" else name

    def _total(self) -> dict[str, "Score"]:
        first, *others = self.scores
        return {name: sum((each[name] for each in others), first[name]) for name in first}

    def _as_dict(self, scores: Mapping[str, "Score"]) -> dict[str, dict[str, Any]]:
        from charlm.training.baselines import figures_of

        found = {name: figures_of(score) for name, score in scores.items()}
        found["ngram"]["order"] = self.baselines.ngram.order
        return found


def name_of_ngram(order: int) -> str:
    """The name of an n-gram model in a table."""
    return f"{order}-gram (Kneser-Ney)"


def more_or_fewer(nats: float, reference: float) -> str:
    """How many percent more than a reference something is, or fewer, as `4.2 % fewer`."""
    fraction = nats / reference - 1 if reference else 0.0
    return f"{100 * abs(fraction):.1f} % {'more' if fraction > 0 else 'fewer'}"
