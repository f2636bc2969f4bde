"""The structure: imports point one way, between folders and between files, and no file is in the wrong place.

Every import counts, those inside functions too: a lazy import hides a cycle from Python and not from a reader.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the ground up: a room imports from the levels below its own, and never from a room beside it.
LEVELS = (
    {"errors"},
    {"config"},
    {"data", "checkpoints", "distributed"},
    {"layers"},
    {"models", "weights"},
    {"recipes", "runs"},
    {"training", "generation"},
    {"inspection"},
    {"evaluation"},
    {"stages"},
    {"parity", "bench"},
    {"library"},
    {"cli"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name; a folder's `__init__` has the folder's."""
    files = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return dict(zip(names, files, strict=True))


@cache
def imports(package: str) -> dict[str, frozenset[str]]:
    """What each module of a package imports of the same package, by full name."""
    known = modules(package)

    def found(tree: ast.AST) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in known else node.module

    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in known.items()}
    return {name: frozenset({each for each in found(tree) if each in known} - {name}) for name, tree in trees.items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_a_room_imports_only_from_below() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, others in imports("jaxdec").items()
        for other in others
        if room(name) != room(other) and room(name) and LEVEL[room(name)] <= LEVEL[room(other)]
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ["jaxdec", "torchref"])
def test_no_circle_of_files(package: str) -> None:
    try:
        TopologicalSorter(imports(package)).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", ["jaxdec", "torchref"])
def test_no_circle_of_folders(package: str) -> None:
    """Folders at every depth: what lies in a folder is taken together and compared with the folders beside it."""
    for folder in {path.parent for path in modules(package).values()}:
        parts = folder.relative_to(ROOT).parts
        prefix, depth = ".".join(parts) + ".", len(parts)
        graph: dict[str, set[str]] = {}
        for name, others in imports(package).items():
            for other in others:
                if name.startswith(prefix) and other.startswith(prefix):
                    ours, theirs = name.split(".")[depth], other.split(".")[depth]
                    if ours != theirs:
                        graph.setdefault(ours, set()).add(theirs)
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            pytest.fail(f"in {folder.relative_to(ROOT)}: " + " -> ".join(error.args[1]))


def test_torchref_imports_nothing_of_jaxdec_but_configs() -> None:
    for path in modules("torchref").values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxdec"):
                assert (node.module or "").startswith(("jaxdec.config", "jaxdec.errors")), f"{path}: {node.module}"


def test_the_package_imports_no_tests() -> None:
    """What the package does, it does from a wheel, where no tests are."""
    for path in modules("jaxdec").values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("tests", "parity_tests") for name in names), path


def test_nothing_lies_loose() -> None:
    loose = {path.name for path in (ROOT / "jaxdec").iterdir() if path.is_file()}
    assert loose == {"__init__.py", "errors.py"}
    assert set(LEVEL) == {room(name) for name in modules("jaxdec")} - {""}


def test_the_walk_finds_what_is_there() -> None:
    """The walk itself: an import inside a function, of a module by name, and a circle are seen."""
    graph = imports("jaxdec")
    assert "jaxdec.training.loop" in graph["jaxdec.bench.train"]
    assert any("jaxdec.parity.check" in others for name, others in graph.items() if name.startswith("jaxdec.cli"))
    with pytest.raises(CycleError):
        TopologicalSorter(graph | {"jaxdec.errors": frozenset({"jaxdec.cli.main"})}).prepare()
