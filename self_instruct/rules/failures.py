"""Turn an exception or a wrong result of a filter or validator into a drop, so that no text or plugin can end a run."""

from collections.abc import Callable
from types import NoneType
from typing import ParamSpec, TypeVar

RULE_FAILED = "rule_failed"
_MAX_MESSAGE = 200
_NAMES = {NoneType: "None"}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def guarded(name: str, rule: Callable[Arguments, Result], passed: type) -> Callable[Arguments, Result | str]:
    """Wrap a rule: if it raises an exception, return the reason `rule_failed: NAME, EXCEPTION` instead.

    A result that is neither a reason nor of the type `passed`, which a rule returns for a record that it accepts, is treated in
    the same way.
    """

    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | str:
        try:
            result = rule(*args, **kwargs)
            if not isinstance(result, (str, passed)) or result == "":
                raise TypeError(f"returned {result!r} instead of a reason or {_NAMES.get(passed, passed.__name__)}")
            return result
        except Exception as error:  # a rule of a plugin may raise anything
            message = " ".join(str(error)[:_MAX_MESSAGE].split())
            return f"{RULE_FAILED}: {name}, {type(error).__name__}{': ' if message else ''}{message}"

    return call
