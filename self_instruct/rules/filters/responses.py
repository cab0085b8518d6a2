"""Reject outputs that match a pattern of a YAML file. Each pattern has examples, which test it:

- name: speaks_as_ai
  pattern: "as an? (?:ai|language model)"
  drops: ["As an AI, I cannot say."]
  keeps: ["He worked as an aide."]          # optional
  at_start: false                           # optional, like any_case (default true)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.rules.filters.patterns import compile_pattern, search

_KEYS = {"name": str, "pattern": str, "drops": list, "keeps": list, "at_start": bool, "any_case": bool}
_REQUIRED = ("name", "pattern", "drops")
_OPTION = "--response_filters_path"


@dataclass(frozen=True)
class ResponsePattern:
    """A compiled and tested pattern. `place` is its position in the file, for messages."""

    name: str
    pattern: Any
    place: str

    def found_in(self, text: str) -> str | None:
        """Return the matching part of a text, or None."""
        return search(self.pattern, text, self.place)


def drop_responses(path: str | None) -> Callable[[Record], str | None]:
    """Reject with `response` if a pattern of the file matches the output; None accepts all.

    The detail is the name of the first such pattern and the matching words.
    """
    patterns = read_patterns(Path(path)) if path is not None else []

    def rule(record: Record) -> str | None:
        for item in patterns:
            words = item.found_in(record.output)
            if words is not None:
                return f"response: {item.name} ({' '.join(words.split())[:80]})"
        return None

    return rule


def read_patterns(path: Path) -> list[ResponsePattern]:
    """Return the patterns of a file in order.

    Raises UserError, which names the file and the pattern, for a mistake in the file and for a pattern that misses one of its
    `drops` or matches one of its `keeps`. Without these examples, a pattern that never matches would go unnoticed.
    """
    from self_instruct.user_files import load_yaml, regular_bytes

    try:
        content = load_yaml(regular_bytes(path).decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"{_OPTION} {path}: cannot be read ({error.strerror}); give a YAML file of patterns") from None
    except ValueError as error:
        raise UserError(f"{path}: is not YAML: {str(error)[:300]}") from None
    if not isinstance(content, list) or not content:
        raise UserError(f"{path}: must hold a list of patterns, each with {', '.join(_REQUIRED)}")
    found = [_pattern(item, f"{path}[{at}]") for at, item in enumerate(content)]
    names = [item.name for item in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path}: two patterns are named {twice}; give each its own name")
    return found


def _pattern(item: Any, place: str) -> ResponsePattern:
    if not isinstance(item, dict):
        raise UserError(f"{place}: is {item!r}, but must have {', '.join(_REQUIRED)}")
    for key, value in item.items():
        if key not in _KEYS:
            raise UserError(f"{place}: unknown key {key!r}; the keys are {', '.join(_KEYS)}")
        texts = value if isinstance(value, list) else []
        if (
            not isinstance(value, _KEYS[key])
            or (value in ("", []) and key in _REQUIRED)
            or not all(isinstance(text, str) for text in texts)
        ):
            raise UserError(f"{place}: {key} is {value!r}, but must be {_description(_KEYS[key])}")
    missing = [key for key in _REQUIRED if key not in item]
    if missing:
        raise UserError(
            f"{place}: {missing[0]} is missing; drops lists at least one example that the pattern must find"
        )
    named = f"{place} ({item['name']})"
    text = rf"\A\W*(?:{item['pattern']})" if item.get("at_start") else item["pattern"]
    pattern = ResponsePattern(item["name"], compile_pattern(text, named, item.get("any_case", True)), named)
    try:
        _check_examples(pattern, item)
    except TimeoutError as error:
        raise UserError(f"{error}, which is one of its examples; simplify the pattern") from None
    return pattern


def _check_examples(pattern: ResponsePattern, item: dict[str, Any]) -> None:
    for example in item["drops"]:
        if pattern.found_in(example) is None:
            raise UserError(
                f"{pattern.place}: the pattern does not find its own example {example!r}; correct one of them"
            )
    for example in item.get("keeps", []):
        if (words := pattern.found_in(example)) is not None:
            raise UserError(
                f"{pattern.place}: the pattern finds {words!r} in {example!r}, which it should keep; correct one of them"
            )


def _description(kind: type) -> str:
    return {str: "a text", list: "a list of texts", bool: "true or false"}[kind]
