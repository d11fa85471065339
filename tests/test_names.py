"""A name says what it holds: no pronoun, preposition, participle or bare adjective names a variable, a parameter or a function."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
VAGUE = set(
    "at of on by to in with about among beside "
    "found told seen taken wanted asked given kept done made said shown known drawn chosen named measured computed begun gone laid tried held "
    "some one each every everyone everything any all mine ours there here other others rest these those such both "
    "words what which how where when why who much many few more most less".split()
)


def names(node: ast.AST, in_class: bool = False) -> Iterator[tuple[str, int]]:
    """Yield (name, line) of variables, parameters, functions and caught errors; a class's fields are left out, as records keep them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child.name, child.lineno
        elif isinstance(child, ast.arg):
            yield child.arg, child.lineno
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store) and not in_class:
            yield child.id, child.lineno
        elif isinstance(child, ast.ExceptHandler) and child.name:
            yield child.name, child.lineno
        fields = isinstance(child, ast.ClassDef) or (in_class and isinstance(child, ast.Assign | ast.AnnAssign))
        yield from names(child, fields)


def vague(source: str) -> list[str]:
    return [
        f"{name} (line {line})"
        for name, line in names(ast.parse(source))
        if name.strip("_") in VAGUE and not name.startswith("__")
    ]


def source_files() -> list[str]:
    folders = ("nmfdiag", "pages", "tests", "benchmarks")
    paths = [ROOT / "app.py", *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))]
    return [path.relative_to(ROOT).as_posix() for path in paths]


def test_names_say_what_they_hold() -> None:
    found_in = {path: vague((ROOT / path).read_text(encoding="utf-8")) for path in source_files()}
    assert {path: vague_names for path, vague_names in found_in.items() if vague_names} == {}


@pytest.mark.parametrize(
    ("source", "n_vague"),
    [
        ("found = 1", 1),
        ("def f(some): pass", 1),
        ("def _told(): pass", 1),
        ("for one in range(3): pass", 1),
        ("[at for at in ()]", 1),
        ("lambda of: of", 1),
        ("class Record:\n    known: int\n    def f(self): given = 1", 1),
        ("curves = spread = entries = 1", 0),
    ],
)
def test_a_vague_name_is_noticed(source: str, n_vague: int) -> None:
    assert len(vague(source)) == n_vague


def test_files_are_not_named_by_gerunds_or_participles() -> None:
    nouns = {"training", "stopping", "scaling", "heading", "ranking", "opening", "layering"}
    parts = {part for path in source_files() for part in Path(path).with_suffix("").parts}
    last_words = {part.removeprefix("test_").rpartition("_")[2] for part in parts}
    assert {word for word in last_words if word.endswith("ing")} <= nouns
