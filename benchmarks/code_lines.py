"""Lines of code of a folder, without blank lines, comments and docstrings.

python -m benchmarks.code_lines charlm [--files]
"""

import argparse
import ast
import io
import tokenize
from pathlib import Path

NOT_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """The lines of a module that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(lines)


def main() -> None:
    """Print the number of lines of each file, if asked, and their sum."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", action="store_true", help="list the files")
    arguments = parser.parse_args()
    counts = {
        path: code_lines(path.read_text(encoding="utf-8"))
        for path in sorted(arguments.folder.rglob("*.py"))
    }
    for path, count in counts.items():
        if arguments.files:
            print(count, path)
    print(sum(counts.values()))


if __name__ == "__main__":
    main()
