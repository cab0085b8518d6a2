"""Read benchmark tasks: HumanEval, MBPP and GSM8K by their fields, any other as instructions with answers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from self_instruct.datasets.containers import open_container
from self_instruct.datasets.contamination import BenchmarkText
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.datasets.schemas import of_row, recognise
from self_instruct.errors import UserError

_FIELDS = (
    ("prompt", "canonical_solution"),  # HumanEval
    ("text", "code"),  # MBPP
    ("prompt", "code"),  # MBPP, sanitized
    ("question", "answer"),  # GSM8K
)


def read_benchmarks(named: Sequence[tuple[str, str]]) -> list[BenchmarkText]:
    """Return the texts of all benchmark tasks; `named` holds names and paths.

    Raises UserError if a file cannot be read completely, since contamination by its missing tasks would go unnoticed.
    """
    return [text for name, path in named for text in _texts(name or Path(path).name.partition(".")[0], path)]


def _texts(name: str, path: str) -> Iterator[BenchmarkText]:
    container = open_container(path, option="--benchmarks")
    rows = list(container.rows)
    broken = next((row for row in rows if isinstance(row, Unreadable)), None)
    if broken is not None or not rows:
        problem = f"{broken.place}: {broken.problem}" if broken else f"{path}: holds no task"
        raise UserError(f"--benchmarks {problem}; give the complete file, so that no task is overlooked")
    whole = [row for row in rows if isinstance(row, Row)]
    values = [row.value for row in whole]
    schema = None if all(map(_parts, values)) else recognise(values[:64], container.header, container.key, path)
    if schema is None and not all(map(_parts, values)):
        raise UserError(
            f"--benchmarks {path}: no known benchmark or format has the fields {', '.join(values[0])[:200]}"
        )
    for row in whole:
        parts = _parts(row.value)
        if schema is not None:
            example = of_row(schema, row.value, row.header or {}, row.place).read(row.value, row.place)
            parts = {"instruction": example.prompt, "output": example.output}
        id = row.value.get("task_id", row.value.get("id", ""))
        yield from (BenchmarkText(name, row.place, str(id), field, text) for field, text in parts.items() if text)


def _parts(row: dict[str, Any]) -> dict[str, str]:
    """Return the fields of a known benchmark's task that must not appear elsewhere; empty for other rows."""
    names = next((names for names in _FIELDS if all(isinstance(row.get(name), str) for name in names)), ())
    # The bare result follows "####".
    return {name: row[name].rpartition("####")[0] or row[name] if name == "answer" else row[name] for name in names}
