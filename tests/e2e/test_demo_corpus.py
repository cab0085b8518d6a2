"""The grammar behind the demonstration model: its answers are right, it can be parsed, and it is deterministic."""

from __future__ import annotations

import ast
import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo_model.training.corpus import checking, novelty
from demo_model.training.corpus.checking import compiles, is_right, looks_like_python
from demo_model.training.corpus.documents import draw_document, load_sources, record_of
from demo_model.training.corpus.family_pattern import REGEX_FRAMES
from demo_model.training.corpus.family_query import FILES, SEARCHED
from demo_model.training.corpus.jobs import draw_job
from demo_model.training.corpus.mixture import FAMILIES, draw_task
from demo_model.training.corpus.nouns import RECORD_NOUNS
from demo_model.training.corpus.recognise import recognise
from demo_model.training.corpus.task import Task, is_held_out
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT


def draw(count: int, seed: int = 0) -> list[Task]:
    rng = random.Random(seed)
    return [draw_task(rng) for _ in range(count)]


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return draw(900)


def full_text(task: Task) -> str:
    return record_of(task).task


def test_the_same_seed_draws_the_same_tasks_and_another_seed_others() -> None:
    assert [record_of(t) for t in draw(60, seed=3)] == [record_of(t) for t in draw(60, seed=3)]
    assert [record_of(t) for t in draw(60, seed=3)] != [record_of(t) for t in draw(60, seed=4)]


def test_the_corpus_does_not_depend_on_string_hashing() -> None:
    code = (
        "import random; from demo_model.training.corpus.documents import *; "
        "print([s.text for s in draw_document(load_sources(), random.Random(1))[0]])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={"PYTHONHASHSEED": h}, capture_output=True, check=True
        ).stdout
        for h in ("1", "2")
    }
    assert len(printed) == 1


def test_instructions_have_a_plain_beginning_and_a_sensible_length(tasks: list[Task]) -> None:
    for task in tasks:
        assert 8 <= len(task.instruction.split()) <= 45, task.instruction
        assert re.match(r"[A-Za-z]", task.instruction), task.instruction
        assert not re.match(r"write a (program|function)", task.instruction, re.IGNORECASE)
        assert 1 <= len(task.output.splitlines()) <= 12
        assert "{" not in task.instruction and "  " not in task.instruction, task.instruction


def test_every_family_occurs_and_none_dominates(tasks: list[Task]) -> None:
    counts = Counter(task.family for task in tasks)
    assert len(counts) == len(FAMILIES)
    assert max(counts.values()) < 0.5 * len(tasks)


def test_python_answers_compile_and_no_other_answer_is_taken_for_python(tasks: list[Task]) -> None:
    for task in tasks:
        assert looks_like_python(task.output, task.instruction) == (task.language == "python"), task
        if task.language == "python":
            assert compiles(task.output), task.output


def test_answers_agree_with_the_reference_meaning(tasks: list[Task]) -> None:
    judged = Counter(is_right(task.meaning, full_text(task), task.output) for task in tasks)
    assert judged[False] == 0
    assert judged[True] > 0.8 * len(tasks)


@pytest.mark.parametrize("wrong", ["return None", "return items", "raise ValueError", "while True:\n        pass"])
def test_a_wrong_body_is_detected(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "SECONDS", 0.5)
    rng = random.Random(5)
    job = next(job for job in iter(lambda: draw_job(rng), None) if job.action.verb == "count")
    text = f"Count them with `{job.name}`."
    assert is_right(job.meaning(), text, job.code(rng)) is True
    assert is_right(job.meaning(), text, f"def {job.name}(items):\n    {wrong}") is False


def test_a_function_with_another_name_than_requested_is_wrong() -> None:
    rng = random.Random(6)
    job = draw_job(rng)
    assert is_right(job.meaning(), "Call it `something_else`.", job.code(rng)) is False
    assert is_right(job.meaning(), "Choose a name.", job.code(rng)) is True


def test_empty_input_must_raise_if_the_instruction_says_so() -> None:
    rng = random.Random(8)
    job = next(job for job in iter(lambda: draw_job(rng), None) if job.action.verb == "keep")
    assert is_right(job.meaning(), "Raise ValueError if it is empty.", job.code(rng)) is False


def test_answers_do_not_reach_files_or_imports() -> None:
    rng = random.Random(9)
    job = next(job for job in iter(lambda: draw_job(rng), None) if job.action.verb == "count")
    for body in ("import os\n    return 0", "return len(open('/etc/hostname').read())"):
        assert is_right(job.meaning(), "Count.", f"def f(items):\n    {body}") is False


