"""What a document is: a line, a record, what stands between separators, or a file."""

import json
import re
from contextlib import redirect_stdout
from io import StringIO

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charlm.cli.row_output import ESCAPES, RowOutput
from charlm.errors import TextError
from charlm.text.config import NEWLINES, NORMALIZATIONS, TextConfig
from charlm.text.corpus import Corpus
from charlm.text.documents import documents_of
from charlm.text.source_files import STDIN
from charlm.text.text_files import converted_file, converted_text, read_pieces
from charlm.text.word_table import read_word_table
from tests.helpers import lawful, lawful_but_slow


def read(text: str, size: int = 10**9, **config) -> list[str]:
    pieces = [text[k : k + size] for k in range(0, len(text), size)]
    groups = documents_of(iter(pieces), TextConfig(**config), "x.txt")
    return [document for group in groups for document in group]


KINDS = {
    "lines": ({"lines": True}, "ab\ncd\r\n\ne\rf\n", ["ab", "cd", "", "e\rf"]),
    "no last line end": ({"lines": True}, "ab\ncd", ["ab", "cd"]),
    "only line ends": ({"lines": True}, "\n\r\n", ["", ""]),
    "nothing": ({"lines": True}, "", []),
    "paragraphs": ({"separator": "\n\n"}, "a\nb\n\nc\n\n\nd\n", ["a\nb", "c", "d"]),
    "fortunes": ({"separator": "%%"}, "a\nb\n%%\r\nc\r\n%%\n", ["a\nb", "c"]),
    "last paragraph": ({"separator": "\n\n"}, "a\n\nb\n\n\n", ["a", "b"]),
    "only a line end": ({"separator": "%%"}, "\n", []),
    "empty documents": ({"separator": "%%"}, "\n%%\r\n%%a%% ", ["", "", "a", " "]),
    "paragraphs in CRLF": ({"separator": "\n\n"}, "a\r\nb\r\n\r\nc\r\n\nd", ["a\r\nb", "c", "d"]),
    "only CRLF": ({"separator": "\r\n\r\n"}, "a\r\n\r\nb\n\nc\r\r\n\r\n", ["a", "b\n\nc"]),
    "separators only": ({"separator": "--"}, "----", ["", ""]),
    "one file": ({"files": True}, "\na\n\nb\n", ["a\n\nb"]),
    "column": ({"column": "b"}, 'a,b\n1,x\n2,"y\nz"\n\n3,\n', ["x", "y\nz", ""]),
    "column after a value of lines": ({"column": "2"}, '"1\r\n",x\r\n"2","y"""\r\n', ["x", 'y"']),
    "quotes among tabs": ({"column": "b"}, 'a\tb\r\n1\t"x\r\n\r\n"2\ty"z"\n', ['"x', 'y"z"']),
    "carriage return among tabs": ({"column": "2"}, "1\tx\ry\r\n", ["x\ry"]),
    "column of tabs": ({"column": "b"}, "a\tb\n1\tx, y\n", ["x, y"]),
    "number of a column": ({"column": "2"}, "1,x\n2,y\n", ["x", "y"]),
    "column with a number as its name": ({"column": "1" * 10}, f"a,{'1' * 10}\n1,x\n", ["x"]),
    "field": ({"field": "t"}, '{"t": "a\\nb"}\n\n{"u": 1, "t": ""}\n', ["a\nb", ""]),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_documents(kind, size):
    config, text, expected = KINDS[kind]
    assert read(text, size, **config) == expected


@given(
    st.text("ab-\n", max_size=40), st.sampled_from(["-", "--", "a-a", "\n\n"]), st.integers(1, 9)
)
def test_separators_are_found_wherever_pieces_end(text, separator, size):
    documents = [each.strip("\r\n") for each in text.split(separator)]
    if not documents[-1]:
        documents.pop()
    assert read(text, size, separator=separator) == documents


@given(st.lists(st.text(max_size=5)))
def test_records_come_back(texts):
    lines = "".join(json.dumps({"t": text}) + "\n" for text in texts)
    assert read(lines, 3, field="t") == texts


INVALID = {
    "no such column": ({"column": "c"}, "a,b\n1,x\n", "no column 'c'; it has 'a', 'b'"),
    "short row": ({"column": "b"}, "a,b\n1,x\n2\n", "line 3: .*1 columns and no column b"),
    "short row of tabs": (
        {"column": "b"},
        'a\tb\n"1\tx\n2\n',
        "line 3: .*1 columns and no column b",
    ),
    "short row of lines": ({"column": "2"}, 'a,b\n"1\n2"\n', "line 2: .*1 columns and no column 2"),
    "open quote": (
        {"column": "name"},
        'name\n"anna\nbea\ncarl\n',
        "x.txt, line 2: a quote is opened",
    ),
    "open quote, no newline": ({"column": "1"}, '"a', "line 1: a quote is opened and never closed"),
    "open quote in CRLF": ({"column": "1"}, 'a\r\n\r\nb,"c\r\n', "line 3: a quote is opened"),
    "open quote after lines": (
        {"column": "1"},
        '"a\nb","""c\n""\n\n',
        "line 2: a quote is opened",
    ),
    "text after a quote": ({"column": "1"}, 'a\n"b"c\n', "x.txt, line 2: ',' expected after '\"'$"),
    "quote in quotes": (
        {"column": "1"},
        'a\n"b\nc"d"\n',
        "line 3: ',' expected after '\"'; the row begins in line 2$",
    ),
    "nothing but a line end": ({"column": "c"}, "\n", "no column 'c'"),
    "column beyond": ({"column": "3"}, "a,b\n", "line 1: .*2 columns and no column 3"),
    "column zero": ({"column": "0"}, "a,b\n", "no column 0; columns are numbered from 1"),
    "number of 5,000 digits": ({"column": "1" * 5000}, "a,b\n", "x.txt has no column '111"),
    "no JSON": ({"field": "t"}, '{"t": "a"}\nb\n', "x.txt, line 2: the line is not valid JSON"),
    "deep JSON": ({"field": "t"}, "[" * 10**5, "line 1: "),
    "no object": ({"field": "t"}, "[1]\n", "line 1: the line is not a JSON object"),
    "no such field": ({"field": "t"}, '{"u": 1}\n', "no field 't'; there is 'u'"),
    "no string": ({"field": "t"}, '{"t": 1}\n', "the field 't' is not a string"),
}


@pytest.mark.parametrize("kind", INVALID)
def test_invalid_records_are_named(kind):
    config, text, message = INVALID[kind]
    with pytest.raises(TextError, match=message):
        read(text, 2, **config)


@pytest.mark.parametrize(
    ("config", "text", "message"),
    [
        (TextConfig(column="c"), "a,b\n", "standard input has no column 'c'"),
        (TextConfig(column="3"), "a,b\n", "standard input, line 1: the row has 2 columns"),
        (TextConfig(field="t"), "[1]\n", "standard input, line 1: the line is not a JSON object"),
    ],
)
def test_standard_input_is_named_in_words(config, text, message):
    with pytest.raises(TextError, match=message):
        list(documents_of([text], config, STDIN))


@given(
    st.text("a\r\n", max_size=40),
    st.sampled_from(["\n", "\n\n", "\na", "a\n\na", "\n\r", "\r\n", "\r\na\n", "\r"]),
    st.integers(1, 9),
)
def test_newlines_in_separators_are_found_wherever_pieces_end(text, separator, size):
    newline = "\r?\n" if "\r" not in separator else None
    whole = read(text, separator=separator)
    assert read(text, size, separator=separator) == whole
    if newline:
        *before, last = re.split(separator.replace("\n", newline), text)
        ends = [last] * bool(last.strip("\r\n"))
        assert whole == [each.strip("\r\n") for each in (*before, *ends)]


@pytest.mark.parametrize("separator", ["\n\n", "%%\n", "\n--\n"])
@given(texts=st.lists(st.text("ab", min_size=1), min_size=1))
def test_line_ends_of_a_file_do_not_change_where_separators_are(separator, texts):
    file = separator.join(texts)
    assert read(file.replace("\n", "\r\n"), 3, separator=separator) == texts


@pytest.mark.parametrize("separator", ["\n\n", "%%"])
@given(text=st.text("a%\n", max_size=9), size=st.integers(1, 9))
def test_a_file_without_its_separator_is_noticed(separator, text, size):
    names: list[str] = []
    pieces = [text[k : k + size] for k in range(0, len(text), size)]
    config = TextConfig(separator=separator)
    list(documents_of(pieces, config, "x.txt", names.append))
    is_one_document = separator not in text and text.strip("\n")
    assert names == ["x.txt"] * bool(is_one_document)


@given(st.lists(st.sampled_from(["a", "b\nc", ""])), st.sampled_from(["%%", "\0", "\n--\n"]))
def test_documents_that_a_separator_ends_come_back(texts, separator):
    file = "".join(text + separator for text in texts)
    assert read(file, 3, separator=separator) == texts
    assert read(f"{file}\n", 3, separator=separator) == texts


# Conversion


def quoted(document: str) -> str:
    return '"' + document.replace('"', '""') + '"'


# How documents are written: the settings, the start of the file, a document, and what is between.
FILES = {
    "lines": ({"lines": True}, "", str, "\n"),
    "separator": ({"separator": "%%"}, "", str, "%%"),
    "paragraphs": ({"separator": "\n\n"}, "", str, "\r\n\n"),
    "CSV": ({"column": "b"}, "a,b\r\n", lambda d: f"你，,{quoted(d)}", "\r\n"),
    "TSV": ({"column": "2"}, "", lambda d: f"1\t{d}", "\n"),
    "escapes": ({"field": "t"}, "", lambda d: json.dumps({"t": d}), "\n"),
    "no escapes": ({"field": "t"}, "", lambda d: json.dumps({"t": d}, ensure_ascii=False), "\n"),
    "file": ({"files": True}, "", str, ""),
}
IN_LINES = ["e", "\u0301", "\u0323", "é", "ﬁ", "…", "，", "＂", "가", "\u11a8", ",", "x", " "]
ANYWHERE = [*IN_LINES, '"', "\t", "\n", "\r\n", "\r"]
TOKENS = {"lines": IN_LINES, "TSV": IN_LINES, "separator": [*IN_LINES, "\n", "\r\n"]}
TOKENS["paragraphs"] = [*IN_LINES, "\t", '"']


@pytest.mark.parametrize("form", NORMALIZATIONS)
@pytest.mark.parametrize("newlines", NEWLINES)
@pytest.mark.parametrize("kind", FILES)
@lawful_but_slow
@given(data=st.data(), block=st.integers(1, 9))
def test_documents_of_a_corpus_are_read_as_they_are_scored(
    tmp_path_factory, data, kind, newlines, form, block
):
    settings, start, written, between = FILES[kind]
    document = st.lists(st.sampled_from(TOKENS.get(kind, ANYWHERE)), max_size=9).map("".join)
    documents = data.draw(st.lists(document, min_size=1, max_size=4))
    text = start + between.join(map(written, documents))
    config = TextConfig(newlines=newlines, normalize=form, **settings)
    unconverted = [each for each in read(text, **settings) if each]
    assume(unconverted)
    path = tmp_path_factory.getbasetemp() / "documents.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.text_files.BLOCK", block)
        patch.setattr("charlm.text.normalization.LONGEST", 4)
        expected = [converted_text(each, config) for each in unconverted]
        groups = documents_of(read_pieces(path, config), config, "x.txt")
        assert [each for group in groups for each in group if each] == expected
        if "\n" in text:  # no path
            assert ["".join(each) for each in Corpus.of(text, config).contents()] == expected


