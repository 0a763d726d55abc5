"""What a package registry shows, and the versions that charlm requires."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HOME = PROJECT["urls"]["Homepage"]

# [text](link), [name]: link, <img src="link">
LINK = re.compile(r"\]\(\s*([^)\s]+)|^\[[^]]+\]:\s*(\S+)|(?:href|src)=\"([^\"]+)", re.MULTILINE)
# [name] or [text][name], but neither [text](link) nor a definition
REFERENCE = re.compile(r"\[([^]\n]+)\](?![(:\[])")


def prose_of(page: str) -> str:
    """A page without its code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page, flags=re.DOTALL)


def links(page: str) -> list[str]:
    return [next(filter(None, found)) for found in LINK.findall(prose_of(page))]


README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_has_absolute_links_only():
    assert links(README)
    assert [link for link in links(README) if not link.startswith("https://")] == []


def test_links_of_the_readme_into_the_repository_exist():
    inside = re.compile(re.escape(HOME) + r"/(?:blob|tree)/main/(.+)")
    paths = [match[1] for link in links(README) if (match := inside.fullmatch(link))]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_references_of_the_readme_are_defined():
    defined = set(re.findall(r"^\[([^]]+)\]: ", README, re.MULTILINE))
    assert set(REFERENCE.findall(prose_of(README))) == defined


def test_relative_links_of_all_kinds_are_found():
    page = '[a](docs/a.md) [b]\n<img src="c.svg">\n[b]: ./b.md\n`[d](d.md)`\n'
    assert set(links(page)) == {"docs/a.md", "c.svg", "./b.md"}


def test_every_url_of_the_project_is_one_of_its_home():
    assert all(url.startswith(HOME) for url in PROJECT["urls"].values())


def test_oldest_versions_that_are_tested_are_those_that_are_required():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    bounds = re.search(r"^BOUNDS := ((?:.*\\\n)*.*)", makefile, re.MULTILINE)[1]
    pinned = dict(re.findall(r"(\w+)==([\d.]+)\.\*(?![^']*python_version [=>])", bounds))
    assert pinned == dict(each.split(">=") for each in PROJECT["dependencies"])
