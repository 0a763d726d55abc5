"""The folders of `charlm` depend on each other in one direction, and no module on itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import charlm
from charlm.config import CELLS

PACKAGE = Path(charlm.__file__).parent

# A folder or module imports what stands above it; those of one line do not know each other.
LAYERS = (
    ("errors", "checks", "config"),
    ("system",),
    ("nn", "text"),
    ("distributed",),
    ("inference", "baselines"),
    ("training",),
    ("language_model", "api"),
    ("cli", "experiments"),
)
# These may see their own line: `api` builds on `language_model`, `config` has `checks`.
WITHIN = {
    ("checks", "errors"),
    ("config", "errors"),
    ("config", "checks"),
    ("api", "language_model"),
}

# Users import from these; they know where things are, and nobody in the package imports them.
FRONT = {"__init__", "__main__", "ranks", "classification"}


def modules() -> dict[str, Path]:
    """Every module of the package by its name, `nn.cells.lstm`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [n if n.removeprefix("charlm.") in MODULES else str(node.module) for n in inner]
            names = [n for n, i in zip(names, inner, strict=True) if i != "charlm.__version__"]
        else:
            continue
        for name in names:
            if name == "charlm":
                yield "__init__"
            elif name.startswith("charlm."):
                yield name.removeprefix("charlm.")


def level(room: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if room in layer)


def allowed(module: str, imported: str) -> bool:
    room, other = module.partition(".")[0], imported.partition(".")[0]
    return room == other or (room, other) in WITHIN or level(other) < level(room)


def test_every_module_stands_in_a_layer():
    rooms = {name.partition(".")[0] for name in MODULES} - FRONT
    assert rooms == {room for layer in LAYERS for room in layer}


def test_imports_go_in_one_direction():
    wrong = [
        f"{module} imports {imported}"
        for module, path in MODULES.items()
        if module not in FRONT
        for imported in imports(path)
        if imported.partition(".")[0] in FRONT or not allowed(module, imported)
    ]
    assert not wrong


def test_no_module_imports_itself_by_way_of_others():
    edges = {module: set(imports(path)) for module, path in MODULES.items()}
    edges["nn.cells"] |= {f"nn.cells.{name.replace('-', '_')}" for name in CELLS}  # by name
    finished: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " imports ".join((*way, module))
        if module not in finished:
            for imported in edges[module]:
                visit(imported, (*way, module))
            finished.add(module)

    for module in edges:
        visit(module, ())


def test_every_folder_says_what_it_is_for():
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), name


def test_a_lazy_import_in_the_wrong_direction_is_found(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from charlm.training.loop import train\n")
    assert [allowed("nn.model", imported) for imported in imports(file)] == [False]


def test_an_import_of_the_package_itself_is_found(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("import charlm\nfrom charlm import __version__, load\n")
    assert list(imports(file)) == ["__init__", "__init__"]
