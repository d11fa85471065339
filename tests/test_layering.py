"""The arrows between rooms only point down, the screen stays out of the core, and importing the package is cheap."""

import ast
import importlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Top to bottom. A file may import from its own room and from the rooms below it.
ROOMS = (
    "screen",  # app.py and pages/
    "__main__",
    "cli",
    "commands",
    "nmfdiag",  # nmfdiag/__init__.py: the public contract
    "ui",
    "views",
    "diagnosis",
    "evidence",
    "monitor",
    "bench",
    "jobs",
    "plots",
    "measures",
    "zoo",
    "networks",
    "data",
    "factorize",
    "provenance",
    "text",
    "version",
    "lazy_names",
    "errors",
)
DRAWS = ("app.py", "pages/", "nmfdiag/ui/")
MOST_LINES, MOST_FILES, LARGEST_ROOM = 400, 25, 0.2
HEAVY = ("torch", "streamlit")
NOT_ON_A_SCREEN = ("torch", "torchvision", "numba", "scipy", "sklearn")


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of all that a file imports: at its top, in functions, for types, or by a string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def room_of_file(path: str) -> str:
    parts = Path(path).with_suffix("").parts
    if parts[0] != "nmfdiag":
        return "screen"
    return "nmfdiag" if parts[1] == "__init__" else parts[1]


def room_of_name(name: str) -> str | None:
    """Return the room that a dotted import name leads into, or None where it leads out of the project."""
    parts = name.split(".")
    if parts[0] in ("app", "pages"):
        return "screen"
    if parts[0] != "nmfdiag":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "nmfdiag"


def faults(path: str, source: str) -> list[str]:
    """Return what one file, at ``path`` from the root, imports that it may not."""
    room = room_of_file(path)
    if room not in ROOMS:
        return [f"{path}: there is no room {room!r}; the rooms are {', '.join(ROOMS)}"]
    problems = []
    for line, name in imports(source):
        position, package, target = f"{path}:{line}", name.split(".")[0], room_of_name(name)
        if name.startswith("."):
            problems.append(f"{position}: relative import {name}")
        elif target and ROOMS.index(target) < ROOMS.index(room):
            problems.append(f"{position}: {room} is below {target} and imports {name}")
        elif package == "streamlit" and not path.startswith(DRAWS):
            problems.append(f"{position}: only {', '.join(DRAWS)} import streamlit")
        elif package in NOT_ON_A_SCREEN and room == "screen":
            problems.append(f"{position}: a page asks the core for results and leaves {package} to it")
    return problems


def project_files() -> list[str]:
    paths = [ROOT / "app.py", *ROOT.glob("pages/**/*.py"), *ROOT.glob("nmfdiag/**/*.py")]
    return [path.relative_to(ROOT).as_posix() for path in paths if path.is_file()]


def test_the_files_are_found() -> None:
    assert {room_of_file(path) for path in project_files()} >= {"networks", "data", "factorize", "errors"}


@pytest.mark.parametrize("path", project_files())
def test_imports_only_point_down(path: str) -> None:
    assert faults(path, (ROOT / path).read_text(encoding="utf-8")) == []


def import_graph() -> dict[str, set[str]]:
    """Return which files of the project each file imports, by dotted names."""
    names = {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in project_files()}
    graph = {}
    for name, path in names.items():
        targets = {target for _, target in imports((ROOT / path).read_text(encoding="utf-8"))}
        files = {target if target in names else target.rpartition(".")[0] for target in targets}
        graph[name] = (files & names.keys()) - {name}
    return graph


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = import_graph()
    assert set(TopologicalSorter(graph).static_order()) == set(graph)  # CycleError names the files of a circle


