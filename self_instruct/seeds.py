"""Read seed tasks from JSON lines, in the Self-Instruct schema or a flat one. Every error names the file, line and field.

Only completeness is checked here; tests/test_seed_files.py runs the filters over the shipped seed files.
"""

import hashlib
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.user_files import LineError, json_kind, read_objects, regular_bytes


def load_seeds(path: Path) -> list[Record]:
    """Return the seed tasks of a file in order. Raises UserError for the first line that is not a complete task.

    Schemas: `id, name, instruction, instances: [{input, output}], is_classification` (wang2022self), of which the first
    instance is used; or flat `instruction, input, output`. A task without an id gets `seed_` and its line number.
    """
    seeds: list[Record] = []
    locations: dict[str, str] = {}
    for place, row in read_objects(path, "--seed_tasks_path"):
        record = task_of(row, place, f"seed_{place.rpartition(':')[2]}")
        if record.id in locations:
            raise UserError(
                f"{place}: id {record.id!r} is also at {locations[record.id]}; every seed needs a unique id"
            )
        locations[record.id] = place
        seeds.append(record)
    if not seeds:
        raise UserError(f"--seed_tasks_path {path}: holds no seed task; a run needs at least one")
    return seeds


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file; a resumed run checks that its seed file is unchanged."""
    return hashlib.sha256(regular_bytes(path)).hexdigest()


def task_of(row: dict[str, Any], place: str, name: str) -> Record:
    """Return the task in a JSON object; `name` is the id if it has none, and an input `<noinput>` becomes empty.

    Raises LineError if a field is missing, empty or not a string.
    """
    instance = row
    if "instances" in row:
        instances = row["instances"]
        if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
            problem = 'field "instances" must be a list with at least one {"input": ..., "output": ...}'
            raise LineError("wrong_type", place, problem)
        instance = instances[0]
    return Record(
        id=name if row.get("id") in (None, "") else str(row["id"]),
        instruction=_text(row, "instruction", place, True),
        input=_text(instance, "input", place, False),
        output=_text(instance, "output", place, True),
    )


def _text(row: dict[str, Any], name: str, place: str, required: bool) -> str:
    value = row.get(name)
    if value is None and not required:
        return ""
    needs = "every seed needs an instruction and an output"
    if not isinstance(value, str):
        found = "is missing" if value is None else f"is {json_kind(value)}, not a text"
        raise LineError("missing_field" if value is None else "wrong_type", place, f'field "{name}" {found}; {needs}')
    value = value.strip()
    if required and not value:
        raise LineError("empty_field", place, f'field "{name}" is empty; {needs}')
    return "" if name == "input" and value.lower() == "<noinput>" else value
