"""The likely encodings of a text that is not valid in the given one.

An encoding is likely if all of a sample can be decoded, and the characters that it has besides
ASCII are those that are frequent in a language written in it, at places where they occur: letters
next to letters of their script, lower case within words. A few words are enough for most languages.
"""

import codecs
import unicodedata
from functools import cache

LATIN = {
    "cp1252": "éèàùìòâêîôûçëïüöäßñáíóúãõåæøœýðþ¿¡ÉÈÀÇÄÖÜÅÆØÑÁÍÓÚÊÔÞ",
    "cp1250": "ąćęłńóśźżáčďéěíňřšťúůýžőűöüăâîşţäôľČŘŠŽŁŚŻ",
    "cp1254": "ıİşŞğĞçöüÇÖÜâ",
    "cp1257": "āčēģīķļņšūžąęėįųõäöüŠŽĀ",
    "cp1258": "àáâãèéêìíòóôõùúýăđĩũơưêô\u0300\u0301\u0303\u0309\u0323",
    "mac_roman": "éèàùâêîôûçëïüöäßñáíóúãõåæøœ¿¡É",
    "cp437": "éèàùâêîôûçëïüöäßñáíóúåæ¿¡É",
    "cp850": "éèàùâêîôûçëïüöäßñáíóúãõåæø¿¡É",
    "cp852": "ąćęłńóśźżáčďéěíňřšťúůýžőűöüăâîşţäôľ",
    "iso8859-2": "ąćęłńóśźżáčďéěíňřšťúůýžőűöüăâîşţäôľČŘŠŽŁŚŻ",
}
CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэіїєўґјљњќћђџ"
GREEK = "αοιετσνηυρπκμλςωάέίόήύγδθχβφώ"
HEBREW = "יוהלאמרשתבנכעדחפקםטגןצסךףץז"
ARABIC = "المنيتورهبعدسفقكحجشةأصطىخئضذغزثظ"
THAI = "านรอเกงมยลวดทสตะปบคหแจพชขใไโธณผภศัิีึืุู่้็์ำ"
OTHERS = {
    "cp1251": CYRILLIC,
    "koi8-r": CYRILLIC,
    "koi8-u": CYRILLIC,
    "cp866": CYRILLIC,
    "iso8859-5": CYRILLIC,
    "mac_cyrillic": CYRILLIC,
    "cp1253": GREEK,
    "iso8859-7": GREEK,
    "cp1255": HEBREW,
    "cp1256": ARABIC,
    "iso8859-6": ARABIC,
    "cp874": THAI,
}
UNUSED = "¤"  # a sign for any currency, whose byte begins most kana in euc_jp
LEADING = "เแโใไ"  # vowels of Thai before the consonant
HAN = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实"
    "日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美"
    "水火山月白花风春夜雨江云归何相不见"
)
HAN_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡"
    "用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實"
    "日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美"
    "水火山月白花風春夜雨江雲歸何相不見"
)
KANA = "".join(map(chr, (*range(0x3041, 0x3094), *range(0x30A1, 0x30F7)))) + "ー々"
HANGUL = (
    "이다는에의가고을하지도사기한를리로은자시어나해인아서대있것게부일그보전스라정수원제장들만면과으주"
    "상국여러니세소구우무모든마안적동음유조성오말회치신교오민관연경중생거선공비습까와년위간요방진물발실"
    "학문용재여집개금터분식데당결각두산않때더런같래없된였던며람많"
)
WIDE = {
    "gb18030": HAN,
    "cp932": KANA,
    "euc_jp": KANA,
    "cp949": HANGUL,
    "johab": HANGUL,
    "big5hkscs": HAN_TRADITIONAL,
}
UNMARKED = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
EBCDIC = ("cp037", "cp500")
COMMON = {name: frozenset(text) for name, text in (LATIN | OTHERS | WIDE).items()}
COMMON_ANYWHERE = frozenset("".join((*LATIN.values(), *OTHERS.values(), *WIDE.values())))

# The well-known names of encodings that this module tries as others, which extend them.
EQUAL = {"big5hkscs": "big5", "cp949": "euc_kr"}

MIN_UTF16 = 16  # bytes needed to detect UTF-16 by its NULs
# How much more or less often an encoding occurs than others of the same letters.
PRIOR = {
    "cp1252": 0.1,
    "gb18030": 0.1,
    "cp1251": 0.05,
    "cp949": 0.05,
    "iso8859-5": -0.05,
    "iso8859-7": -0.05,
    "cp1258": -0.1,
    "cp437": -0.1,
    "cp850": -0.15,
    "cp852": -0.15,
    "cp874": -0.15,
    "johab": -0.15,
    "koi8-u": -0.05,
    "mac_cyrillic": -0.15,
    "mac_roman": -0.1,
}
MIN_SCORE = 0.25  # an encoding with a lower score is not named
MIN_UTF16_SCORE = 0.35  # nor is UTF-16 for text that is valid ASCII
MARGIN = 0.15  # nor is one whose score is this much lower than the best
MOST = 3  # encodings that are named
FAR = 4_000  # characters scored


