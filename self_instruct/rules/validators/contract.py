"""The contract of validators."""

from collections.abc import Callable, Mapping

from self_instruct.records import Record

Variables = Mapping[str, str]
"""What the request of a record was composed with, by name: topic, language, letter, plain_format, ..."""

Validator = Callable[[Record, Variables], Record | str]
"""Gives the record, as it is or mended, or the reason why it is none: `reason` or `reason: detail`."""


def is_set(variables: Variables, name: str) -> bool:
    """Whether a variable is there and does not say no."""
    return variables.get(name, "").strip().lower() not in ("", "0", "no", "false", "none", "off")
