"""Tables of words: which columns have the words and the documents, and what is refused."""

import pytest

from charlm.text.word_table import read_word_table
from tests.texts import cut, refusal

ITEMS = 'zone\tword\titem\n1\tThe\ta\n1\t"Ah\tb\n2\tcat\ta\n2\tyes\\t\tb\n'


@pytest.mark.parametrize(
    ("text", "words", "documents"),
    [
        (ITEMS, ["The", '"Ah', "cat", "yes\\t"], [[0, 2], [1, 3]]),
        (ITEMS.replace("\n", "\r\n"), ["The", '"Ah', "cat", "yes\\t"], [[0, 2], [1, 3]]),
        ("word\tdocument\na b\t1\nc\t\n", ["a b", "c"], [[0], [1]]),
        ("document\titem\tword\n1\t2\tx\n2\t2\ty\n", ["x", "y"], [[0, 1]]),
        ("form\trt\nthe\t300\ncat\t310", ["the", "cat"], [[0, 1]]),
        ("w\nthe\ncat\n", ["the", "cat"], [[0, 1]]),
    ],
)
def test_words_and_documents(text, words, documents):
    table = read_word_table(cut(text, [3, 11, 12]), "t")
    assert (table.words, table.documents) == (words, documents)
    assert table.has_documents == (len(text.split("\n")[0].split("\t")) > 1 and "rt" not in text)
    lines = ["\t".join(row) for row in [table.columns, *table.rows]]
    assert lines == text.replace("\r", "").splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t, line 1: the names of the columns are missing"),
        ("word\titem\n", "t: the table has no rows"),
        ("word\titem\na\t1\nb\n", "t, line 3: the row has 1 of 2 columns"),
        ("word\titem\na\t1\nb\t1\t2\n", "t, line 3: the row has 3 of 2 columns"),
        ("word\titem\na\t1\n\t1\n", "t, line 3: the word is empty"),
        ("word\na\n\nb\n", "t, line 3: the word is empty"),
        ("word\tx\tx\na\t1\t2\n", "t, line 1: rename the column 'x'"),
        ("word\tbits\na\t1\n", "t, line 1: rename the column 'bits'"),
        ("word,item\na,1\n", "t, line 1: there are commas but no tabs"),
    ],
)
def test_refusals_name_file_and_line(text, message):
    assert refusal(lambda: read_word_table([text], "t", ["bits"])).startswith(message)
