"""The report on a corpus matches direct counts."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import TextConfig
from charlm.text.corpus import Corpus
from charlm.text.corpus_report import CRLF, MISREAD, Inspection, count_pairs, inspect, rare
from charlm.text.encoder import encode_text
from tests.helpers import lawful
from tests.texts import TEXTS, old_file

ODD = st.text(
    st.sampled_from("ab\r\n\t\f\0\x0b\x1b\x7f\x80\x85\x9f\xa0\xbf\xc0ÃÂÐÑâ€\ufeff\ufffd灯"),
    min_size=1,
)

CONCERNS = {
    "control_characters": "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]",
    "replacement_characters": "\ufffd",
    "byte_order_marks": "\ufeff",
    "misread_utf8": "[ÃÂÐÑ][\x80-\xbf]|â[\x80€]",
    "bare_carriage_returns": "\r(?!\n)",
}


def counted(inspection: Inspection) -> dict[str, int]:
    return {concern.kind: concern.count for concern in inspection.concerns}


@lawful
@given(ODD, st.integers(1, 40))
def test_concerns_match_regular_expressions(text, scanned):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.corpus_report.SCANNED", scanned)
        inspection = inspect(Corpus.of(text))
    expected = {kind: len(re.findall(pattern, text)) for kind, pattern in CONCERNS.items()}
    crlf = text.count("\r\n")
    expected["mixed_line_ends"] = min(crlf, text.count("\n") - crlf)
    assert counted(inspection) == {kind: n for kind, n in expected.items() if n}
    for concern in inspection.concerns:
        assert f"{concern.count:,}" in concern.message
        assert len(concern.message.splitlines()) == 1


@lawful
@given(TEXTS)
def test_character_counts(text):
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


@pytest.mark.parametrize("distinct", [10, 255, 256, 300, 70_000])
def test_pairs_are_counted_in_ids_of_any_type(distinct):
    others = "".join(chr(0x100 + k) for k in range(distinct))
    encoded = encode_text(others + "\r\n" * 3 + "Ã\xa9" + "â€" + "\rÃâ\n" + others[::-1])
    assert count_pairs(encoded, [CRLF, *MISREAD]) == [3, 1, 1]
    assert count_pairs(encoded, [("\n", "\r"), ("\r\n", "\r\n"), ("z", "\r")]) == [2, 5, 0]
    assert count_pairs(encoded, [("z", "\r"), ("\r", "z")]) == [0, 0]


@pytest.mark.parametrize(
    "text", ["a good text\n", "one\r\ntwo\r\n", "naïve café\t\f\n灯", "Ã Â â Ð"]
)
def test_good_text_raises_no_concern(text):
    assert inspect(Corpus.of(text)).concerns == ()


def test_ids_are_not_read_if_no_pair_is_possible():
    class Unread:
        dtype = Corpus.of("ab").encoded.ids.dtype

        def __len__(self):
            return 5

    encoded = encode_text("a\nÃb€\n")
    object.__setattr__(encoded, "ids", Unread())
    assert count_pairs(encoded, [CRLF, ("z", "a")]) == [0, 0]
    with pytest.raises(TypeError):
        count_pairs(encoded, [("a", "b")])


@pytest.mark.parametrize(
    ("encoding", "remedy"), [("utf-8", "iconv"), ("UTF8", "iconv"), ("cp1252", "--encoding utf-8")]
)
def test_remedy_depends_on_the_encoding(encoding, remedy):
    corpus = Corpus(encode_text("cafÃ©"), config=TextConfig(encoding=encoding))
    (concern,) = inspect(corpus).concerns
    assert remedy in concern.message


@pytest.mark.parametrize("text", ["one\r\ntwo\n", "one\rtwo\r"])
def test_remedy_for_line_endings_works(tmp_path, text):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode())
    (concern,) = inspect(Corpus.read([path])).concerns
    assert concern.message.endswith("with: --newlines lf")
    assert inspect(Corpus.read([path], TextConfig(newlines="lf"))).concerns == ()


def test_inspection_has_the_path_of_the_encoded_corpus(tmp_path):
    path = old_file(tmp_path / "text.txt", "灯" + "".join(map(chr, range(32, 400))))
    for found in (False, True):
        corpus = Corpus.read([path])
        inspection = inspect(corpus)
        assert (inspection.path, inspection.found) == (corpus.path, found)
        assert inspection.id_bytes == 2
    assert inspect(Corpus.of("ab")).id_bytes == 1
    assert inspect(Corpus.of("ab")).path is None
