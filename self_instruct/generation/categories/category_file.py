"""Read a category's file. Every mistake is reported with its file and key, and the nearest known key.

Values of run options in a file are checked later, in the module that declares the options.
"""

import difflib
import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT, RecordFormat
from self_instruct.generation.categories.category import (
    ALL,
    ALONE,
    COUNT,
    GIVEN,
    MISSING,
    NONE,
    OPTIONS,
    Category,
    Variable,
)
from self_instruct.generation.categories.template import Template
from self_instruct.records import Record
from self_instruct.seeds import task_of
from self_instruct.user_files import LineError, load_yaml, regular_bytes

FORMATS: dict[str, RecordFormat] = {"io": INSTRUCTION_OUTPUT, "iio": INSTRUCTION_INPUT_OUTPUT}
_KEYS = (
    "description", "format", "steps", "prompt", "request", "response_prompt", "response_request", "demonstrations",
    "demonstrations_per_prompt", "tasks_per_request", "variables", "validators", "instruction_validators", "answered_alone",
)  # fmt: skip
_DEMONSTRATIONS = 4  # in a prompt, if the file does not set demonstrations_per_prompt


def read_category(path: Path) -> Category:
    """Return the category of a file; the file's name is the category's name.

    Raises `UserError` with the file and the key for a missing or unknown key, a value of the wrong type, or an unknown
    variable in a text.
    """
    content = _content(path)
    for key in content:
        if key not in _KEYS and key not in OPTIONS:
            raise _mistake(path, key, f"is unknown{nearest(key, [*_KEYS, *OPTIONS])}")
    return _Reader(path, content).category()


