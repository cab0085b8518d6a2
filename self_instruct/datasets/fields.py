"""Read the texts, and the id, category, source and licence of any row. A bad row raises `LineError` with its location."""

import json
from typing import Any

from self_instruct.user_files import LineError, json_kind

ABOUT = ("id", "category", "source", "license")
OUTPUTS = ("output", "response", "generation", "completion", "answer")
"""Field names that formats use for the output."""
_MAPPED = ("input", "output", "system")


def text_of(row: dict[str, Any], name: str, place: str, *, required: bool = False) -> str:
    """Return a field's text; empty if it is null or absent and not `required`."""
    value = row.get(name)
    if isinstance(value, str):
        return value
    if value is None and not required:
        return ""
    found = "is missing" if value is None else f"is {json_kind(value)}, not a text"
    if value is not None and name in _MAPPED:
        found += f"; --map instruction=FIELD,{name}={name} reads it as JSON"
    raise LineError("missing_field" if value is None else "wrong_type", place, f'field "{name}" {found}')


def input_of(row: dict[str, Any], name: str, place: str) -> str:
    """Return the input; empty for the placeholder "<noinput>" of Self-Instruct and Alpaca."""
    value = text_of(row, name, place) if name else ""
    return "" if value.strip().lower() == "<noinput>" else value


def rest_of(row: dict[str, Any], *taken: str) -> dict[str, Any]:
    """Return the other fields of a row."""
    return {key: value for key, value in row.items() if key not in taken}


def about_of(row: dict[str, Any], *taken: str, id: str = "id", category: str = "category") -> dict[str, Any]:
    """Return the metadata of a row by the field names of `Example`; `taken` are fields that were already read.

    Rows that `ours.row_of` wrote have it in their provenance. The provenance of a run stays in `fields`, without its id.
    """
    rest, provenance = rest_of(row, *taken), row.get("provenance")
    ours = object_in(provenance.get("fields")) if isinstance(provenance, dict) else None
    if isinstance(provenance, dict) and ours is not None:
        del rest["provenance"]
        origin = provenance["origin"] if isinstance(provenance.get("origin"), dict) else {}
        named = {name: provenance[name] for name in ABOUT if isinstance(provenance.get(name), str)}
        number = origin.get("row")
        named |= {"path": str(origin.get("path", "")), "row": number if isinstance(number, int) else 0}
        return {**named, "fields": {**ours, **rest}}
    found: dict[str, Any] = {}
    if not rest:
        return {"fields": rest}
    for name, key in zip(ABOUT, (id, category, "source", "license"), strict=True):
        value = rest.get(key)
        if isinstance(value, str) or (name == "id" and isinstance(value, int) and not isinstance(value, bool)):
            found[name] = str(value)
            del rest[key]
    if isinstance(provenance, dict) and isinstance(provenance.get("id"), str) and "id" not in found:
        found["id"], rest["provenance"] = provenance["id"], rest_of(provenance, "id")
    return {**found, "fields": rest}


def other_output(row: dict[str, Any], *names: str) -> str | None:
    """Return the name of an output field other than `names`; None if one of `names` has a value, or there is no other."""
    for name in names:
        if row.get(name) is not None:
            return None
    return next((other for other in OUTPUTS if row.get(other) and isinstance(row[other], str)), None)


def check_output(row: dict[str, Any], place: str, *names: str) -> None:
    """Raise LineError if a row has its output under another name, because it would be lost silently."""
    other = other_output(row, *names)
    if other is not None:
        problem = f'has no field "{names[0]}", but a text in "{other}"; rename it, or give another --input_format'
        raise LineError("no_output_field", place, problem)


def object_in(text: Any) -> dict[str, Any] | None:
    """Return the object that a text holds as JSON; None for any other value."""
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
