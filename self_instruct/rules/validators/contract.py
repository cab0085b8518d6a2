"""The types that every validator uses."""

from collections.abc import Callable, Mapping

from self_instruct.records import Record

Variables = Mapping[str, str]
"""The variables of a record's request by name: topic, language, letter, plain_format, ..."""

Validator = Callable[[Record, Variables], Record | str]
"""Returns the record, possibly corrected, or the reason to reject it: `reason` or `reason: detail`."""


def is_set(variables: Variables, name: str) -> bool:
    """Return whether a variable has a value other than "no", "false", "none", "off" or 0."""
    return variables.get(name, "").strip().lower() not in ("", "0", "no", "false", "none", "off")
