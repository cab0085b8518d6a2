"""The structure of the source: imports between rooms, heavy libraries, and the length of files and functions."""

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "self_instruct"
HEAVY = {"torch", "transformers", "accelerate", "sentence_transformers", "datasets"}
OUR_FOLDERS = ("self_instruct", "instruction_io", "instruction_iio", "tests", "benchmarks")
OUTSIDE = ("benchmarks", "tests", "instruction_io", "instruction_iio", "demo_model")
"""Folders that use the package, so the package imports nothing from them."""
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
LINES = (
    ("records", "errors", "hub"),
    ("formats", "thoughts", "user_files"),
    ("config", "seeds"),
    ("engines", "novelty"),
    ("runs", "rules"),
    ("generation", "datasets"),
    ("report", "review"),
    ("commands",),
    ("entrances",),
)
"""The rooms from the lowest line up. A room imports rooms of lower lines only."""
ENTRANCES = ("__init__", "__main__", "post_processing", "refilter", "shims")


def room_of(module: str) -> str:
    """Return the room of a module by its full name; each `__main__.py` and each shim is above all rooms."""
    first = module.removeprefix("self_instruct").lstrip(".").split(".")[0] or "__init__"
    return "entrances" if first in ENTRANCES or module.endswith(".__main__") else first


@cache
def imported(path: Path) -> frozenset[str]:
    """Return the full names of the modules that a file imports anywhere, even in functions, and the imported names.

    "self_instruct" is among them only if the file can use it as a name, which gives all public names.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            names.update(alias.name.split(".")[0] for alias in node.names if alias.asname is None)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.update({node.module or ""} - {"self_instruct"})
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def target_of(name: str) -> str | None:
    """Return the room of an imported name or the folder outside the package; None if it has neither.

    A public name, such as `self_instruct.curate`, belongs to the package as a whole, which is above all rooms.
    """
    first, _, rest = name.partition(".")
    if first in OUTSIDE:
        return first
    public = first == "self_instruct" and "." not in rest and rest != "__version__"
    return room_of(name) if name in MODULES else "entrances" if public else None


def arrows(modules: Mapping[str, Path] = MODULES) -> dict[tuple[str, str], set[str]]:
    """Return the imports between rooms, and those of folders outside the package, by importing and imported room."""
    found: dict[tuple[str, str], set[str]] = {}
    for module, path in modules.items():
        for name in imported(path):
            here, there = room_of(module), target_of(name)
            if there is not None and here != there:
                found.setdefault((here, there), set()).add(f"{module} imports {name}")
    return found


def level(room: str) -> int:
    return next((number for number, rooms in enumerate(LINES) if room in rooms), len(LINES))


def points_up(arrow: tuple[str, str]) -> bool:
    """Return whether the imported room of an arrow is not on a lower line."""
    return level(arrow[1]) >= level(arrow[0])


def upward(found: Mapping[tuple[str, str], set[str]]) -> set[str]:
    """Return the imports of the arrows that point up."""
    return {name for arrow, names in found.items() if points_up(arrow) for name in names}


def cycles(found: Collection[tuple[str, str]]) -> set[frozenset[str]]:
    """Return the sets of rooms of which each reaches all others of its set by arrows."""
    reached = set(found)
    while more := {(a, d) for a, b in reached for c, d in found if b == c} - reached:
        reached |= more
    return {
        frozenset(b for a, b in reached if a == room and (b, a) in reached) for room, other in reached if room == other
    }


def summary() -> list[str]:
    """Return the numbers of rooms, arrows, cycles, files and lines, and the largest files."""
    found, rooms = arrows(), {room_of(module) for module in MODULES}
    up, circles = sum(map(points_up, found)), len(cycles(found))
    lines = [f"{len(rooms)} rooms, {len(found)} arrows, {up} arrows up, {circles} cycles of rooms"]
    for name, paths in (("self_instruct", MODULES.values()), (", ".join(OUR_FOLDERS), ours())):
        lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
        path, largest = max(lengths.items(), key=lambda item: item[1])
        total = sum(lengths.values())
        lines.append(
            f"{name}: {len(lengths)} files, {total} lines, largest {path.relative_to(ROOT)} ({largest} lines)"
        )
    return lines


def heavy(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)} & HEAVY


def loaded(code: str) -> set[str]:
    """Return the packages that a process has loaded after some code."""
    command = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.split()}


def ours() -> list[Path]:
    """Return every Python file that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *OUR_FOLDERS]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({ROOT / name for name in listed if name.endswith(".py") and (ROOT / name).is_file()})


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_every_module_belongs_to_a_room() -> None:
    rooms = {room for line in LINES for room in line}
    assert {module for module in MODULES if room_of(module) not in rooms} == set()
    assert len(list(PACKAGE.glob("*.py"))) <= 12
    assert {folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()} <= rooms | {"shims"}


