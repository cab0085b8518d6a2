"""Several answers to the tasks of categories."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from self_instruct.engines.base import Request
from self_instruct.errors import UserError
from self_instruct.runs.journal import read_journal
from tests.support.category_runs import Author, build_recipe, run_recipe, write_category
from tests.support.runs import dataset, rows
from tests.support.scripts import instruction

ANSWERS = 4


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "categories"
    write_category(folder, "plain", tasks=2)
    write_category(folder, "answered", steps=2, tasks=3)
    (folder / "topics.txt").write_text("harbours\nclocks\n")
    return folder


def recipe(files: Path, *more: object, target: int = 12, categories: str = "plain:50,answered:50"):
    return build_recipe(
        "--categories", categories, "--categories_path", files, "--topics_path", files / "topics.txt", "--recipe", "few_shot",
        "--num_instructions_to_generate", target, "--horizon", 8, "--num_answers", ANSWERS, "--answer_orphans", "never", *more,
    )  # fmt: skip


def write(request: Request) -> str | None:
    rng = random.Random(request.seed)
    name, number = re.search(r"Kind: (\w+)", request.prompt), int(re.search(r"(\d+)\.", request.opening)[1])
    if name is None:
        return f"Answer {rng.randint(1, 3)}.\n###\n" if rng.random() < 0.8 else None if rng.random() < 0.5 else ""
    blocks = []
    for at in range(number, number + int(re.search(r"Tasks: (\d+)", request.prompt)[1])):
        output = f"\n\n{at}. Output:\nanswer {rng.random()}" if name[1] == "plain" else ""
        blocks.append(f"{at}. Instruction:\n{instruction(rng)}{output}\n###\n")
    return "".join(blocks).split("\n", 1)[1]


def test_each_task_gets_its_answers_in_a_row_and_quotas_and_patience_hold(files, tmp_path):
    # Fewer requests of patience than answers to a task: all of them count as one.
    engine = Author(write)
    loop, stopped = run_recipe(recipe(files, "--patience", 3), tmp_path / "run", engine)
    kept = rows(tmp_path / "run/machine_generated_instructions.jsonl")
    assert stopped == "all 12 records are accepted" and not loop.failed
    assert Counter(row["provenance"]["category"] for row in kept) == {"plain": 6, "answered": 6}
    asked: dict[str, list[int]] = {}
    for entry in read_journal(tmp_path / "run"):
        if entry.answers is not None:
            asked.setdefault(entry.answers, []).append(entry.request)
    assert all(numbers == [*range(numbers[0], numbers[0] + len(numbers))] for numbers in asked.values())
    chosen = [row["provenance"] for row in kept if "choice" in row["provenance"]]
    assert len(chosen) == 6 and all(len(asked[about["id"]]) == ANSWERS for about in chosen)
    assert {about["choice"]["by"] for about in chosen} >= {"majority"}
    shared = {request.index: request.prompt + request.opening for request in engine.asked}
    assert all(len({shared[number] for number in numbers}) == 1 for numbers in asked.values())
    names = [row["id"] for row in rows(tmp_path / "run/rejected.jsonl")]
    assert len(set(names)) == len(names) and not set(names) & {row["provenance"]["id"] for row in kept}


@pytest.mark.parametrize("kept", [9, 24])
def test_continuing_from_any_part_of_the_journal_gives_the_same_files(files, tmp_path, kept):
    run_recipe(recipe(files), tmp_path / "whole", Author(write))
    lines = (tmp_path / "whole/completions.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) > kept
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/completions.jsonl").write_bytes(b"".join(random.Random(kept).sample(lines, kept)))
    run_recipe(recipe(files), tmp_path / "cut", Author(write))
    assert dataset(tmp_path / "cut") == dataset(tmp_path / "whole")


def test_category_without_good_answers_is_given_up_after_patience_tasks(files, tmp_path):
    def mute(request: Request) -> str | None:
        return "" if "Kind:" not in request.prompt else write(request)

    loop, stopped = run_recipe(recipe(files, "--patience", 5), tmp_path / "run", Author(mute))
    assert "answered has 0 of 6 and was given up: 0 of the 20 answers from its last 5 requests" in stopped
    answered = loop.funnel.categories["answered"].answers
    assert 5 * ANSWERS <= answered <= 5 * ANSWERS + 8 + ANSWERS


def test_categories_of_one_step_are_refused(files, tmp_path):
    with pytest.raises(UserError, match=r"--num_answers 4 needs requests that answer one task"):
        recipe(files, categories="plain").session(Author(write))
