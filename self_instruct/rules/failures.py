"""Turn an exception of a filter or validator into a drop, so that no text can end a run."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

RULE_FAILED = "rule_failed"
_MAX_MESSAGE = 200

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def guarded(name: str, rule: Callable[Arguments, Result]) -> Callable[Arguments, Result | str]:
    """Wrap a rule: if it raises an exception, return the reason `rule_failed: NAME, EXCEPTION` instead."""

    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result | str:
        try:
            return rule(*args, **kwargs)
        except Exception as error:  # a rule of a plugin may raise anything
            message = " ".join(str(error)[:_MAX_MESSAGE].split())
            return f"{RULE_FAILED}: {name}, {type(error).__name__}{': ' if message else ''}{message}"

    return call
