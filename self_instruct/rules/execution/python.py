"""Python answers: find their code, extract its signatures, and make mutants. Code is only parsed here, never run."""

import ast
import copy
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache

from self_instruct.rules.execution.asserts import TAGS
from self_instruct.rules.execution.mutation import spread
from self_instruct.rules.fences import blocks
from self_instruct.rules.python_source import parsed

_NAMES_PYTHON = re.compile(r"\bpython\b", re.IGNORECASE)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn,
    ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add,
    ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip

EXAMPLES = (
    ("Write a Python function that returns the average of a list of numbers, and 0 for an empty list.",
     "def average(numbers):",
     "assert average([2, 4]) == 3\nassert average([]) == 0\nassert average([5]) == 5\nassert average([-1, 1, 3]) == 1"),
    ("Implement count_vowels(text) in Python; upper and lower case both count.",
     "def count_vowels(text: str) -> int:",
     "assert count_vowels('banana') == 3\nassert count_vowels('') == 0\nassert count_vowels('SKY') == 0\n"
     "assert count_vowels('AEiou') == 5"),
    ("Write a class Stack in Python with push, pop and size. pop returns None if the stack is empty.",
     "class Stack:\n    def __init__(self):\n    def push(self, item):\n    def pop(self):\n    def size(self):",
     "def test_order():\n    stack = Stack()\n    stack.push(1)\n    stack.push(2)\n    assert stack.size() == 2\n"
     "    assert stack.pop() == 2\n    assert stack.pop() == 1\nassert Stack().pop() is None\nassert Stack().size() == 0"),
)  # fmt: skip
"""The demonstrations: tasks, signatures and tests."""


def wants(task: str) -> bool:
    """Return whether a task mentions Python."""
    return _NAMES_PYTHON.search(task) is not None


@lru_cache(64)  # a candidate is asked about several times
def code_of(task: str, output: str) -> str | None:
    """Return the first fenced Python block that defines a function or class, or the whole answer if it does; else None."""
    found = [code for tag, code in blocks(output) if tag in TAGS]
    return next((code for code in (found or [output]) if _definitions(parsed(code))), None)


def signatures(code: str) -> str:
    """Return the first lines of the functions, classes and methods that the code defines, without bodies."""
    lines = []
    for node in _definitions(parsed(code)):
        lines.append(_head(node))
        if isinstance(node, ast.ClassDef):
            lines += [f"    {_head(part)}" for part in node.body if isinstance(part, ast.FunctionDef)]
    return "\n".join(lines)


@lru_cache(64)
def names(code: str) -> set[str]:
    """Return the names of the functions and classes that the code defines."""
    return {node.name for node in _definitions(parsed(code))}


def module(code: str) -> str:
    """Return the code: it defines its names itself."""
    return code


def trivial(code: str) -> list[str]:
    """Return the code with empty functions."""
    return [emptied(code)]


def emptied(code: str) -> str:
    """Return the code with the body of every function replaced by `pass`."""
    tree = _without_examples(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Pass()]
    return ast.unparse(tree)


def mutants(code: str, limit: int) -> list[str]:
    """Return at most `limit` copies of the code, each with one change: of an operator, a condition, a constant or a result.

    The changes are spread evenly over the code.
    """
    tree = _without_examples(code)
    sites = list(_sites(tree))
    original, found = ast.unparse(tree), list[str]()
    for index in spread(len(sites), limit):
        node = sites[index]
        before = dict(vars(node))
        _mutate(node)
        with suppress(ValueError):  # the larger number has more digits than Python writes
            found.append(ast.unparse(tree))
        vars(node).update(before)
    return [text for text in dict.fromkeys(found) if text != original]


def _definitions(tree: ast.Module | None) -> list[_Definition]:
    return [node for node in tree.body if isinstance(node, _Definition)] if tree is not None else []


def _without_examples(code: str) -> ast.Module:
    """Parse code, and leave out the statements beside its definitions that use them, such as calls with printed results.

    They would end a changed copy with an error before any test has run. Variables that the definitions need stay.
    """
    tree = parsed(code)
    assert tree is not None
    left_out, kept = set(names(code)), list[ast.stmt]()
    needed = {name for node in _definitions(tree) for name in _read(node) - _bound(node)}
    for node in tree.body:
        if isinstance(node, _Definition) or not _read(node) & left_out or _bound(node) & needed:
            kept.append(node)
        else:
            left_out |= _bound(node)
    tree.body = kept
    return tree


def _read(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


def _bound(node: ast.AST) -> set[str]:
    """Return the variables that a statement assigns, or the parameters and local variables of a definition."""
    parts = list(ast.walk(node))
    assigned = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return assigned | {part.arg for part in parts if isinstance(part, ast.arg)}


def _head(node: ast.AST) -> str:
    shown = copy.copy(node)
    assert isinstance(shown, _Definition)
    shown.body, shown.decorator_list = [ast.Expr(ast.Constant(...))], []
    return ast.unparse(shown).split("\n")[0]


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
