"""The report on a corpus matches direct counts."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from charlm.text.corpus import Corpus
from charlm.text.corpus_report import inspect, rare
from tests.helpers import lawful
from tests.texts import TEXTS, old_file


@lawful
@given(TEXTS)
def test_character_counts(text):
    text += "\n"  # no path
    inspection = inspect(Corpus.of(text))
    counts = Counter(text)
    assert (inspection.characters, inspection.vocabulary) == (len(text), len(counts))
    numbers = sorted(counts.values())
    for ends, expected in [
        (inspection.most_frequent, numbers[::-1][:10]),
        (inspection.least_frequent, numbers[:10]),
    ]:
        assert [n for _, n in ends] == expected
        assert all(counts[character] == n for character, n in ends)
        assert len(dict(ends)) == len(ends)
    seldom = {c: n for c, n in counts.items() if n < 5}
    assert inspection.rare.distinct == len(seldom)
    assert inspection.rare.characters == sum(seldom.values())


@lawful
@given(TEXTS, st.integers(1, 9))
def test_rare_characters_are_those_left_out_of_the_vocabulary(text, min_count):
    corpus = Corpus.of(text + "a" * 9)
    found = rare(corpus, min_count)
    left = set(text + "a") - set(corpus.vocabulary(min_count).characters)
    assert found.distinct - len(left) in (0, 1)  # U+FFFD itself may be rare
    assert found.characters == corpus.rare_characters(min_count)
    assert found.min_count == min_count


def test_inspection_has_the_path_of_the_encoded_corpus(tmp_path):
    path = old_file(tmp_path / "text.txt", "灯" + "".join(map(chr, range(32, 400))))
    for found in (False, True):
        corpus = Corpus.read([path])
        inspection = inspect(corpus)
        assert (inspection.path, inspection.found) == (corpus.path, found)
        assert inspection.id_bytes == 2
    assert inspect(Corpus.of("ab")).id_bytes == 1
    assert inspect(Corpus.of("ab")).path is None