def nearest(word: str, names: Collection[str]) -> str:
    """Return a suggestion of the most similar name, or an empty text."""
    close = difflib.get_close_matches(word, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _content(path: Path) -> dict[str, Any]:
    try:
        raw = regular_bytes(path)
        content = load_yaml(raw.decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"category file {path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"category file {path}: is not UTF-8; save it as UTF-8") from None
    except ValueError as error:
        raise UserError(f"category file {path}: is not YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"category file {path}: must hold 'key: value' lines, with {', '.join(_KEYS[:4])} and so on")
    return content


def _mistake(path: Path, key: str, problem: str) -> UserError:
    return UserError(f"category file {path}: {key} {problem}")


class _Reader:
    """Builds the category from a file's content; `path` is for error messages."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path, self._content = path, content

    def category(self) -> Category:
        steps = self._integer("steps", 1, 2, default=1)
        alone = (MISSING, ALL, NONE) if steps == 1 else (ALL, NONE)
        demonstrations = self._demonstrations()
        category = Category(
            name=self._path.stem,
            description=self._text("description", ""),
            format=FORMATS[self._choice("format", tuple(FORMATS), "io")],
            steps=steps,
            prompt=self._template("prompt"),
            request=self._template("request", ""),
            response_prompt=self._template("response_prompt", None if steps == 2 else ""),
            response_request=self._template("response_request", ""),
            demonstrations=demonstrations,
            demonstrations_per_prompt=self._integer(
                "demonstrations_per_prompt", 1, len(demonstrations), min(_DEMONSTRATIONS, len(demonstrations))
            ),
            tasks_per_request=self._integer("tasks_per_request", 1, 1000, default=1),
            variables=self._variables(),
            validators=self._validators("validators"),
            instruction_validators=self._validators("instruction_validators"),
            options={
                key: value.strip() if isinstance(value, str) else value
                for key, value in self._content.items()
                if key not in _KEYS
            },
            answered_alone=self._choice("answered_alone", alone, alone[0]),
            sha256=self._digest([key for key in self._content if key not in ALONE]),
            alone_sha256=self._digest(ALONE),
        )
        self._check(category)
        return category

    def _digest(self, keys: Collection[str]) -> str:
        found = {key: self._content[key] for key in keys if key in self._content}
        return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()

    def _check(self, category: Category) -> None:
        known = (*category.variables, *GIVEN)
        for key in ("prompt", "request", "response_prompt", "response_request"):
            template: Template = getattr(category, key)
            for name in template.names:
                if name not in known:
                    raise self._error(key, f"has the variable {{{name}}}, which is not one of {', '.join(known)}"
                                      f"{nearest(name, known)}")  # fmt: skip
            if template.malformed:
                written = template.malformed[0]
                raise self._error(
                    key, f"has {written}; a variable is written {{{written.strip('{} ').lower()}}}, in lower case"
                )
            if category.steps == 1 and key.startswith("response_") and template.text:
                raise self._error(key, "is for a second step, but steps is 1; set steps: 2, or leave it out")
        if category.steps == 1 and category.instruction_validators:
            raise self._error("instruction_validators", "is for tasks without answers, but steps is 1; use validators")
        if "input" not in category.format.fields:
            for at, record in enumerate(category.demonstrations):
                if record.input:
                    raise self._error(f"demonstrations[{at}]", "has an input, but the format is io; set format: iio")

    def _error(self, key: str, problem: str) -> UserError:
        return _mistake(self._path, key, problem)

    def _text(self, key: str, default: str | None = None) -> str:
        value = self._content.get(key, default)
        if value is None:
            raise self._error(key, "is missing; give a text")
        if not isinstance(value, str):
            raise self._error(key, f"is {value!r}, but must be a text; put it in quotes")
        if not value.strip() and default != "":
            raise self._error(key, "is empty; give a text")
        return value.strip()

    def _template(self, key: str, default: str | None = None) -> Template:
        return Template(self._text(key, default))

    def _integer(self, key: str, low: int, high: int, default: int) -> int:
        value = self._content.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._error(key, f"is {value!r}, but must be a whole number from {low} to {high}")
        return value

    def _choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self._content.get(key, default)
        if value not in choices:
            raise self._error(key, f"is {value!r}, but must be {' or '.join(choices)}{nearest(str(value), choices)}")
        return value

    def _list(self, key: str) -> list[Any]:
        value = self._content.get(key, [])
        if not isinstance(value, list):
            raise self._error(key, f"is {value!r}, but must be a list, one '- ...' a line")
        return value

    def _demonstrations(self) -> tuple[Record, ...]:
        found = []
        for at, row in enumerate(self._list("demonstrations")):
            key = f"demonstrations[{at}]"
            if not isinstance(row, dict):
                raise self._error(key, f"is {row!r}, but must have an instruction and an output")
            for name in row:
                if name not in ("id", "instruction", "input", "output"):
                    raise self._error(
                        f"{key}.{name}", f"is unknown{nearest(str(name), ('instruction', 'input', 'output'))}"
                    )
            try:
                found.append(task_of(row, f"category file {self._path}: {key}", f"{self._path.stem}_{at + 1}"))
            except LineError as error:
                raise UserError(str(error)) from None
        names = [record.id for record in found]
        twice = next((name for name in names if names.count(name) > 1), None)
        if not found or twice is not None:
            problem = (
                f"has the id {twice!r} twice" if found else "is missing; a model needs at least one to see the form"
            )
            raise self._error("demonstrations", problem)
        return tuple(found)

    def _variables(self) -> dict[str, Variable]:
        given = self._content.get("variables", {})
        if not isinstance(given, dict):
            raise self._error("variables", f"is {given!r}, but must hold 'name: [values]' lines")
        return {name: self._variable(f"variables.{name}", name, value) for name, value in given.items()}

    def _variable(self, key: str, name: Any, value: Any) -> Variable:
        if not isinstance(name, str) or Template(f"{{{name}}}").names != (name,) or name == COUNT:
            raise self._error(
                key, f"cannot be the name of a variable; use lower-case letters, digits and _, but not {COUNT}"
            )
        if isinstance(value, dict):
            for part in value:
                if part not in ("draw", "rotate", "shown"):
                    raise self._error(f"{key}.{part}", f"is unknown{nearest(str(part), ('draw', 'rotate', 'shown'))}")
            if ("draw" in value) == ("rotate" in value):
                raise self._error(key, "must have either draw or rotate, with a list of values")
        else:
            value = {"draw": value}
        way = "rotate" if "rotate" in value else "draw"
        values = value[way]
        if not isinstance(values, list) or not values:
            raise self._error(key, f"is {values!r}, but must be a list of values")
        shown = value.get("shown")
        if shown is not None and not isinstance(shown, dict):
            raise self._error(f"{key}.shown", f"is {shown!r}, but must hold 'value: text' lines")
        texts = {self._value(f"{key}.shown", one): self._value(f"{key}.shown.{one}", text)
                 for one, text in (shown or {}).items()}  # fmt: skip
        chosen = tuple(self._value(f"{key}[{at}]", one) for at, one in enumerate(values))
        for one in texts:
            if one not in chosen:
                raise self._error(f"{key}.shown.{one}", f"is not one of the values{nearest(one, chosen)}")
        return Variable(chosen, way == "rotate", texts or None)

    def _value(self, key: str, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise self._error(key, f"is {value!r}, but must be a text or a number; put yes, no, on and off in quotes")
        return str(value).strip()

    def _validators(self, key: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        found: list[tuple[str, Mapping[str, Any]]] = []
        for at, item in enumerate(self._list(key)):
            if isinstance(item, str):
                found.append((item, {}))
            elif isinstance(item, dict) and len(item) == 1 and all(isinstance(part, dict) for part in item.values()):
                found.extend((str(name), parameters) for name, parameters in item.items())
            else:
                raise self._error(f"{key}[{at}]", f"is {item!r}, but must be a name, or 'name: {{parameter: value}}'")
        return tuple(found)
