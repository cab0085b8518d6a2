"""Build a validator from the name and parameters in a user's category file, and report mistakes in them."""

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from self_instruct.errors import UserError

Made = TypeVar("Made")


def checked(name: str, parameters: Mapping[str, Any], makers: Mapping[str, Callable[..., Made]]) -> Made:
    """Call the function `makers[name]` with the parameters, after checking them against its signature.

    Raises UserError for an unknown name or parameter (with the most similar one), for a value of the wrong type, and if the
    function raises ValueError.
    """
    if name not in makers:
        raise UserError(
            f"validator {name!r} is unknown{_nearest(name, makers)}; the validators are {', '.join(makers)}"
        )
    maker = makers[name]
    kinds = typing.get_type_hints(maker)
    known = list(inspect.signature(maker).parameters)
    for key, value in parameters.items():
        if key not in known:
            hint = f"its parameters are {', '.join(known)}" if known else "it has no parameters"
            raise UserError(f"validator {name}: unknown parameter {key!r}{_nearest(str(key), known)}; {hint}")
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
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", types.NoneType: "null"}
    return names[kind]


def _nearest(word: str, names: Any) -> str:
    close = difflib.get_close_matches(word, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""
