"""Read benchmark tasks: those of well-known benchmarks (HumanEval, MBPP, GSM8K, MATH, MMLU, ARC, SQuAD, MT-bench and others) by
their fields, and those of any other as instructions with answers.

The question of a task is kept apart from its choices or its passage, because training data may contain the question alone.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from self_instruct.datasets.containers import open_container
from self_instruct.datasets.contamination import BenchmarkText
from self_instruct.datasets.example_texts import parts_of
from self_instruct.datasets.flat import choices_of
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.datasets.schemas import Schema, of_row, recognise
from self_instruct.errors import UserError
from self_instruct.user_files import LineError

_FIELDS = (
    ("prompt", "canonical_solution"),  # HumanEval
    ("text", "code"),  # MBPP
    ("prompt", "code"),  # MBPP, sanitized
    ("question", "answer"),  # GSM8K
    ("problem", "solution"),  # MATH, AIME
    ("question", "correct answer"),  # GPQA
)
_QUESTIONS = (
    "question",
    "sentence",
    "prompt",
    "problem",
)  # the field of the question in TruthfulQA, WinoGrande and others
_MMLU, _LETTERS = ("question", "A", "B", "C", "D", "answer"), ("A", "B", "C", "D")
Task = tuple[str, dict[str, str]]
"""The id of a benchmark's task, and its texts by field."""


def read_benchmarks(named: Sequence[tuple[str, str]]) -> list[BenchmarkText]:
    """Return the texts of all benchmark tasks. `named` has the name and the path of each file; an empty name means the file's.

    Raises UserError if a file cannot be read completely, because contamination by its missing tasks would go unnoticed.
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
    if _is_headless(values):
        values = [
            dict(zip(_MMLU, cells, strict=True)) for cells in [[*values[0]], *([*row.values()] for row in values)]
        ]
        whole = [whole[0], *whole]
    known = [_known(value) for value in values]
    schema = None if all(known) else recognise(values[:64], container.header, container.key, path)
    if schema is None and not all(known):
        known = [tasks or _question(value) for tasks, value in zip(known, values, strict=True)]
    if schema is None and not all(known):
        raise UserError(
            f"--benchmarks {path}: no known benchmark or format has the fields {', '.join(values[0])[:200]}; convert the "
            "file with `self-instruct convert FILE --map instruction=FIELD --to jsonl --output_path NEW.jsonl`, where FIELD is "
            "the field of the questions, and give NEW.jsonl"
        )
    for row, tasks in zip(whole, known, strict=True):
        for id, parts in tasks if schema is None else [_read(schema, row)]:
            yield from (BenchmarkText(name, row.place, id, field, text) for field, text in parts.items() if text)


def _read(schema: Schema, row: Row) -> Task:
    """Read a row of a known format; return its id and its texts. Raises UserError if it cannot be read."""
    try:
        example = of_row(schema, row.value, row.header or {}, row.place).read(row.value, row.place)
    except LineError as error:
        raise UserError(f"--benchmarks {error}; give the complete file, so that no task is overlooked") from None
    texts: dict[str, list[str]] = {}
    for part, text in parts_of(example):
        texts.setdefault(part, []).append(text)
    named = {f"{part} {at + 1}" if at else part: text for part, some in texts.items() for at, text in enumerate(some)}
    return _id(row.value), named


def _known(row: dict[str, Any]) -> list[Task]:
    """Return the ids and texts of the tasks in a row of a known benchmark; empty for other rows."""
    row = {key.lower() if key not in _LETTERS else key: value for key, value in row.items()}
    if isinstance(row.get("paragraphs"), list):
        return _squad(row["paragraphs"])
    if isinstance(row.get("question"), dict) and isinstance(row["question"].get("stem"), str):  # ARC as published
        row = {**row, **row["question"], "question": row["question"]["stem"]}
    if turns := _turns(row):  # MT-bench, Arena-Hard
        answers = row.get("reference")
        named = [("turn", turns), ("reference", answers if isinstance(answers, list) else [])]
        return [(_id(row), {f"{name} {at}": text for name, texts in named for at, text in enumerate(texts, start=1)
                            if isinstance(text, str)})]  # fmt: skip
    choices = choices_of(row)
    if choices is not None:  # MMLU, ARC
        asked, texts, _ = choices
        more = {"context": row["context"]} if isinstance(row.get("context"), str) else {}
        lettered = "\n".join(f"{letter}. {text}" for letter, text in texts.items())
        return [(_id(row), {"question": asked, **more, "choices": lettered})]
    passage = next((name for name in ("context", "passage") if isinstance(row.get(name), str)), None)
    if isinstance(row.get("question"), str) and passage:  # SQuAD and BoolQ, a row for each question
        return [(_id(row), {"question": row["question"], passage: row[passage], "answer": _answer(row)})]
    names = next((names for names in _FIELDS if all(isinstance(row.get(name), str) for name in names)), ())
    # In GSM8K the bare result follows "####"; search the solution without it.
    parts = {name: row[name].rpartition("####")[0] or row[name] if name == "answer" else row[name] for name in names}
    return [(_id(row), parts)] if parts else []


def _turns(row: dict[str, Any]) -> list[str]:
    """Return the questions of a row of MT-bench (texts) or Arena-Hard (objects with a text); empty for other rows."""
    turns = row.get("turns", row.get("prompt"))
    if not isinstance(turns, list):
        return []
    texts: list[Any] = [
        turn.get("content") if isinstance(turn, dict) and {*turn} == {"content"} else turn for turn in turns
    ]
    return texts if all(isinstance(text, str) for text in texts) else []


def _question(row: dict[str, Any]) -> list[Task]:
    """Return the question of a row of an unknown format, found by the name of its field; empty if there is none."""
    row = {key.lower(): value for key, value in row.items()}
    name = next((name for name in _QUESTIONS if isinstance(row.get(name), str)), None)
    return [(_id(row), {"question": row[name]})] if name else []


def _squad(paragraphs: list[Any]) -> list[Task]:
    """Return the tasks of a SQuAD article: its paragraphs, and the questions about each of them."""
    tasks = list[Task]()
    for paragraph in paragraphs:
        if not isinstance(paragraph, dict) or not isinstance(paragraph.get("context"), str):
            return []
        tasks.append(("", {"context": paragraph["context"]}))
        for asked in paragraph.get("qas") or []:
            if isinstance(asked, dict) and isinstance(asked.get("question"), str):
                tasks.append((_id(asked), {"question": asked["question"], "answer": _answer(asked)}))
    return tasks


def _answer(row: dict[str, Any]) -> str:
    """Return the first of SQuAD's answers; empty if there is none."""
    found = row.get("answers")
    first = found[0] if isinstance(found, list) and found else found
    text = first.get("text") if isinstance(first, dict) else first
    text = text[0] if isinstance(text, list) and text else text
    return text if isinstance(text, str) else ""


def _id(row: dict[str, Any]) -> str:
    return str(
        next((row[name] for name in ("task_id", "id", "question_id", "unique_id") if row.get(name) is not None), "")
    )


def _is_headless(rows: list[dict[str, Any]]) -> bool:
    """Return whether the rows are a CSV file of MMLU, which has no header, so that its first task was read as the header."""
    return (
        all(len(row) == len(_MMLU) and [*row.values()][-1] in _LETTERS for row in rows) and [*rows[0]][-1] in _LETTERS
    )
