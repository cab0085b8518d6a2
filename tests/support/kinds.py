"""Sorting tests by what they need: `e2e` for those that can start a process, a server or a browser.

A test is of this kind if it lies in `tests/e2e`, or if its code names one of the things below: in its own body, in that of a
fixture it uses, or in that of a function or class of `tests` which these name.
"""

import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

STARTING_MODULES = {"subprocess", "multiprocessing", "pty", "selenium", "http", "socketserver", "uvicorn"}
STARTING_NAMES = {"fork", "spawn", "posix_spawn", "Popen", "start_server", "create_server"}


CODE = (types.FunctionType, types.ModuleType, type)


@cache
def starts_processes(*functions: Callable[..., Any]) -> bool:
    """Return whether one of these functions reaches code that starts a process, a server or a browser."""
    return any(name.split(".")[0] in STARTING_MODULES or name in STARTING_NAMES for name in _reached(functions))


def _reached(functions: tuple[Callable[..., Any], ...]) -> Iterator[str]:
    """Yield every name that functions use, and those that functions of `tests` use which they name in turn."""
    seen: set[int] = set()
    waiting: list[Any] = list(functions)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, types.ModuleType):
            yield thing.__name__
        elif isinstance(thing, type):
            if thing.__module__.startswith("tests."):
                waiting += [*thing.__mro__[1:], *(getattr(part, "__func__", part) for part in vars(thing).values())]
            else:
                yield thing.__module__
        elif isinstance(thing, types.FunctionType):
            inner = getattr(getattr(thing, "hypothesis", None), "inner_test", getattr(thing, "__wrapped__", thing))
            if inner.__module__.startswith("tests."):
                names = _names(inner.__code__)
                yield from names
                waiting += [inner.__globals__[name] for name in names if name in inner.__globals__]
                waiting += [cell.cell_contents for cell in inner.__closure__ or () if _filled(cell)]
            else:
                yield inner.__module__


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


@cache
def _names(code: types.CodeType) -> frozenset[str]:
    """Return the names that a function's code uses, including nested functions and classes."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return frozenset(code.co_names).union(*map(_names, inner))
