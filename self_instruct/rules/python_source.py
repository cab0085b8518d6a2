"""Check whether a text is valid Python by parsing it with `ast`; it is never compiled or run.

The parser needs linear time and memory in the length of a text, except that CPython 3.11 needs quadratic time for a dotted name
in an import. The compiler is not used, because the code that it makes for nested `finally` blocks grows exponentially.
"""

import ast
import re
import warnings

_MAX_CHARACTERS = 200_000
_MAX_DEPTH = 100  # `ast.unparse` takes up to seven of Python's 1000 stack frames for each level
_LONG_DOTTED_NAME = re.compile(r"(?:\.[\s\\]*+\w++[\s\\]*+){500}")


def syntax_error(code: str) -> str | None:
    """Return why a text is not valid Python for the running version, or None.

    A text of over 200,000 characters or with a dotted name of over 500 parts counts as invalid and is not parsed.
    """
    result = _parse(code)
    return result if isinstance(result, str) else None


def parsed(code: str) -> ast.Module | None:
    """Return the syntax tree of a text, or None if it is not valid Python, or `ast.unparse` cannot write it.

    That is so if it is nested too deeply, or holds a hexadecimal number too large for a decimal one.
    """
    result = _parse(code)
    if not isinstance(result, ast.Module) or _too_deep(result):
        return None
    try:
        ast.unparse(result)
    except ValueError:
        return None
    return result


def _too_deep(tree: ast.AST) -> bool:
    """Return whether a tree has over `_MAX_DEPTH` levels. The branches of one `if` are on the same level."""
    level: list[ast.AST] = [tree]
    for _ in range(_MAX_DEPTH):
        below: list[ast.AST] = []
        for node in level:
            branch = node
            while isinstance(branch, ast.If) and len(branch.orelse) == 1:
                below += [branch.test, *branch.body]
                branch = branch.orelse[0]
            below += ast.iter_child_nodes(branch)
        if not below:
            return False
        level = below
    return True


def _parse(code: str) -> ast.Module | str:
    """Return the syntax tree of a text, or why it cannot be parsed."""
    if len(code) > _MAX_CHARACTERS:
        return f"over {_MAX_CHARACTERS:,} characters"
    if _LONG_DOTTED_NAME.search(code):
        return "a name has over 500 parts"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # generated code may contain "\\d" and the like
            return ast.parse(code)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return type(error).__name__
