"""The encoding of a sentence is among the few that a refusal names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.config import TextConfig
from charlm.text.likely_encodings import likely, unmarked_utf
from charlm.text.text_files import read_text
from tests.helpers import lawful
from tests.texts import refusal

RUSSIAN = "Старый мельник каждое утро открывал окно и слушал реку."
CHINESE = "老渔夫每天早上出海，到了晚上才回来，篮子里装满了鱼。"
JAPANESE = "年老いた漁師は毎朝海に出て、夕方になってやっと帰ってきた。"
KOREAN = "늙은 어부는 아침마다 바다로 나갔다가 저녁이 되어서야 돌아왔다."
SENTENCES = [
    ("cp1252", "L’été dernier, nous avons mangé des crêpes près de la forêt, où il jouait."),
    ("cp1252", "Die Bäcker müssen früh aufstehen, „sonst“ gibt es keine süßen Brötchen."),
    ("cp1252", "El niño comió una piña mañana, ¿verdad? ¡Qué rápido pasó el año!"),
    ("cp1252", "It’s the cook’s “last” pan – don’t wait…"),
    ("cp1252", "På søndag går vi ud og køber ærter og æbler på torvet."),
    ("latin-1", "O pão está à venda, não é? Amanhã cedo são três reais."),
    ("latin-1", "a plain text, and one café"),
    ("cp1250", "Zażółć gęślą jaźń, powiedział chłopiec, śmiejąc się głośno."),
    ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy v noci."),
    ("iso8859-2", "Wieczorem spacerowaliśmy długą ścieżką, aż ujrzeliśmy światła wsi."),
    ("cp1254", "Dün akşam köyün yaşlı değirmencisi bize güzel bir hikâye anlattı."),
    ("cp1257", "Vakar vakare mes ėjome namo per mišką, o žvaigždės švietė labai ryškiai."),
    ("cp1251", RUSSIAN),
    ("cp1251", "Сьогодні вранці ми їхали до міста, а небо було ясне."),
    ("koi8-r", RUSSIAN),
    ("cp866", RUSSIAN),
    ("iso8859-5", RUSSIAN),
    ("cp1253", "Το πρωί ο ψαράς έφυγε με τη βάρκα του και γύρισε το βράδυ."),
    ("iso8859-7", "Η γιαγιά μαγείρευε φακές και μας έλεγε ιστορίες για τη θάλασσα."),
    ("cp1255", "בבוקר יצא הדייג הזקן אל הים וחזר רק בערב עם סל מלא דגים."),
    ("cp1256", "في الصباح خرج الصياد العجوز إلى البحر ولم يرجع إلا في المساء."),
    ("cp874", "ตอนเช้าชาวประมงออกเรือไปในทะเลและกลับมาในตอนเย็น"),
    ("gb18030", CHINESE),
    ("gbk", "春天来了，河边的柳树都绿了，孩子们在那里放风筝。"),
    ("big5", "老漁夫每天早上出海，到了晚上才回來，籃子裡裝滿了魚。"),
    ("shift_jis", JAPANESE),
    ("cp932", "①春になると、川のほとりで子供たちが凧をあげていました。"),
    ("euc_jp", JAPANESE),
    ("euc_jp", "今日は天気がいいので、公園を散歩しましょう。"),
    ("euc_kr", KOREAN),
    ("cp949", "봄이 오면 아이들은 강가에서 연을 날리며 놀았다."),
    ("mac_roman", "L’été dernier, nous avons mangé des crêpes près de la forêt."),
    ("cp037", "The old miller opened the window each morning."),
    ("cp500", "WER RASTET, DER ROSTET! Die Bäcker stehen früh auf."),
    ("utf-16-le", CHINESE),
    ("utf-16-be", JAPANESE),
    ("utf-16-le", RUSSIAN),
    ("utf-16-be", KOREAN),
    ("utf-16-le", "a plain text\n"),
    ("utf-32-le", RUSSIAN),
    ("utf-32-be", "a plain text\n"),
]


@pytest.mark.parametrize(("encoding", "sentence"), SENTENCES)
@pytest.mark.parametrize("before", [0, 1_300_000])
def test_refusal_names_the_encoding(tmp_path, encoding, sentence, before):
    path = tmp_path / "text.txt"
    text = "a plain line\n" * (before // 13) + sentence + "\n"
    path.write_bytes(text.encode(encoding))
    if encoding.startswith("utf") and before:
        return  # recognized at the start
    message = refusal(lambda: read_text(path))
    first = re.search(r"pass `encoding='([^']+)'`", message)
    assert first is not None, message
    others = re.findall(r"\((?:or )?([\w, -]+)\)", message)
    named = [first[1], *", ".join(others).split(", ")]
    assert len(set(named)) <= 4
    assert text in [read(path, name) for name in named if name]


def read(path, encoding: str) -> str:
    try:
        return read_text(path, TextConfig(encoding=encoding))
    except ValueError:
        return ""


@pytest.mark.parametrize(
    ("failed", "expected", "sentence"),
    [
        ("shift_jis", "cp932", "①年老いた漁師は毎朝海に出て、夕方になって帰ってきた。"),
        ("gb2312", "gb18030", "朱镕基每天早上出海，到了晚上才回来。"),
        ("utf-8", "euc_jp", "今日は天気がいいので、公園を散歩しましょう。"),
        ("ascii", "cp1252", "Die Bäcker müssen früh aufstehen."),
        ("ascii", "utf-8", "Die Bäcker müssen früh aufstehen, „sonst“ gibt es keine."),
    ],
)
def test_encoding_is_named_first(tmp_path, failed, expected, sentence):
    path = tmp_path / "text.txt"
    path.write_bytes(sentence.encode(expected))
    message = refusal(lambda: read_text(path, TextConfig(encoding=failed)))
    assert f"pass `encoding='{expected}'`" in message


def test_plain_text_is_not_taken_for_utf16():
    for text in (
        "a plain text with a \0 in it\n" * 30,
        "\0 a plain text\n",
        "a table\0of\0names\0with\0one\0letter\0less\0" * 9,
        "\0" * 64,
        "灯\0" * 40,
    ):
        assert unmarked_utf(text.encode()) == ""


@lawful
@given(st.binary(max_size=200))
def test_likely_encodings_decode_any_sample(data):
    names = likely(data)
    assert len(names) <= 3
    for name in names:
        data.decode(name, "ignore")