def likely(sample: bytes, failed: str = "utf-8") -> list[str]:
    """The likely encodings of a sample, the best first, at most `MOST`; often none.

    Args:
        sample: bytes from the start of the text, or of a line.
        failed: an encoding in which the text is not valid.
    """
    failed = codecs.lookup(failed).name
    if failed != "utf-8" and _decoded(sample, "utf-8"):  # other text hardly ever is valid UTF-8
        return ["utf-8"]
    tried = [*COMMON, *UNMARKED[:2]]
    if sample.count(b"@") > sample.count(b" "):  # the byte of @ is the space of EBCDIC
        tried += EBCDIC
    scores = {name: _score(sample, name) for name in tried}
    best = max(scores.values())
    names = [
        name
        for name, score in sorted(scores.items(), key=lambda item: -item[1])
        if score >= max(MIN_SCORE, best - MARGIN) and codecs.lookup(name).name != failed
    ]
    return [_known(name, sample) for name in names[:MOST]]


def _known(name: str, sample: bytes) -> str:
    """The best-known name of an encoding in which the sample has the same text."""
    other = EQUAL.get(name)
    return other if other and _decoded(sample, other) == _decoded(sample, name) else name


def _decoded(sample: bytes, name: str) -> str:
    """The sample in an encoding, without a truncated character at its end; empty if invalid."""
    try:
        return codecs.getincrementaldecoder(name)().decode(sample)
    except UnicodeError:
        return ""


def _score(sample: bytes, name: str) -> float:
    """How plausible the characters of the sample are in an encoding, from 0 to 1.

    Frequent letters count 1, other letters and the punctuation of texts less, and anything at a
    place where it does not occur counts negative.
    """
    text = _decoded(sample, name)[:FAR]
    common = COMMON.get(name, COMMON_ANYWHERE)
    is_latin = name in LATIN
    total = count = 0.0
    for before, c, after in zip(" " + text, text, text[1:] + " ", strict=False):
        if c < "\x80":
            total -= c < " " and c not in "\t\n\r\f"
            continue
        count += 1
        total += _plausible(before, c, after, common, is_latin=is_latin)
    if name in UNMARKED or name in EBCDIC:  # ASCII is other characters in them
        count += sum(c < "\x80" for c in text)
        total += sum(c.isalnum() or c in " \n.,;" for c in text if c < "\x80")
    return total / count + PRIOR.get(name, 0.0) if count else 0.0


def _plausible(before: str, c: str, after: str, common: frozenset[str], *, is_latin: bool) -> float:
    """How plausible a character is between two others."""
    kind = _kind(c)
    inside = before.isalpha() and after.isalpha()
    if kind == "P":
        return (1.0 if inside == (c in "’·-") else 0.7) if not inside or c in "’·–—-" else -1.0
    if kind == "N" or (before.islower() and c.isupper()):
        return -1.0
    if kind == "M" and _kind(before) != "L":
        return -1.0 if _kind(before) != "M" or before == c else 0.0
    if c in LEADING and _kind(after) != "L":
        return -1.0
    is_ascii = before.isascii() and before.isalpha(), after.isascii() and after.isalpha()
    if is_latin:
        if inside and not any(is_ascii):
            return -0.5
        return 1.0 if c in common else 0.2
    if any(is_ascii) and not _is_wide(c):
        return -1.0
    return 1.0 if c in common else 0.25


@cache
def _kind(c: str) -> str:
    """`L` for letters, `M` for marks, `P` for the punctuation of texts, `N` for others."""
    category = unicodedata.category(c)
    if category[0] in "LM" and not "\uf900" <= c <= "\ufaff" and not "\uff61" <= c <= "\uff9f":
        return category[0]
    is_punctuation = category in ("Pi", "Pf", "Pd", "Po", "Ps", "Pe", "Zs", "Sc") or c in "…°№"
    return "P" if is_punctuation and c != UNUSED else "N"


def _is_wide(c: str) -> bool:
    return unicodedata.east_asian_width(c) in "WF"


def is_mostly_utf8(sample: bytes) -> bool:
    """Whether most of the characters besides ASCII are valid UTF-8."""
    text = sample.decode("utf-8", "replace")
    invalid = text.count("\ufffd")
    valid = sum(c >= "\x80" for c in text) - invalid
    return valid > 2 * invalid


def has_few_errors(sample: bytes, encoding: str) -> bool:
    """Whether at most one byte of a sample, or a hundredth of it, is invalid."""
    valid = len(sample.decode(encoding, "ignore").encode(encoding, "ignore"))
    return len(sample) - valid <= 1 + len(sample) // 100


def is_binary(sample: bytes) -> bool:
    """Whether more than a twentieth of the bytes are control characters that text does not have."""
    text = bytes({*range(0x20)} - {*b"\t\n\f\r\x1b"})
    return len(sample) - len(sample.translate(None, text)) > len(sample) // 20


def unmarked_utf(block: bytes) -> str:
    """The name of UTF-16 or UTF-32 if a first block without byte-order mark is in it; else empty.

    More than half of the high bytes of UTF-16 must be NUL, and none of the low bytes; or some are,
    as spaces and newlines between words of another script, and its characters are plausible. All of
    UTF-32 must be characters, none of them NUL.
    """
    marked = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
    if len(block) < MIN_UTF16 or b"\0" not in block or block.startswith(marked):
        return ""
    whole = block[: len(block) // 4 * 4]
    for name in UNMARKED[2:]:
        text = _decoded(whole, name)
        if text and "\0" not in text:
            return name
    nuls = block[::2].count(0), block[1::2].count(0)
    if min(nuls) > 0:
        return ""
    name = UNMARKED[bool(nuls[0])]
    is_half = max(nuls) > len(block) // 4
    return name if is_half or _score(block[:FAR], name) > MIN_UTF16_SCORE else ""
