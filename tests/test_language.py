"""The prose uses the terms of the field, in American spelling, and none of the phrases below."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

from docs.generate_cli import arguments, commands, options

ROOT = Path(__file__).parents[1]

PHRASES = (
    "side by side",  # parallel, or concatenated
    "bit for bit",  # bit-identical
    *("goes on with", "goes on from", "go on with", "go on from", "gone on", "going on"),  # resume
    "how surprised",  # negative log-likelihood
    *("one sign", "the sign"),  # unknown token
    *("setback", "setbacks", "set back"),  # rollback
    "greatest norm",  # maximum gradient norm
    "not to be had",  # unavailable
    "processes that help",  # worker processes
    "empty memory",  # initial state of zeros
    "as lost",  # perplexity: effective number of equally likely characters
)

BRITISH = (
    *(r"optimis(?:e|ed|er|ers|es|ing|ation)", r"initialis\w+", r"normalis\w+", r"vectoris\w+"),
    *(r"behaviours?", r"colours?", r"neighbours?", r"licences?"),
)

# Words may be separated by a line break and an indentation.
_ANY = (*(phrase.replace(" ", r"\s+") for phrase in PHRASES), *BRITISH)
FORBIDDEN = re.compile(rf"\b(?:{'|'.join(_ANY)})\b", re.IGNORECASE)

# Names in code are not prose: older files have the key `setbacks`.
NAME = re.compile(r"`\w+`")


def phrases_in(text: str) -> list[str]:
    """The forbidden phrases of a text, in lower case, with single spaces."""
    found = FORBIDDEN.finditer(NAME.sub("0", text))
    return [" ".join(match.group().lower().split()) for match in found]


def prose_of(source: str) -> Iterator[str]:
    """The prose of a Python module: string literals, docstrings, and blocks of comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if not node.value.isidentifier():  # a name, not prose
                yield node.value
        elif isinstance(node, ast.JoinedStr):  # the parts of an f-string, without its values
            yield "".join(p.value if isinstance(p, ast.Constant) else "0" for p in node.values)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    yield "\n".join(t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT)


def check(texts: Iterable[tuple[str, str]]) -> None:
    """Fail with the names of the texts that use a forbidden phrase."""
    found = {f"{name}: {phrase}" for name, text in texts for phrase in phrases_in(text)}
    assert not found, "\n".join(sorted(found))


def test_help():
    texts = [(name, command.help) for name, command in commands()]
    for name, command in commands():
        for parameter in (*arguments(command), *options(command)):
            shown = parameter.show_default
            default = shown if isinstance(shown, str) else ""
            texts.append((f"{name} {parameter.name}", f"{parameter.help}\n{default}"))
    assert len(texts) > 50
    check(texts)


def test_package():
    modules = sorted((ROOT / "charlm").rglob("*.py"))
    assert len(modules) > 50
    check(
        (str(path.relative_to(ROOT)), text)
        for path in modules
        for text in prose_of(path.read_text(encoding="utf-8"))
    )


def test_documents():
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    assert len(documents) > 5
    check((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in documents)


def test_finder_finds_phrases():
    text = "Streams, Side by\n    side, are the\tsign of a setback. The optimiser goes on with it."
    expected = ["side by side", "the sign", "setback", "optimiser", "goes on with"]
    assert phrases_in(text) == expected


def test_finder_finds_whole_words_only():
    text = "It goes on. The signal is set backward, beside by sides. Optimistic colors, optimizers."
    assert phrases_in(text) == []


def test_finder_skips_names_in_code():
    assert phrases_in("the key `setbacks`, not setbacks") == ["setbacks"]


def test_prose_of_a_module():
    source = '''"""It is as
    lost."""
def f(x):
    # training goes on
    # from here
    raise ValueError(f"cannot go on " f"with {x}: bit " "for bit" + f["setbacks"])
'''
    found = [phrase for text in prose_of(source) for phrase in phrases_in(text)]
    assert set(found) == {"as lost", "go on with", "bit for bit", "goes on from"}