def test_a_circle_is_noticed() -> None:
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_files_folders_and_rooms_stay_small() -> None:
    lines = {path: (ROOT / path).read_text(encoding="utf-8").count("\n") for path in project_files()}
    rooms, folders = Counter[str](), Counter(str(Path(path).parent) for path in lines)
    for path, n_lines in lines.items():
        rooms[room_of_file(path)] += n_lines
    assert {path: n for path, n in lines.items() if n > MOST_LINES} == {}
    assert {folder: n for folder, n in folders.items() if n > MOST_FILES} == {}
    assert {room: n for room, n in rooms.items() if n > LARGEST_ROOM * sum(lines.values())} == {}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("nmfdiag/factorize/nmf.py", "from nmfdiag.networks.split import head"),
        ("nmfdiag/factorize/nmf.py", "from nmfdiag import networks"),
        ("nmfdiag/data/labels.py", "import nmfdiag.networks.layers"),
        ("nmfdiag/errors.py", "from nmfdiag.factorize import nmf"),
        ("nmfdiag/measures/auc.py", "from nmfdiag import compression_curve"),
        ("nmfdiag/measures/auc.py", "def f():\n    from nmfdiag.jobs.cache import Cache"),
        ("nmfdiag/measures/auc.py", "if TYPE_CHECKING:\n    from nmfdiag.views import figures"),
        ("nmfdiag/zoo/registry.py", "importlib.import_module('nmfdiag.measures.auc')"),
        ("nmfdiag/zoo/registry.py", "from . import recipes"),
        ("nmfdiag/commands/zoo.py", "from nmfdiag.cli import main"),
        ("nmfdiag/diagnosis/report.py", "from nmfdiag.commands.target import load_target"),
        ("nmfdiag/views/curve_figures.py", "import streamlit as st"),
        ("nmfdiag/views/curve_figures.py", "def f():\n    from streamlit.runtime import get_instance"),
        ("nmfdiag/jobs/queue.py", "__import__('streamlit')"),
        ("nmfdiag/diagnosis/report.py", "from pages.curves import draw"),
        ("pages/curves.py", "import torch"),
        ("app.py", "from torch import nn"),
        ("nmfdiag/utils.py", "import math"),
        ("nmfdiag/helpers/strings.py", ""),
    ],
)
def test_the_check_finds_what_is_wrong(path: str, line: str) -> None:
    assert len(faults(path, line)) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("app.py", "import streamlit as st\nfrom nmfdiag.ui.sidebar import sidebar"),
        ("pages/curves.py", "import streamlit as st\nimport nmfdiag"),
        ("nmfdiag/ui/sidebar.py", "import streamlit as st"),
        ("nmfdiag/cli.py", "from nmfdiag import diagnose"),
        ("nmfdiag/cli.py", "from nmfdiag.commands import zoo"),
        ("nmfdiag/commands/zoo.py", "from nmfdiag.zoo.registry import lookup"),
        ("nmfdiag/__init__.py", "from nmfdiag.diagnosis.report import to_html"),
        ("nmfdiag/jobs/cache.py", "from nmfdiag.version import __version__\nfrom nmfdiag.errors import NmfdiagError"),
        ("nmfdiag/zoo/training.py", "import torch\nfrom nmfdiag.networks.architectures import build"),
        ("nmfdiag/factorize/hals.py", "from nmfdiag.factorize.kernels import sweep"),
    ],
)
def test_the_check_lets_the_right_ones_pass(path: str, line: str) -> None:
    assert faults(path, line) == []


def heavy_after_import(module: str, folder: Path = ROOT) -> list[str]:
    """Import a module in a fresh interpreter and return which heavy packages it brought along."""
    code = f"import sys, json, {module}; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    env = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, check=False)
    assert process.returncode == 0, process.stderr
    return list(json.loads(process.stdout))


REGISTRIES = (
    "nmfdiag.data.datasets", "nmfdiag.networks.architectures", "nmfdiag.zoo.registry", "nmfdiag.zoo.recipes",
)  # fmt: skip


@pytest.mark.parametrize("module", ["nmfdiag", "nmfdiag.cli", *REGISTRIES])
def test_importing_is_cheap(module: str) -> None:
    assert heavy_after_import(module) == []


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_import_is_noticed(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text("")  # stands in for the real one, which takes seconds
    (tmp_path / "offender.py").write_text("import helper\n")
    (tmp_path / "helper.py").write_text(f"import {name}\n")
    assert heavy_after_import("offender", tmp_path) == [name]


@pytest.mark.parametrize("room", ["networks", "data", "measures.preflight", "measures.support", "networks.checkpoints"])
def test_a_room_hands_its_main_names_on_without_importing_them(room: str) -> None:
    module = importlib.import_module(f"nmfdiag.{room}")
    homes = module._HOMES.items()
    assert homes and all(
        getattr(module, name).__module__.startswith(f"nmfdiag.{room}") for name, _ in homes if name[1:2].islower()
    )
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018
    assert heavy_after_import(f"nmfdiag.{room}") == []