@lawful
@given(
    text=st.lists(st.sampled_from([*ANYWHERE, "=", "\u0338", "≠"]), max_size=30).map("".join),
    separator=st.sampled_from(["e", "\u0301", "é", "=", "...", "…", "\r\n", "\n\n", "\r"]),
    newlines=st.sampled_from(NEWLINES),
    form=st.sampled_from(NORMALIZATIONS),
    size=st.integers(1, 9),
)
def test_separators_are_converted_as_the_text(text, separator, newlines, form, size):
    config = {"newlines": newlines, "normalize": form}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.normalization.LONGEST", 4)
        settings = TextConfig(**config)
        whole = converted_text(text, settings)
        documents = read(whole, size, separator=separator, **config)
        assert documents == [converted_text(each, settings) for each in documents]
        same = converted_text(separator, settings)
        assert documents == read(whole, separator=same, **config)
        if same not in separator:  # another form of it
            assert separator not in whole


@pytest.mark.parametrize(
    ("config", "text", "expected"),
    [
        ({"separator": "\r\n\r\n", "newlines": "lf"}, "a\r\n\r\nb\n\nc", ["a", "b", "c"]),
        ({"separator": "…", "normalize": "NFKC"}, "a…b...c", ["a", "b", "c"]),
        ({"separator": "é", "normalize": "NFD"}, "ae\u0301béc", ["a", "b", "c"]),
        ({"column": "é", "normalize": "NFC"}, "e\u0301,b\ne\u0301,2\n", ["é"]),
        ({"column": "text", "normalize": "NFKC"}, "text,n\n你好，世界,1\n", ["你好,世界"]),
        ({"field": "é", "normalize": "NFC"}, '{"e\\u0301": "e\\u0301"}', ["é"]),
        ({"field": "t", "newlines": "lf"}, '{"t": "a\\r\\nb"}\r{"t": ""}', ["a\nb", ""]),
    ],
)
def test_converted_documents(config, text, expected):
    pieces = converted_file([text], TextConfig(**config))
    assert read("".join(pieces), **config) == expected


