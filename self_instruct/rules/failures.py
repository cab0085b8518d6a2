"""A rule that raises an exception on a text drops the record: no text may end a run."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

RULE_FAILED = "rule_failed"
_LONGEST = 200

Arguments = ParamSpec("Arguments")
Found = TypeVar("Found")


def guarded(name: str, rule: Callable[Arguments, Found]) -> Callable[Arguments, Found | str]:
    """Return the rule with `rule_failed`, its name and the exception as its reason where it would raise one."""

    def asked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Found | str:
        try:
            return rule(*args, **kwargs)
        except Exception as error:  # a rule of a plugin may raise anything
            said = " ".join(str(error)[:_LONGEST].split())
            return f"{RULE_FAILED}: {name}, {type(error).__name__}{': ' if said else ''}{said}"

    return asked
