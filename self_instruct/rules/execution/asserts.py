"""Parse the tests that a model wrote: Python asserts that use the solution. They are only parsed here, never run."""

import ast
import re
import sys
from collections.abc import Sequence

from self_instruct.rules.fences import blocks
from self_instruct.rules.python_source import parsed

TAGS = ("", "python", "python3", "py", "py3")
"""The tags of fenced blocks with Python code."""
_STATEMENT = re.compile(r"assert\b|import\b|from\b")


def parse_tests(text: str, names: set[str], limit: int) -> list[str]:
    """Return at most `limit` tests from a text: asserts that use one of the names, and test functions with asserts.

    Each test begins with all earlier imports of the standard library and assignments. Lines that do not parse are ignored.
    """
    tests, before = list[str](), list[str]()
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


def with_name(tests: Sequence[str], names: set[str], others: set[str]) -> list[str]:
    """Return tests for code that defines `others`, made from tests for code that defines `names`.

    If they use one name, and the code defines only one, which is another, they use that one. Else they stay as they are.
    """
    trees = [parsed(test) for test in tests]
    used = {name for tree in trees if tree is not None for name in names if _uses(tree, {name})}
    if len(used) != 1 or len(others) != 1 or used == others or None in trees:
        return list(tests)
    ((old,), (new,)) = used, others
    for tree in trees:
        for node in ast.walk(tree or ast.Module([], [])):
            if isinstance(node, ast.Name) and node.id == old:
                node.id = new
    return [ast.unparse(tree) for tree in trees if tree is not None]


def _statements(text: str) -> list[ast.stmt]:
    """Return the statements of a text or its fenced blocks; if these do not parse as a whole, those of single lines."""
    source = "\n".join(code for tag, code in blocks(text) if tag in TAGS) or text
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
