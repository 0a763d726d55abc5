"""Reading times of English words, explained by the surprisal of a model.

`--data` is a folder of the Natural Stories corpus (Futrell et al. 2021): `all_stories.tok`,
`processed_wordinfo.tsv` with the mean self-paced reading time of each word, and `gpt3.csv`.
`--text` are files of English prose to train on, which are unwrapped: a single newline becomes a
space.

The surprisal of a word is the NLL of its characters and of the space before it, given all that
stands before in its story, as `charlm score --words` gives it; the figures of the command are
compared with those of the library. GPT-3's is the sum over the tokens of the word. The first word
of a story has none. Predictors of the mean reading time, by least squares: the length of the word
in characters, the logarithm of its frequency in `--text` (plus one, in lower case, without
punctuation), and its surprisal; the gain is that of the third.
"""

import csv
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.fields.common import parse, parser, train
from benchmarks.fields.statistics import Floats, correlation, explained
from benchmarks.harness import Session
from charlm.language_model import LanguageModel
from charlm.text.corpus import Corpus

STORIES, TIMES, TOKENS = "all_stories.tok", "processed_wordinfo.tsv", "gpt3.csv"
TYPE = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")  # a word without punctuation around it


@dataclass(frozen=True)
class Words:
    """The words of all stories.

    Attributes:
        words: the words, with punctuation, `(n,)`.
        first: the number of the first word of each story.
        times: the mean reading times in ms, `(n,)`.
        gpt3: the surprisal of GPT-3 in nats, `(n,)`; NaN for the first word of a story.
    """

    words: list[str]
    first: list[int]
    times: Floats
    gpt3: Floats

    @property
    def stories(self) -> list[list[str]]:
        """The words of each story."""
        return [self.words[a:b] for a, b in zip(self.first, [*self.first[1:], None], strict=True)]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the field."""
    own = parser(__doc__, hidden=512, seq_len=128)
    own.add_argument("--text", type=Path, nargs="+", required=True, help="files to train on")
    options = parse(own, argv)
    with Session("fields-reading-times", options) as session:
        words = read(options.data)
        text = "\n\n".join(map(unwrapped, options.text))
        model = train(Corpus.of(text), session)
        ours = surprisals(model, words.stories)
        is_used = np.isfinite(words.gpt3)
        times = words.times[is_used]
        length, frequency = (each[is_used] for each in predictors(words.words, text))
        base = explained(times, [length, frequency])
        rows = [("length and log frequency", "", f"{base:.4f}", "")]
        for name, nats in ((f"{_shown(model)} of charlm", ours), ("GPT-3", words.gpt3)):
            r2 = explained(times, [length, frequency, nats[is_used]])
            r = correlation(nats[is_used], times)
            rows.append((f"and surprisal, {name}", f"{r:.3f}", f"{r2:.4f}", f"{r2 - base:.4f}"))
        columns = ["predictors of the mean reading time", "correlation", "R²", "gain in R²"]
        harness.table(f"{len(times):,} words of {len(words.first)} stories", columns, rows)
        session.facts |= {
            "texts": f"{', '.join(path.name for path in options.text)}: {len(text):,} characters",
            "per word": f"{np.mean(ours) / np.log(2):.2f} bits",
            "charlm score --words": f"differs by {_difference(model, options.data, ours)}",
        }
        session.finish([dict(zip(columns, row, strict=True)) for row in rows])


def read(folder: Path) -> Words:
    """Read the stories, and align the reading times and the tokens of GPT-3 with their words."""
    stories, words = _table(folder / STORIES), list[str]()
    times = {(r["item"], r["zone"]): r["meanItemRT"] for r in _table(folder / TIMES)}
    with (folder / TOKENS).open(encoding="utf-8", newline="") as file:
        tokens = list(csv.DictReader(file))
    first, gpt3 = list[int](), list[Floats]()
    for item in dict.fromkeys(row["item"] for row in stories):
        story = [row["word"] for row in stories if row["item"] == item]
        first.append(len(words))
        words += story
        pairs = [(t["token"], t["logprob"]) for t in tokens if int(t["story"]) == int(item) - 1]
        gpt3.append(nats_of_words(story, pairs))
    milliseconds = np.array([float(times[row["item"], row["zone"]]) for row in stories])
    return Words(words, first, milliseconds, np.concatenate(gpt3))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def nats_of_words(words: Sequence[str], tokens: Sequence[tuple[str, str]]) -> Floats:
    """The NLL of each word, the sum over its tokens; NaN if that of a token is missing.

    A token belongs to the word that its last character is in. The texts of both may differ in
    letters, but not in length.
    """
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    stops = np.cumsum([len(text) for text, _ in tokens])
    if stops[-1] != ends[-1]:
        raise SystemExit(f"the tokens have {stops[-1]} characters and the words {ends[-1]}")
    nats = [-float(logprob) if logprob else np.nan for _, logprob in tokens]
    owners = np.searchsorted(ends, stops)
    return np.bincount(owners, nats, len(words)).astype(np.float64)


def surprisals(model: LanguageModel, stories: Sequence[Sequence[str]]) -> Floats:
    """The NLL of each word with the space before it, in nats; the last one with the end."""
    scores = model.score([" ".join(story) for story in stories])
    each = []
    for story, nats in zip(stories, scores.surprisals, strict=True):
        stops = np.cumsum([len(word) + 1 for word in story]) - 1
        each.append(np.add.reduceat(np.nan_to_num(nats), [0, *stops[:-1]]))
    return np.concatenate(each)


def predictors(words: Sequence[str], text: str) -> tuple[Floats, Floats]:
    """The length of each word, and the logarithm of how often it occurs in a text, plus one."""
    counts = Counter(TYPE.findall(text.lower()))
    types = ["".join(TYPE.findall(word.lower())) for word in words]
    return (
        np.array([len(word) for word in words], np.float64),
        np.log([counts[each] + 1 for each in types]),
    )


def unwrapped(path: Path) -> str:
    """The text of a file with each paragraph on one line."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", path.read_text(encoding="utf-8").strip())


def _shown(model: LanguageModel) -> str:
    config = model.config
    return f"{config.cell} {config.layers} x {config.hidden}"


def _difference(model: LanguageModel, folder: Path, ours: Floats) -> str:
    """The largest difference between the figures of the command and of the library."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.npz"
        model.save(path)
        command = [sys.executable, "-m", "charlm", "score", "-m", str(path), "--unit", "nats"]
        command += ["--json", "--words", str(folder / STORIES)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    theirs = [json.loads(line)["nats"] for line in done.stdout.splitlines()]
    return f"{np.abs(np.array(theirs) - ours).max():.1e} nats at most"
