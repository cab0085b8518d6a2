"""Read rows of an unknown format by field names that the user gives: `--map instruction=prompt,output=completion.text`."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from self_instruct.datasets.chats import conversation
from self_instruct.datasets.example import LABEL, Example
from self_instruct.datasets.fields import about_of, text_of
from self_instruct.datasets.flat import ANSWERS, PROMPTS, as_text
from self_instruct.datasets.preferences import preference, verdict
from self_instruct.errors import UserError
from self_instruct.user_files import LineError

TARGETS = (
    "instruction", "input", "output", "system", "messages", "prompt", "completion", "chosen", "rejected", LABEL, "tools",
    "images", "id", "category", "source", "license",
)  # fmt: skip
_TEXTS = ("instruction", "input", "output", "system", "id", "category", "source", "license")


def parse_map(texts: Sequence[str]) -> dict[str, str]:
    """Return the path of a field for each target. Raises UserError for an unknown target, or one that is given twice."""
    found = dict[str, str]()
    for item in (item for text in texts for item in text.split(",") if item.strip()):
        name, _, path = (part.strip() for part in item.partition("="))
        if name not in TARGETS or not path or name in found:
            problem = (
                "is given twice" if name in found else f"must be NAME=FIELD, where NAME is one of {', '.join(TARGETS)}"
            )
            raise UserError(f"--map {item.strip()}: {problem}")
        found[name] = path
    if found and not {"instruction", "messages", "prompt", "chosen"} & {*found}:
        raise UserError("--map: names no field for the question; add instruction=FIELD, or messages=FIELD")
    return found


def mapped(row: dict[str, Any], place: str, paths: Mapping[str, str]) -> Example:
    """Read a row by paths of fields, such as `completion.text` or `turns.0`. A value that is not text is converted to JSON.

    All other fields stay in `Example.fields`. One with the name of a target is stored as `row.NAME` if that name is in use.
    """
    rest, taken = copy.deepcopy(row), dict[str, Any]()
    for name, path in paths.items():
        value = _value(row, path.split("."))
        if value is not None:
            taken[name] = as_text(value) if name in _TEXTS else value
            _remove(rest, path.split("."))
    own = {name: rest.pop(name) for name in taken if name in rest}
    example = _example({**rest, **taken}, taken, place, paths)
    own = {(f"row.{name}" if name in example.fields else name): value for name, value in own.items()}
    return replace(example, fields={**example.fields, **own})


def _example(row: dict[str, Any], taken: dict[str, Any], place: str, paths: Mapping[str, str]) -> Example:
    """Read a row whose mapped fields, also given as `taken`, are named as in `TARGETS`."""
    if "chosen" in taken:
        return preference(row, place)
    if LABEL in taken:
        return verdict(row, place)
    if "messages" in taken:
        return conversation(row, place)
    asked = "instruction" if "instruction" in paths else "prompt"
    answer = "output" if "output" in paths else "completion"
    if asked not in taken:
        raise LineError(
            "missing_field", place, f'field "{paths[asked]}" is missing' if asked in paths else "has no question"
        )
    about = about_of(row, *(name for name in (asked, answer, "input", "system") if name in taken))
    return Example(as_text(taken[asked]), text_of(taken, "input", place), as_text(taken.get(answer, "")),
                   text_of(taken, "system", place), **about)  # fmt: skip


def guessed(row: Mapping[str, Any]) -> str:
    """Return a suggestion for --map: the fields of a row with usual names, else its longest texts."""
    texts = [name for name, value in row.items() if isinstance(value, str)]
    by_length = sorted(texts, key=lambda name: -len(row[name]))
    asked = next((name for name in PROMPTS if name in texts), None)
    answer = next((name for name in ANSWERS if name in row and name != asked), None)
    left = [name for name in texts if name in by_length[:2] and name not in (asked, answer)]
    asked = asked or (left.pop(0) if left else "QUESTION")
    return f"instruction={asked},output={answer or (left.pop(0) if left else 'ANSWER')}"


def _step(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[int(key)] if isinstance(value, list) and key.isdecimal() and int(key[:9]) < len(value) else None


def _value(row: Any, path: Sequence[str]) -> Any:
    for key in path:
        row = _step(row, key)
    return row


def _remove(row: Any, path: Sequence[str]) -> None:
    """Remove the value at a path from a copied row. A list item becomes null, so that the other items keep their positions."""
    holder = _value(row, path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1], None)
        if not holder and len(path) > 1:
            _remove(row, path[:-1])
    elif isinstance(holder, list) and _step(holder, path[-1]) is not None:
        holder[int(path[-1])] = None
