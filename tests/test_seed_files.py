"""The shipped seed tasks: their number, variety and correctness, and that they pass the filters."""

import json
import re
import sqlite3
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from self_instruct.formats import FORMATS, RecordFormat
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.records import Record
from self_instruct.rules.filters import DEFAULT_RULES, OUTPUT_RULES, build_filters, first_reason
from self_instruct.seeds import load_seeds

ROOT = Path(__file__).resolve().parents[1]
FILES = {name: ROOT / "seeds" / f"{name}.jsonl" for name in ("code", "general")}
HEADERS = [ROOT / name / "prompt.txt" for name in ("instruction_io", "instruction_iio")]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


CODE = {row["id"]: row for row in rows(FILES["code"])}
GENERAL = {row["id"]: row for row in rows(FILES["general"])}
CHECKS = {row["id"]: row for row in rows(ROOT / "tests" / "data" / "seed_checks.jsonl")}


def output(seed_id: str) -> str:
    return CODE[seed_id]["instances"][0]["output"]


def checked(key: str) -> list[str]:
    return [seed_id for seed_id, row in CHECKS.items() if key in row]


def seeds() -> list[Record]:
    return [seed for path in FILES.values() for seed in load_seeds(path)]


def test_there_are_enough_tasks_of_each_kind() -> None:
    assert len(CODE) >= 60
    assert len(GENERAL) >= 100
    assert sum(row["is_classification"] for row in GENERAL.values()) >= 15


def test_the_counts_in_the_readme_are_right() -> None:
    text = (ROOT / "seeds" / "README.md").read_text(encoding="utf-8")
    with_input = sum(bool(row["instances"][0]["input"]) for row in GENERAL.values())
    classes = sum(row["is_classification"] for row in GENERAL.values())
    assert f"{len(GENERAL)} tasks for general text models; {classes} are classification tasks" in text
    assert f"{with_input} have an input." in text
    assert f"{len(CODE)} tasks for code models" in text
    for name, tasks in (("general", GENERAL), ("code", CODE)):
        table = text.partition(f"## {name}.jsonl")[2].partition("##")[0]
        documented = {category: int(number) for category, number in re.findall(r"\| (\w+) \| (\d+) ", table)}
        assert documented == Counter(row["category"] for row in tasks.values())


def has_the_schema(row: dict[str, Any]) -> bool:
    extra = {"language"} if row["id"] in CODE else set()
    if set(row) != {"id", "name", "category", "instruction", "instances", "is_classification"} | extra:
        return False
    texts = [row["instruction"], *(text for instance in row["instances"] for text in instance.values())]
    return (
        re.fullmatch(r"(code|general)_\d{3}", row["id"]) is not None
        and [set(instance) for instance in row["instances"]] == [{"input", "output"}]
        and all(text == text.strip() and "\r" not in text and "\t" not in text for text in texts)
    )


def test_every_task_has_the_schema_that_the_readme_gives() -> None:
    assert [row["id"] for row in [*CODE.values(), *GENERAL.values()] if not has_the_schema(row)] == []


def test_names_and_ids_are_unique_over_both_files() -> None:
    for key in ("id", "name", "instruction"):
        assert max(Counter(row[key] for row in [*CODE.values(), *GENERAL.values()]).values()) == 1


def test_no_two_instructions_share_half_of_their_words() -> None:
    index = RougeIndex()
    for seed in seeds():
        nearest = index.nearest(seed.instruction)
        assert nearest is None or nearest.score < 0.5, (seed.id, nearest)
        index.add([seed.id], [seed.instruction])


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize(("name", "keywords"), [("code", []), ("general", []), ("general", ["default"])])
def test_every_seed_passes_the_filters_that_generated_records_must_pass(
    name: str, keywords: list[str], header: Path
) -> None:
    rules = (*DEFAULT_RULES, *OUTPUT_RULES)
    filters = build_filters(header.read_text(encoding="utf-8"), keywords=keywords, rules=rules)
    reasons = {seed.id: first_reason(filters, seed) for seed in load_seeds(FILES[name])}
    assert {seed_id: reason for seed_id, reason in reasons.items() if reason} == {}


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_every_seed_survives_rendering_and_parsing(format: RecordFormat) -> None:
    shown = seeds()
    blocks = format.parse("".join(format.render(seed, number) for number, seed in enumerate(shown, start=1)))
    assert [block.reason for block in blocks] == [None] * len(shown)
    for seed, block in zip(shown, blocks, strict=True):
        task = seed.instruction if "input" in format.fields else seed.task
        wanted = {"instruction": task, "input": seed.input, "output": seed.output}
        assert block.fields == {name: wanted[name] for name in format.fields}


