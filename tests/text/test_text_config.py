"""One object says how files become text, for every command and in every checkpoint."""

from charlm.language_model import LanguageModel
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from tests.helpers import trained

UNIX = TextConfig(newlines="lf")


def test_a_model_reads_texts_as_its_corpus():
    assert Corpus.of("a\r\nb", UNIX).encoded.sha256 == Corpus.of("a\nb").encoded.sha256
    kept = trained()
    plain, unix = (
        LanguageModel(kept.config, kept.vocabulary, kept.params, text_config=config)
        for config in (TextConfig(), UNIX)
    )
    text, crlf = "the cat\nsat\n", "the cat\r\nsat\r\n"
    assert unix.score(crlf) == unix.score(text) == plain.score(text) != plain.score(crlf)
    assert unix.score(iter(crlf)) == unix.score(text)
