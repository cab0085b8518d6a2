"""Our own format, `jsonl`: write examples as rows of JSONL and Parquet, and read them back. Also read seed tasks and flat
rows.
"""

import json
from dataclasses import replace
from typing import Any

from self_instruct.datasets.example import REJECTED, Example, Turn, of_turns
from self_instruct.datasets.fields import ABOUT, about_of, input_of, object_in, rest_of, text_of
from self_instruct.datasets.flat import flat, with_history
from self_instruct.datasets.turns import turns_of
from self_instruct.user_files import LineError

_flat = flat("instruction", "output", inputs=("input",))


def row_of(example: Example, columns: set[str]) -> dict[str, Any]:
    """Return a row: three text columns, the optional ones that the file has or the example needs, and the provenance."""
    row: dict[str, Any] = {"instruction": example.instruction, "input": example.input, "output": example.output}
    wanted = columns | example.columns
    if "system" in wanted:
        row["system"] = example.system
    if "messages" in wanted:
        row["messages"] = example.turns
    return {**row, "provenance": provenance_of(example)}


def provenance_of(example: Example) -> dict[str, Any]:
    """Return the provenance. Other fields are JSON in one text, because loaders and Parquet need the same type in every
    row.
    """
    return {
        "id": example.id,
        "category": example.category,
        "source": example.source,
        "license": example.license,
        "origin": {"path": example.path, "row": example.row},
        "fields": json.dumps(example.fields, ensure_ascii=False),
    }


def read(row: dict[str, Any], place: str) -> Example:
    """Read a record of a run, a row from `row_of`, a seed task (its first instance), or a flat row."""
    if "instances" in row:
        return _seed_task(row, place)
    example = with_history(_with_rejected(_flat(row, place)), place)
    if not row.get("messages"):  # null in a table whose other rows have messages
        return (
            replace(example, fields=rest_of(example.fields, "messages")) if "messages" in example.fields else example
        )
    if not isinstance(row["messages"], list):
        return example
    turns = list(turns_of([_unfolded(turn) for turn in row["messages"]], place))
    about = {name: getattr(example, name) for name in (*ABOUT, "path", "row")}
    about["fields"] = rest_of(example.fields, "messages")
    if turns == example.turns:  # a single exchange, written as messages because other rows need the column
        return replace(example, fields=about["fields"])
    return of_turns(turns, system=example.system, **about)


def folded(turn: Turn) -> dict[str, Any]:
    """Return a turn for a table: fields other than role and content are JSON in one text."""
    more = rest_of(turn, "role", "content")
    return {
        **{key: turn[key] for key in ("role", "content")},
        "more": json.dumps(more, ensure_ascii=False) if more else None,
    }


def _with_rejected(example: Example) -> Example:
    """Return a record of a run with the worst of several answers, which its provenance marks, as the field `rejected`."""
    provenance = example.fields.get("provenance")
    choice = provenance.get("choice") if isinstance(provenance, dict) else None
    answers = choice.get("answers") if isinstance(choice, dict) else None
    for answer in answers if isinstance(answers, list) else ():
        marked = isinstance(answer, dict) and answer.get("mark") == REJECTED and isinstance(answer.get("output"), str)
        if marked and REJECTED not in example.fields and answer["output"] != example.output:
            return replace(example, fields={**example.fields, REJECTED: answer["output"]})
    return example


def _unfolded(turn: Any) -> Any:
    """Undo `folded`; return any other value unchanged."""
    if not isinstance(turn, dict) or set(turn) != {"role", "content", "more"}:
        return turn
    return {**rest_of(turn, "more"), **(object_in(turn["more"]) or {})}


def _seed_task(row: dict[str, Any], place: str) -> Example:
    instances = row["instances"]
    if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
        problem = 'field "instances" must be a list with at least one {"input": ..., "output": ...}'
        raise LineError("wrong_type", place, problem)
    about, more = about_of(row, "instances", "instruction"), rest_of(instances[0], "input", "output")
    if more or len(instances) > 1:
        about["fields"]["instances"] = [more, *instances[1:]]
    return Example(
        text_of(row, "instruction", place, required=True), input_of(instances[0], "input", place),
        text_of(instances[0], "output", place), **about,
    )  # fmt: skip