def test_the_recogniser_inverts_the_grammar(tasks: list[Task]) -> None:
    by_family = {family: [task for task in tasks if task.family == family] for family in {t.family for t in tasks}}
    assert len(by_family) == len(FAMILIES)
    for task in (task for family in by_family.values() for task in family[:12]):
        meaning = recognise(task.instruction, task.output)
        assert meaning is not None and meaning.pair == task.pair, task.instruction
        assert meaning.answer == task.meaning.answer
        assert is_right(meaning, full_text(task), task.output) is not False, task.instruction


@pytest.mark.parametrize(
    "text", ["", "Sing a song.", "Reverse a linked list in Rust.", "Count the stars above the sea.", "Even numbers?"]
)
def test_the_recogniser_declines_other_text(text: str) -> None:
    assert recognise(text) is None


def test_the_recogniser_declines_the_seed_tasks() -> None:
    assert [s.id for s in load_sources().seeds if recognise(s.instruction) is not None] == []


def test_held_out_pairs_never_occur_in_documents_but_the_grammar_has_them() -> None:
    sources, rng = load_sources(), random.Random(2)
    pairs = {task.pair for _ in range(150) for task in draw_document(sources, rng)[1]}
    assert len(pairs) > 900
    assert not [pair for pair in pairs if is_held_out(pair)]
    free = [rng.choice(FAMILIES)(rng).pair for _ in range(2000)]
    assert 0.06 < sum(map(is_held_out, free)) / len(free) < 0.14


def test_documents_are_numbered_blocks_that_parse_back_and_only_own_blocks_are_trained() -> None:
    sources, rng = load_sources(), random.Random(4)
    plain = 0
    for _ in range(60):
        segments, tasks = draw_document(sources, rng)
        assert not segments[0].trained and segments[0].text.endswith("List of tasks:\n###\n")
        assert sum(segment.trained for segment in segments) == len(tasks)
        assert len({task.pair for task in tasks}) == len(tasks)
        body = "".join(segment.text for segment in segments[1:])
        for form in (INSTRUCTION_OUTPUT, INSTRUCTION_INPUT_OUTPUT):
            if all(f"1. {word}:\n" in segments[1].text for _, word in form.triggers) and (
                ("1. Input:" in body) == (form is INSTRUCTION_INPUT_OUTPUT)
            ):
                blocks = form.parse(body.removeprefix(form.open_block(1)))
                plain += 1
                assert [block.reason for block in blocks] == [None] * (len(segments) - 1)
                own = {record_of(task).instruction for task in tasks}
                assert sum(block.fields["instruction"].split("\n")[0] in own for block in blocks) == len(tasks)
    assert plain > 10


def test_two_random_instructions_are_seldom_similar() -> None:
    instructions = [task.instruction for task in draw(1000, seed=12)]
    assert len(novelty.kept(instructions)) >= 0.85 * len(instructions)


def test_sql_answers_run() -> None:
    database = sqlite3.connect(":memory:")
    for noun in RECORD_NOUNS:
        database.execute(f"CREATE TABLE {noun.many} ({', '.join(f'{name} INTEGER' for name in noun.fields)})")
    statements = [task.output for task in draw(1500, seed=14) if task.family == "sql"]
    assert len(statements) > 50
    for statement in statements:
        database.execute(statement)


def test_regex_answers_match_what_they_describe() -> None:
    assert len(REGEX_FRAMES) >= 8
    patterns = [task.output for task in draw(1500, seed=15) if task.family == "regex"]
    assert all(re.compile(pattern) for pattern in patterns)
    assert re.match(r"^AB-\d{4}$", "AB-1234")


@pytest.mark.skipif(shutil.which("grep") is None or shutil.which("sed") is None, reason="needs grep and sed")
def test_shell_answers_run(tmp_path: Path) -> None:
    for name, _ in FILES:
        (tmp_path / name).write_text("\n".join(f"{word} and more" for word in SEARCHED) + "\n")
    commands = {task.output for task in draw(1200, seed=16) if task.family == "shell"}
    for command in sorted(commands)[:40]:
        done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stderr == "", command


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_javascript_answers_give_the_reference_result() -> None:
    tasks = [task for task in draw(700, seed=18) if task.family == "translate"]
    lines = []
    for task in tasks:
        cases = json.dumps([case[0] for case in task.meaning.cases])
        lines.append(f"{{ {task.output} console.log(JSON.stringify({cases}.map({task.output.split()[1]}))); }}")
    done = subprocess.run(["node", "-e", "\n".join(lines)], capture_output=True, text=True, check=True)
    for task, line in zip(tasks, done.stdout.splitlines(), strict=True):
        assert task.meaning.expected is not None
        assert json.loads(line) == [task.meaning.expected(*case) for case in task.meaning.cases], task.output


def test_broken_code_differs_from_its_repair() -> None:
    repairs = [task for task in draw(2000, seed=17) if task.family == "repair"]
    assert len(repairs) > 30
    for task in repairs:
        assert task.input != task.output
        ast.parse(task.output)
