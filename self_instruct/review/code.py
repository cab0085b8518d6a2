"""Find the Python code of an answer, extract its signatures, parse the tests that a model wrote, and make mutants.

Code is only parsed here, never run.
"""

import ast
import copy
import re
import sys
from collections.abc import Iterator
from contextlib import suppress

from self_instruct.datasets.fences import pieces
from self_instruct.records import Record
from self_instruct.rules.python_source import parsed

_PYTHON_TAGS = ("", "python", "python3", "py", "py3")
_NAMES_PYTHON = re.compile(r"\bpython\b", re.IGNORECASE)
_STATEMENT = re.compile(r"assert\b|import\b|from\b")
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add,
    ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def wants_python(record: Record) -> bool:
    """Return whether the task mentions Python."""
    return _NAMES_PYTHON.search(record.task) is not None


def code_of(output: str) -> str | None:
    """Return the first fenced Python block that defines a function or class, or the whole answer if it does; else None."""
    blocks = list(_blocks(output))
    return next((code for code in (blocks or [output]) if _definitions(parsed(code))), None)


def signatures(code: str) -> str:
    """Return the first lines of the functions, classes and methods that the code defines, without bodies."""
    lines = []
    for node in _definitions(parsed(code)):
        lines.append(_head(node))
        if isinstance(node, ast.ClassDef):
            lines += [f"    {_head(part)}" for part in node.body if isinstance(part, ast.FunctionDef)]
    return "\n".join(lines)


def parse_tests(text: str, code: str, limit: int) -> list[str]:
    """Return at most `limit` tests from a text: asserts that use a name defined by the code, and test functions with asserts.

    Each test begins with all earlier imports of the standard library and assignments. Lines that do not parse are ignored.
    """
    names, tests, before = {node.name for node in _definitions(parsed(code))}, list[str](), list[str]()
    for node in _statements(text):
        if isinstance(node, ast.Assert) and _uses(node, names):
            tests.append("\n".join([*before, ast.unparse(node)]))
        elif isinstance(node, ast.FunctionDef) and node.name not in names and _is_test(node, names):
            tests.append("\n".join([*before, ast.unparse(node), f"{node.name}()"]))
        elif isinstance(node, ast.Assign | ast.AnnAssign) or _imports_library(node):
            before.append(ast.unparse(node))
        if len(tests) == limit:
            break
    return tests


def emptied(code: str) -> str:
    """Return the code with the body of every function replaced by `pass`."""
    tree = parsed(code)
    assert tree is not None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return ast.unparse(tree)


def mutants(code: str, limit: int) -> list[str]:
    """Return at most `limit` copies of the code, each with one change: of an operator, a condition, a constant or a result.

    The changes are spread evenly over the code.
    """
    tree = parsed(code)
    assert tree is not None
    sites = list(_sites(tree))
    chosen = {index * len(sites) // min(limit, len(sites)) for index in range(min(limit, len(sites)))}
    original, found = ast.unparse(tree), list[str]()
    for index in sorted(chosen):
        node = sites[index]
        before = dict(vars(node))
        _mutate(node)
        with suppress(ValueError):  # the larger number has more digits than Python writes
            found.append(ast.unparse(tree))
        vars(node).update(before)
    return [text for text in dict.fromkeys(found) if text != original]


def _blocks(output: str) -> Iterator[str]:
    for piece in pieces(output):
        if piece.is_code:
            first, *lines = piece.text.splitlines()
            if first.strip().lstrip("-*+`~0123456789.) ").strip().lower() in _PYTHON_TAGS:
                yield "\n".join(lines[:-1] if piece.closed else lines)


def _definitions(tree: ast.Module | None) -> list[_Definition]:
    return [node for node in tree.body if isinstance(node, _Definition)] if tree is not None else []


def _head(node: ast.AST) -> str:
    shown = copy.copy(node)
    assert isinstance(shown, _Definition)
    shown.body, shown.decorator_list = [ast.Expr(ast.Constant(...))], []
    return ast.unparse(shown).split("\n")[0]


def _statements(text: str) -> list[ast.stmt]:
    """Return the statements of a text or its fenced blocks; if these do not parse as a whole, those of single lines."""
    source = "\n".join(_blocks(text)) or text
    tree = parsed(source)
    if tree is not None:
        return tree.body
    lines = (line for line in source.splitlines() if _STATEMENT.match(line))
    return [node for line in lines if (tree := parsed(line)) is not None for node in tree.body]


def _uses(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))


def _is_test(node: ast.FunctionDef, names: set[str]) -> bool:
    arguments = node.args
    takes = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    asserts = any(isinstance(part, ast.Assert) for part in ast.walk(node))
    return node.name.startswith("test") and not takes and asserts and _uses(node, names)


def _imports_library(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in sys.stdlib_module_names


def _sites(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of functions and classes that `_mutate` changes, in a fixed order."""
    for definition in _definitions(tree):
        texts = {id(node.value) for node in ast.walk(definition) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(definition):
            if (
                (isinstance(node, ast.Return) and not _is_none(node.value))
                or (
                    isinstance(node, ast.Constant)
                    and isinstance(node.value, int | float | str)
                    and id(node) not in texts
                )
                or (isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED)
                or (isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in _SWAPPED)
                or isinstance(node, ast.If | ast.IfExp | ast.While)
            ):
                yield node


def _mutate(node: ast.AST) -> None:
    if isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    elif isinstance(node, ast.Constant):
        node.value = _other(node.value)
    elif isinstance(node, ast.Compare):
        node.ops = [_SWAPPED[type(node.ops[0])](), *node.ops[1:]]  # type: ignore[list-item]
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        node.op = _SWAPPED[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)


def _other(value: object) -> bool | float | str:
    if isinstance(value, bool):
        return not value
    return f"{value}x" if isinstance(value, str) else value + 1  # type: ignore[operator]


def _is_none(node: ast.AST | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)