def test_every_python_sql_and_regex_seed_has_a_check() -> None:
    wanted = {seed_id for seed_id, row in CODE.items() if row["language"] in ("python", "sql", "regex")}
    assert wanted - set(CHECKS) == {"code_041"}  # a DELETE: its check is below, since it gives no rows
    assert set(CHECKS) <= wanted


def failure(seed_id: str, *sources: str) -> str | None:
    """Run the sources in one namespace; return the exception, or None."""
    scope: dict[str, Any] = {"__name__": "seed"}
    try:
        for source in sources:
            exec(compile(source, seed_id, "exec"), scope)
    except Exception as raised:
        return f"{type(raised).__name__}: {raised}"
    return None


def test_python_seeds_run_and_are_correct() -> None:
    found = {seed_id: failure(seed_id, output(seed_id), CHECKS[seed_id]["check"]) for seed_id in checked("check")}
    assert len(found) > 30 and {seed_id: raised for seed_id, raised in found.items() if raised} == {}


def test_the_check_of_a_python_seed_fails_without_its_answer() -> None:
    found = {seed_id: failure(seed_id, CHECKS[seed_id]["check"]) for seed_id in checked("check")}
    assert {seed_id: raised for seed_id, raised in found.items() if not str(raised).startswith("NameError")} == {}


def selected(seed_id: str) -> list[list[Any]]:
    """Return the rows that the seed's SQL statement selects from the tables of its check."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(CHECKS[seed_id]["schema"])
    found = [list(row) for row in connection.execute(output(seed_id))]
    connection.close()
    return found


def test_sql_seeds_return_the_expected_rows() -> None:
    found, wanted = ({seed_id: give(seed_id) for seed_id in checked("rows")}
                     for give in (selected, lambda seed_id: CHECKS[seed_id]["rows"]))  # fmt: skip
    assert found == wanted != {}


def test_the_sql_seed_that_removes_duplicates_keeps_the_smallest_id_of_each() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE subscribers(id INTEGER, email TEXT)")
    people = [(1, "a@x"), (2, "A@X"), (3, "b@x"), (5, "B@x"), (4, "b@X"), (6, "c@x")]
    connection.executemany("INSERT INTO subscribers VALUES (?, ?)", people)
    connection.execute(output("code_041"))
    left = [number for (number,) in connection.execute("SELECT id FROM subscribers ORDER BY id")]
    connection.close()
    assert left == [1, 3, 6]


def test_regex_seeds_match_exactly_the_intended_texts() -> None:
    wrong = []
    for seed_id in checked("matches"):
        pattern, wanted = re.compile(output(seed_id)), CHECKS[seed_id]
        wrong += [(seed_id, text) for text in wanted["matches"] if not pattern.fullmatch(text)]
        wrong += [(seed_id, text) for text in wanted["rejects"] if pattern.fullmatch(text)]
    assert wrong == [] and checked("matches")


def shell(seed_id: str, folder: Path, stdin: str = "") -> str:
    command = ["bash", "-euc", output(seed_id)]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=True).stdout


def test_the_shell_seeds_solve_their_tasks(tmp_path: Path) -> None:
    log = "".join(f"10.0.0.{at} - GET /\n" for at in range(1, 13) for _ in range(at))
    (tmp_path / "access.log").write_text(log)
    busiest = shell("code_050", tmp_path).split()
    assert busiest == [word for at in range(12, 2, -1) for word in (str(at), f"10.0.0.{at}")]
    lines = "t GET / status=500 took=187ms\nt GET / status=200 took=3ms\nt GET / status=500 took=9ms\n"
    assert shell("code_052", tmp_path, lines) == "187\n9\n"
    for name, content in {"a b.jpeg": "one", "c.jpeg": "two", "c.jpg": "kept"}.items():
        (tmp_path / name).write_text(content)
    shell("code_051", tmp_path)
    assert (tmp_path / "a b.jpg").read_text() == "one" and (tmp_path / "c.jpg").read_text() == "kept"


def test_the_shell_seed_that_lists_files_shows_the_five_largest_first(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for size in range(1, 8):
        (tmp_path / "sub" / f"file {size}").write_bytes(b"x" * size * 100)
    assert shell("code_049", tmp_path).splitlines() == [f"{size}00 ./sub/file {size}" for size in (7, 6, 5, 4, 3)]
