"""Make a validator from a name and parameters that a user wrote, with a helpful message for each mistake."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from self_instruct.errors import UserError

Made = TypeVar("Made")


def checked(name: str, parameters: Mapping[str, Any], makers: Mapping[str, Callable[..., Made]]) -> Made:
    """Call the maker of that name with the parameters, checked against its signature.

    Raises UserError for an unknown name or parameter (with the most similar one), for a value of another type, and for one that
    the maker refuses with ValueError.
    """
    if name not in makers:
        raise UserError(f"validator {name!r} is unknown{_nearest(name, makers)}; there are {', '.join(makers)}")
    maker = makers[name]
    kinds = typing.get_type_hints(maker)
    known = [key for key in inspect.signature(maker).parameters]
    for key, value in parameters.items():
        if key not in known:
            there = f"it has {', '.join(known)}" if known else "it takes none"
            raise UserError(f"validator {name}: unknown parameter {key!r}{_nearest(str(key), known)}; {there}")
        if not _fits(value, kinds[key]):
            raise UserError(f"validator {name}: {key} is {value!r}, but must be {_described(kinds[key])}")
    try:
        return maker(**parameters)
    except ValueError as error:
        raise UserError(f"validator {name}: {error}") from None


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, typing.get_args(kind)[0]) for item in value)
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, (int, float)) if kind is float else isinstance(value, kind)


def _described(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_described(part) for part in typing.get_args(kind))
    if typing.get_origin(kind) is list:
        return "a list of texts"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", types.NoneType: "nothing"}
    return names[kind]


def _nearest(word: str, names: Any) -> str:
    close = difflib.get_close_matches(word, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
