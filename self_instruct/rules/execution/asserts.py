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
    A repeated test counts once, and asserts that contradict each other, by other results of the same call, do not count.
    """
    tests, before = list[str](), list[str]()
    statements = _statements(text)
    wrong = _contradicted(statements)
    for node in statements:
        if isinstance(node, ast.Assert) and _uses(node, names):
            test = "\n".join([*before, ast.unparse(node)])
            if test not in tests and (*before, _claim(node)[0]) not in wrong:
                tests.append(test)
        elif isinstance(node, ast.FunctionDef) and node.name not in names and _is_test(node, names):
            tests.append("\n".join([*before, ast.unparse(node), f"{node.name}()"]))
        elif _goes_before(node):
            before.append(ast.unparse(node))
        if len(tests) == limit:
            break
    return tests


def _contradicted(statements: Sequence[ast.stmt]) -> set[tuple[str, ...]]:
    """Return the calls for which asserts state different results, each behind the assignments before it."""
    results, before = dict[tuple[str, ...], set[str]](), list[str]()
    for node in statements:
        if isinstance(node, ast.Assert):
            call, result = _claim(node)
            results.setdefault((*before, call), set()).add(result)
        elif _goes_before(node):
            before.append(ast.unparse(node))
    return {call for call, found in results.items() if len(found) > 1}


def _claim(node: ast.Assert) -> tuple[str, str]:
    """Return what an assert evaluates and the result that it states."""
    test = node.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
        return ast.unparse(test.left), ast.unparse(test.comparators[0])
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return ast.unparse(test.operand), "False"
    return ast.unparse(test), "True"


def _goes_before(node: ast.stmt) -> bool:
    """Return whether a statement is repeated before each later test."""
    return isinstance(node, ast.Assign | ast.AnnAssign) or _imports_library(node)


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
