"""The signs of mistakes in a text match direct counts, and the remedies lose nothing of it."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.concerns import CRLF, MISREAD, concerns, count_pairs
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from charlm.text.corpus_report import Inspection, inspect
from charlm.text.encoder import encode_text
from tests.helpers import lawful
from tests.texts import text_of

ODD = st.text(
    st.sampled_from("ab\r\n\t\f\0\x0b\x1b\x7f\x80\x85\x9f\xa0\xbf\xc0ÃÂÐÑâ€\ufeff\ufffd灯"),
    min_size=1,
)

CONCERNS = {
    "control_characters": "[\x00-\x08\x0b\x0e-\x1f\x7f]",
    "c1_characters": "[\x80-\x9f]",
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
        patch.setattr("charlm.text.concerns.SCANNED", scanned)
        inspection = inspect(Corpus.of(text))
    expected = {kind: len(re.findall(pattern, text)) for kind, pattern in CONCERNS.items()}
    crlf = text.count("\r\n")
    expected["mixed_line_ends"] = min(crlf, text.count("\n") - crlf)
    assert counted(inspection) == {kind: n for kind, n in expected.items() if n}
    for concern in inspection.concerns:
        assert f"{concern.count:,}" in concern.message
        assert len(concern.message.splitlines()) == 1


def test_a_line_end_that_is_cut_in_two_is_whole():
    for most in range(1, 41):
        assert concerns(Corpus.of("ab\r\n" * 10), most) == []
        mixed = concerns(Corpus.of("\n" + "b\r\n" * 13), most)
        assert [(each.kind, each.count) for each in mixed] == [("mixed_line_ends", 1)] * (most > 2)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("<!DOCTYPE html>\n<p>a page</p>", "html"),
        ('\n<?xml version="1.0"?>\n<html lang="en">a page</html>', "html"),
        ("{\\rtf1\\ansi a letter\\par}", "rtf"),
        ("<htmlish> and <html> and {\\rtf1 in a text", ""),
        ("<", ""),
    ],
)
def test_markup_is_recognized_by_the_start_of_the_text(text, name):
    found = {each.kind: each for each in inspect(Corpus.of(text)).concerns}
    assert ("markup" in found) == bool(name)
    if name:
        tag = {"html": "<", "rtf": "\\"}[name]
        assert found["markup"].count == text.count(tag)
        assert found["markup"].message.startswith(f"tags of {name.upper()} ({tag!r})")
        assert f"pandoc -f {name} -t plain OLD -o NEW" in found["markup"].message


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


def test_files_that_are_read_more_than_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / name).write_text(f"text {name}\n")
    (concern,) = inspect(Corpus.read(["a", "b", tmp_path, "./b", "b"])).concerns
    assert (concern.kind, concern.count) == ("repeated_files", 2)
    assert concern.message.startswith(f"files that are read more than once, such as {tmp_path}/")
    assert inspect(Corpus.read([tmp_path])).concerns == ()


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
    ("encoding", "remedy"),
    [("utf-8", "iconv"), ("UTF8", "iconv"), ("cp1252", "`encoding='utf-8'`")],
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
    assert concern.message.endswith("with: `newlines='lf'`")
    assert inspect(Corpus.read([path], TextConfig(newlines="lf"))).concerns == ()


@lawful
@given(ODD, st.integers(1, 40), st.integers(1, 7))
def test_pairs_and_line_endings_of_the_start_of_a_text(text, most, scanned):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.concerns.SCANNED", scanned)
        found = {each.kind: each for each in concerns(Corpus.of(text), most)}
    start = text[: most + 1]  # the pair of the last character, too
    crlf = start.count("\r\n")
    cr, lf = (text[:most].count(c) - crlf for c in "\r\n")
    expected = {
        "misread_utf8": len(re.findall(CONCERNS["misread_utf8"], start)),
        "mixed_line_ends": min(crlf, lf),
        "bare_carriage_returns": cr,
    }
    for kind, count in expected.items():
        assert (found[kind].count if kind in found else 0) == max(0, count)
        if count > 0 and most < len(text):
            assert f"in the first {most:,} characters" in found[kind].message


# Remedies: followed literally, they lose nothing of the text.

QUOTED = "It’s the cook’s “last” pan – don’t wait…\n"
COMMANDS = {
    "escape sequences": ("\x1b[31mred\x1b[0m and \x1b[1;4mbold\x1b[m\n", "red and bold\n"),
    "overprinting": ("N\bNA\bAM\bME\bE of _\bi_\bt\n", "NAME of it\n"),
    "separators": ("one\x0btwo\x1fthree\0灯\n", "one two three 灯\n"),
    "marks inside": ("one\ufefftwo\n灯\ufeff\n", "onetwo\n灯\n"),
    "quotes converted as Latin-1": (
        QUOTED.encode("cp1252").decode("latin-1") + "灯 é \x81\x8d\n",
        QUOTED + "灯 é \x81\x8d\n",
    ),
    "UTF-8 misread as cp1252": ("naïve — é\n".encode().decode("cp1252"), "naïve — é\n"),
    "UTF-8 misread as Latin-1": ("“naïve” — é\n".encode().decode("latin-1"), "“naïve” — é\n"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_lose_nothing(tmp_path, name):
    text, expected = COMMANDS[name]
    old, new = tmp_path / "OLD", tmp_path / "NEW"
    old.write_text(text, encoding="utf-8", newline="")
    messages = [each.message for each in concerns(Corpus.read(old))]
    (command,) = {
        match[1] for each in messages if (match := re.search(r"(?:with|by): (.*> NEW)$", each))
    }
    if not shutil.which(command.split()[0].replace("LC_ALL=C", "tr")):
        pytest.skip(f"{command.split()[0]} is not installed")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert new.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize(
    ("encoding", "written", "text"),
    [
        ("latin-1", "cp1252", QUOTED),
        ("iso8859-15", "cp1252", QUOTED),
        ("iso8859-2", "cp1250", "„Zażółć” – gęślą…\n"),
        ("iso8859-7", "cp1253", "“πρωί” – …\n"),
        ("iso8859-9", "cp1254", "‘köyün’ – …\n"),
        ("latin-1", "mac_roman", "pré – «été» à la fête, Århus €\n"),
        ("latin-1", "cp437", "Bäcker, ìçé, süße Brötchen\n"),
        ("latin-1", "utf-8", "naïve café — “quoted”\n"),
    ],
)
def test_encoding_that_is_advised_reads_the_text(tmp_path, encoding, written, text):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(written))
    corpus = Corpus.read(path, TextConfig(encoding=encoding))
    messages = {each.kind: each.message for each in concerns(corpus)}
    message = messages.get("misread_utf8", messages["c1_characters"])
    first = re.search(r"`encoding='([^']+)'`(?: \(or (.*)\))?$", message)
    assert first is not None
    named = [first[1], *(first[2] or "").split(", ")]
    assert text in [text_of(Corpus.read(path, TextConfig(encoding=e)).encoded) for e in named if e]
    assert "remove" not in message


def test_no_command_is_named_that_would_stop_half_way():
    corpus = Corpus.of("cafÃ© 灯\n")  # cp1252 does not have all of it
    (concern,) = concerns(corpus)
    assert concern.message.endswith("; convert the original of the affected part again, as UTF-8")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp932", "latin-1"])
def test_no_command_for_utf8_is_named_for_other_encodings(encoding):
    text = "a\0\x1b\ufeff\x85\ufffdÃ©\n"
    corpus = Corpus(encode_text(text), config=TextConfig(encoding=encoding))
    for concern in concerns(corpus):
        assert "-CSD" not in concern.message
        assert "xbb" not in concern.message
        if encoding.startswith("utf-16"):
            assert "OLD" not in concern.message


def test_replaced_bytes_are_a_concern_of_their_own():
    config = TextConfig(errors="replace")
    (concern,) = concerns(Corpus(encode_text("caf\ufffd\n"), config=config))
    assert concern.message.endswith("1; if they are many, another `encoding` may be right")
    (concern,) = concerns(Corpus.of("caf\ufffd\n"))
    assert "lost in this file" in concern.message


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("iso2022_jp", "メロスは激怒した。costs $5\n"),
        ("iso2022_kr", "모든 사람은 자유롭다. $5\n"),
    ],
)
def test_text_that_switches_between_character_sets(tmp_path, encoding, written, text):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(written) * 3)
    (concern,) = concerns(Corpus.read(path, TextConfig(encoding=encoding)))
    assert concern.kind == "control_characters"
    assert concern.message.endswith(
        f"; they switch between character sets: read the text with: `encoding='{written}'`"
    )
    assert text_of(Corpus.read(path, TextConfig(encoding=written)).encoded) == text * 3