def test_a_room_imports_lower_rooms_only() -> None:
    found = arrows()
    assert {("commands", "generation"), ("generation", "engines"), ("datasets", "rules")} <= found.keys()
    assert upward(found) == set()
    assert cycles(found) == set()


@pytest.mark.parametrize(
    ("line", "finds"),
    [
        ("from self_instruct import curate", True), ("import self_instruct as si", True), ("import self_instruct", True),
        ("import self_instruct.records", True), ("from self_instruct import *", True), ("import benchmarks.rouge", True),
        ("from tests.support import copies", True), ("import instruction_io", True), ("from instruction_iio import x", True),
        ("from demo_model import x", True), ("from self_instruct.generation import loop", True),
        ("from self_instruct.runs import layout", True),
        ("from self_instruct import __version__", False), ("from self_instruct import records", False),
        ("import self_instruct.records as records", False), ("from self_instruct.formats import FORMATS", False),
        ("from self_instruct.rules import fences", False), ("import json", False),
    ],
)  # fmt: skip
def test_an_import_of_a_public_name_or_of_a_folder_outside_points_upwards(
    tmp_path: Path, line: str, finds: bool
) -> None:
    file = tmp_path / "example.py"
    file.write_text(f"if True:\n    {line}\n")
    assert bool(upward(arrows({"self_instruct.rules.example": file}))) is finds


def test_cycles_of_rooms_are_found() -> None:
    found = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d"), ("f", "a")]
    assert cycles(found) == {frozenset("abc"), frozenset("de")}


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        module: set(imported(path)) & MODULES.keys() - {"self_instruct", module} for module, path in MODULES.items()
    }
    while ready := {module for module, needs in graph.items() if not needs & graph.keys()}:
        graph = {module: needs for module, needs in graph.items() if module not in ready}
    assert graph == {}


def test_light_modules_load_no_heavy_library() -> None:
    light = ("config.parser", "formats", "rules.filters", "rules.validators", "seeds", "user_files", "generation.config",
             "generation.demonstrations", "generation.prompts", "runs.journal", "runs.manifest", "__main__")  # fmt: skip
    commands = (module for module in MODULES if room_of(module) == "commands")
    names = [*(f"self_instruct.{name}" for name in light), *commands]
    assert len(names) > 20
    assert loaded("\n".join(f"import {name}" for name in names)) & (HEAVY | {"numpy", "pydantic", "jinja2"}) == set()


def test_a_whole_run_with_the_scripted_engine_could_do_without_a_model_library() -> None:
    assert loaded("import self_instruct.generation.run, self_instruct.engines.scripted") & HEAVY == set()


def test_torch_and_transformers_are_imported_by_engines_only() -> None:
    users = {module for module, path in MODULES.items() if heavy(path) & {"torch", "transformers", "accelerate"}}
    assert "self_instruct.engines.local.engine" in users
    # A tracker is accelerate's own, and needs no model.
    assert heavy(MODULES["self_instruct.generation.tracking"]) == {"accelerate"}
    assert {name for name in users if room_of(name) != "engines"} == {"self_instruct.generation.tracking"}


def test_sentence_transformers_is_imported_by_the_embedding_index_only() -> None:
    users = {module for module, path in MODULES.items() if "sentence_transformers" in heavy(path)}
    assert users == {"self_instruct.novelty.embedding"}


def test_only_commands_print() -> None:
    printing = set()
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text if "print" in text else "")):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                printing.add(room_of(module))
    assert printing == {"commands"}


def test_tests_mirror_the_rooms() -> None:
    files = [path.relative_to(ROOT / "tests") for path in ours() if path.name.startswith("test_")]
    placed = [path for path in files if len(path.parts) > 1 and path.parts[0] not in ("e2e", "gpu")]
    names = {room: {path.stem for path in (PACKAGE / room).iterdir()} for room in {path.parts[0] for path in placed}}
    assert {"engines", "runs"} <= names.keys() <= {room for rooms in LINES for room in rooms}
    stems = {path: path.stem.removeprefix("test_") for path in placed}
    strange = [
        path
        for path, stem in stems.items()
        if len(path.parts) > 2 or not any(stem == name or stem.startswith(f"{name}_") for name in names[path.parts[0]])
    ]
    assert strange == [], "tests/ROOM/test_NAME.py begins with the name of a module or folder of that room"


def test_no_file_and_no_function_is_too_long_to_read() -> None:
    files = ours()
    assert {PACKAGE / "generation" / "loop.py", Path(__file__).resolve()} <= set(files)
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > 500} == {}
    assert {name: lines for path in files for name, lines in functions(path) if lines > 60} == {}


if __name__ == "__main__":
    for (here, there), names in sorted(arrows().items(), key=lambda arrow: (-level(arrow[0][0]), arrow)):
        print(f"{here:<12} -> {there:<12} {len(names):>4} imports{'   UP' if points_up((here, there)) else ''}")
    print(*summary(), sep="\n")