ROWS = st.lists(st.lists(st.text("a,\"'\\\n\r\t", max_size=5), min_size=2, max_size=2), min_size=1)


@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["1", "2"]))
def test_columns_of_csv_come_back(rows, end, column):
    lines = [",".join(map(quoted, row)) + end for row in (["a", "b"], *rows)]
    values = [row[int(column) - 1] for row in rows]
    assert read("".join(lines), 3, column=column)[1:] == values
    assert read("".join(lines), column="ab"[int(column) - 1]) == values


@given(st.lists(st.text("a\"'\t\n\r\\", max_size=9), min_size=1))
def test_columns_of_scores_come_back(texts):
    with redirect_stdout(StringIO()) as out:
        rows = ({"document": n, "text": text} for n, text in enumerate(texts, 1))
        RowOutput("bits", as_json=False, is_raw=False).print(rows)
    found = read(out.getvalue(), 3, column="text")
    assert found == [text.translate(ESCAPES) for text in texts]
    table = read_word_table([out.getvalue()], "x.txt") if all(texts) else None
    assert not table or [row[1] for row in table.rows] == found


def test_a_long_line_in_many_pieces_takes_linear_time():
    pieces = ["x" * 1000] * 20_000
    (group,) = documents_of(iter(pieces), TextConfig(lines=True), "x.txt")
    assert [len(document) for document in group] == [20_000_000]
