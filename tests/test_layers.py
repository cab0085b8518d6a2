"""The shape of the source: which layer imports what, where heavy libraries may stand, and how long things are."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "self_instruct"
HEAVY = {"torch", "transformers", "accelerate", "sentence_transformers", "datasets"}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
OUR_FOLDERS = ("self_instruct", "instruction_io", "instruction_iio", "tools", "tests", "benchmarks")
COMMANDS = (
    "refilter", "explain", "consistency", "judge", "post_processing", "status", "topics",
    "datasets.__main__", "datasets.convert", "datasets.merge", "datasets.decontaminate", "report.__main__",
    "datasets.card",
    "datasets.clean", "datasets.lint",
)  # fmt: skip
TOP = (
    *COMMANDS, "cli", "launch", "consistency_plan", "earlier", "assembly", "generators", "curating", "inquiry",
    "judge_plan", "report", "datasets.history", "datasets.run_steps",
    "datasets.file_steps", "recipes", "mixture", "overwriting", "topic_recipe",
)  # fmt: skip


def ours() -> list[Path]:
    """Every Python file that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *OUR_FOLDERS]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({ROOT / name for name in listed if name.endswith(".py") and (ROOT / name).is_file()})


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere, also inside functions; and what it takes from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def heavy(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)} & HEAVY


def layers(path: Path) -> set[str]:
    """Which of our modules a file imports, without the name of the package."""
    return {name.removeprefix("self_instruct.") for name in imported(path) & set(MODULES) - {"self_instruct"}}


def loaded(module: str, code: str = "") -> set[str]:
    script = f"import sys, {module}\n{code}\nprint(*sys.modules)"
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize(
    "module",
    [*COMMANDS, "config", "arguments", "cli", "formats", "filters", "seeds", "jsonl", "demonstrations", "prompts", "journal",
     "manifest", "presets", "validators"],
)  # fmt: skip
def test_light_modules_load_no_heavy_library(module: str) -> None:
    assert loaded(f"self_instruct.{module}") & (HEAVY | {"numpy"}) == set()


def test_a_whole_run_with_the_scripted_engine_could_do_without_a_model_library() -> None:
    assert loaded("self_instruct.launch", "import self_instruct.engines.scripted") & HEAVY == set()


def test_torch_and_transformers_are_imported_by_engines_and_distributed_only() -> None:
    users = {name for name, path in MODULES.items() if heavy(path) & {"torch", "transformers", "accelerate"}}
    assert "self_instruct.engines.huggingface" in users
    # A tracker is accelerate's own, and needs no model.
    assert heavy(MODULES["self_instruct.tracking"]) == {"accelerate"}
    allowed = ("self_instruct.engines.", "self_instruct.distributed", "self_instruct.tracking")
    assert {name for name in users if not name.startswith(allowed)} == set()


def test_sentence_transformers_is_imported_by_the_embedding_index_only() -> None:
    users = {name for name, path in MODULES.items() if "sentence_transformers" in heavy(path)}
    assert users == {"self_instruct.novelty.embedding"}


@pytest.mark.parametrize("name", [name for name in MODULES if name.count(".")])
def test_nothing_imports_a_higher_layer(name: str) -> None:
    own, found = name.removeprefix("self_instruct."), layers(MODULES[name])
    if own.split(".")[0] in ("filters", "novelty", "formats", "demonstrations", "records", "jsonl", "errors"):
        assert found & {"config", "arguments", "loop", "journal", "writer", "engines", "curation", *TOP} == set()
    if not {own, own.split(".")[0]} & set(TOP):
        assert found & set(TOP) == set()
    if not {own, own.split(".")[0]} & {*TOP, "arguments", "manifest", "config"}:
        assert {layer for layer in found if layer.split(".")[0] in ("config", "arguments")} == set()
    if own.startswith("engines"):
        assert {layer for layer in found if not layer.startswith("engines")} <= {"errors", "jsonl", "records"}


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {name.removeprefix("self_instruct."): layers(path) for name, path in MODULES.items() if name.count(".")}
    while ready := {name for name, needs in graph.items() if not needs & set(graph) - {name}}:
        graph = {name: needs for name, needs in graph.items() if name not in ready}
    assert graph == {}


def test_only_what_talks_to_people_prints() -> None:
    printing = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                printing.add(name.removeprefix("self_instruct."))
    assert printing <= {"cli", "launch", "overwriting", *COMMANDS}
    assert "cli" in printing


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def test_no_file_and_no_function_is_too_long_to_read() -> None:
    files = ours()
    assert {PACKAGE / "loop.py", Path(__file__).resolve()} <= set(files)
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}
    assert {name: lines for path in files for name, lines in functions(path) if lines > 60} == {}
