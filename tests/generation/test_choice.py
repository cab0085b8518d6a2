"""Several answers to a task: the requests, the choice, the drops, and what survives a kill."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from self_instruct import convert
from self_instruct.engines.base import EngineLost, Request
from self_instruct.errors import UserError
from self_instruct.generation.choice import best_of, by_agreement, describe, final_answer, votes
from self_instruct.generation.config import Config
from self_instruct.generation.public import generate, refilter
from self_instruct.report.explain import explain_candidate
from tests.support.chat_model import ChatModel
from tests.support.runs import ROOT, dataset, rows

RECIPES = {"chat": {}, "magpie": {"magpie_opening": "Please: "}, "few_shot": {"answer_orphans": "always"}}


class Solver(ChatModel):
    """Answers a task with one of few numbers, in a sentence, or not at all."""

    def _text(self, request: Request) -> str:
        text = super()._text(request)
        if not text.startswith("The answer to "):
            return text
        rng = random.Random(request.seed)
        return f"By method {request.seed}.\nThe answer is {rng.choice([7, 7, 7, '7.0', 8, 9])}."


def run(folder: Path, engine: ChatModel, recipe: str = "chat", **options: Any) -> Path:
    given = {
        "num_instructions_to_generate": 8, "max_requests": 60, "horizon": 8, "num_answers": 4, "recipe": recipe,
        "seed_tasks_path": str(ROOT / "seeds" / "general.jsonl"), **RECIPES[recipe], "batch_dir": str(folder), **options,
    }  # fmt: skip
    if recipe == "few_shot":  # most of its records need no second request
        given |= {"num_instructions_to_generate": 60, "max_requests": 50}
    generate(Config(**given), engine=engine)
    return folder


@pytest.fixture(scope="module", params=RECIPES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, run(folder, Solver(orphans=True), request.param)


def records(folder: Path) -> list[dict[str, Any]]:
    """Return the records whose output was chosen."""
    return [row for row in rows(folder / "machine_generated_instructions.jsonl") if "choice" in row["provenance"]]


def test_task_is_asked_n_times_in_a_row_and_the_commonest_answer_is_the_output(finished):
    _, folder = finished
    journal = {row["request"]: row for row in rows(folder / "completions.jsonl")}
    assert len(records(folder)) > 5
    for row in records(folder):
        about = row["provenance"]
        asked = [number for number, entry in journal.items() if entry.get("answers") == about["id"]]
        first = min(asked)
        assert sorted(asked) == [*range(first, first + 4)]
        choice = about["choice"]
        answers = {answer["request"]: answer for answer in choice["answers"]}
        texts = {number: journal[number]["text"].strip() for number in asked}
        assert answers.keys() == {number for number, text in texts.items() if text}
        assert all(answer["output"] == texts[number] for number, answer in answers.items())
        found = [final_answer(text) for text in texts.values() if text]
        most = max(found.count(one) for one in found) if len(found) > 1 else None
        assert (choice["agree"], choice["of"]) == ((most, len(found)) if most else (None, None))
        assert choice["by"] == ("majority" if most and most > 1 else "first")
        assert row["output"] == texts[about["response"]["request"]]
        if most and most > 1:
            assert found.count(final_answer(row["output"])) == most
        marked = {answer["mark"]: answer for answer in choice["answers"] if answer["mark"]}
        assert bool(marked) == (choice["by"] == "majority" and len(set(map(found.count, found))) > 1)
        if marked:
            assert marked["chosen"]["output"] == row["output"]
            assert marked["rejected"]["score"] < marked["chosen"]["score"]


def test_answers_that_fail_are_dropped_alone(finished):
    _, folder = finished
    journal = {row["request"]: row for row in rows(folder / "completions.jsonl")}
    kept = {row["provenance"]["id"] for row in rows(folder / "machine_generated_instructions.jsonl")}
    drops = [row for row in rows(folder / "rejected.jsonl") if row["reason"] == "empty_reply"]
    of_kept = [row for row in drops if journal[row["request"]].get("answers") in kept]
    assert of_kept and not kept & {row["id"] for row in rows(folder / "rejected.jsonl")}
    assert "An answer to the task" in explain_candidate(folder, of_kept[0]["id"])
    chosen = next(row["provenance"] for row in records(folder) if row["provenance"]["choice"]["agree"])
    text = f"{len(chosen['choice']['answers'])} answers, on which {chosen['choice']['agree']} agree"
    assert text in explain_candidate(folder, chosen["id"])
    names = [row["id"] for row in rows(folder / "rejected.jsonl")]
    assert len(set(names)) == len(names)


def test_killed_run_continues_to_the_same_bytes_in_any_order(finished, tmp_path):
    recipe, folder = finished
    for order in range(60):
        try:
            run(tmp_path / "run", Solver(order, 15, orphans=True), recipe)
            break
        except EngineLost:
            pass
    assert order > 0 and dataset(tmp_path / "run") == dataset(folder)
    numbers = [row["request"] for row in rows(tmp_path / "run" / "completions.jsonl")]
    assert len(set(numbers)) == len(numbers)


def test_run_continues_from_any_part_of_its_journal_and_refilter_repeats_the_choice(finished, tmp_path):
    recipe, folder = finished
    lines = (folder / "completions.jsonl").read_bytes().splitlines(keepends=True)
    for kept in range(5, len(lines), 31):
        part = shutil.copytree(folder, tmp_path / str(kept))
        (part / "completions.jsonl").write_bytes(b"".join(random.Random(kept).sample(lines, kept)))
        run(part, Solver(orphans=True), recipe)
        assert dataset(part) == dataset(folder)
    refilter(folder, tmp_path / "same")
    assert records(tmp_path / "same") == records(folder)


def test_task_without_a_good_answer_is_dropped_once_with_its_own_id(tmp_path):
    class Silent(Solver):
        def _text(self, request: Request) -> str:
            text = super()._text(request)
            return "" if text.startswith("By method") else text

    run(tmp_path / "run", Silent(), max_requests=30, min_yield=0)
    journal = rows(tmp_path / "run" / "completions.jsonl")
    asked = {row["answers"] for row in journal if row.get("step") == 2}
    drops = [row for row in rows(tmp_path / "run" / "rejected.jsonl") if row["reason"] == "empty_reply"]
    whole = {name for name in asked if sum(row.get("answers") == name for row in journal) == 4}
    assert whole and whole == {row["id"] for row in drops} & asked and len(drops) == 4 * len(whole)
    assert not records(tmp_path / "run")


def test_few_shot_and_greedy_answers_are_refused_before_anything_is_generated(tmp_path):
    for options, problem in (
        ({"recipe": "few_shot", "answer_orphans": "never"}, "needs requests that answer one task"),
        ({"answer_temperature": 0.0}, "the same answer 4 times"),
        ({"temperature": 0.0}, "the same answer 4 times"),
    ):
        with pytest.raises(UserError, match=problem):
            run(tmp_path / "run", Solver(), **options)
        assert not (tmp_path / "run" / "completions.jsonl").exists()
    with pytest.raises(UserError, match="num_answers is 65"):
        Config(num_answers=65)


def test_pairs_of_a_run_are_exported(finished, tmp_path):
    _, folder = finished
    convert([str(folder)], to="preference", output_path=str(tmp_path / "pairs.jsonl"))
    pairs = rows(tmp_path / "pairs.jsonl")
    marked = [
        {item["mark"]: item["output"] for item in row["provenance"]["choice"]["answers"] if item["mark"]}
        for row in records(folder)
    ]
    expected = [pair for pair in marked if pair]
    assert expected and [{"chosen": pair["chosen"], "rejected": pair["rejected"]} for pair in pairs] == expected
    # The pair survives a conversion to our own format, where it can also be read from.
    convert([str(folder)], to="jsonl", output_path=str(tmp_path / "ours.jsonl"))
    convert([str(tmp_path / "ours.jsonl")], to="preference", output_path=str(tmp_path / "again.jsonl"))
    assert rows(tmp_path / "again.jsonl") == pairs


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("Paris", "paris"), ("**Paris.**", "paris"), ("The capital.\n\nAnswer: Paris", "paris"), ("-5", "-5"),
        ("It costs 2 x 600.\nTherefore, the answer is $1,200.00.", "1200"), ("1200", "1200"), ("−3.50", "-3.5"),
        (r"So \boxed{\frac{1}{2}}, clearly.", r"\frac{1}{2}"), (r"\boxed{100}", "100"), ("0", "0"), ("-0", "0"),
        ("12 %", "12"), ("5 km", "5 km"), ("", None), ("```python\nprint(1)\n```", None), ("One line\nand another", None),
        ("This is a sentence with more than twelve words, so it is no answer.", None), ("$" * 5000, None),
        ("\\boxed{" * 5000, None),
    ],
)  # fmt: skip
def test_final_answer(output, answer):
    assert final_answer(output) == answer


def test_majority_is_the_first_of_the_commonest_answers():
    assert votes(["7", "8", "8.0", "I do not know what you want of me, and I would rather not say it."]) == [
        1,
        2,
        2,
        0,
    ]
    assert votes(["7", "a b c d e f g h i j k l m", "x\ny"]) is None and votes(["7"]) is None
    at, choice = by_agreement([(3, "7"), (4, "8"), (5, "8.0"), (6, "9")])
    assert at == 1 and (choice["by"], choice["agree"], choice["of"]) == ("majority", 2, 4)
    assert [answer["mark"] for answer in choice["answers"]] == ["rejected", "chosen", None, None]
    at, choice = by_agreement([(3, "7"), (4, "8"), (5, "8.0"), (6, "7")])
    assert at == 0 and not any(answer["mark"] for answer in choice["answers"]), "two against two is no preference"
    at, choice = by_agreement([(3, "7"), (4, "8")])
    assert at == 0 and (choice["by"], choice["agree"], choice["of"]) == ("first", 1, 2)
    assert not any(answer["mark"] for answer in choice["answers"])


def test_answer_without_a_score_is_in_no_pair():
    assert best_of([None, 0.5, -1.0]) == 1 and best_of([None, None]) == 0
    marks = [answer["mark"] for answer in describe("x", [(1, "a"), (2, "b"), (3, "c")], [None, 0.5, -1.0])["answers"]]
    assert marks == [None, "chosen", "rejected"]
    same = describe("x", [(1, "a"), (2, "a")], [0.5, 0.1])["answers"]
    assert not any(answer["mark"] for answer in same), "two equal texts are no pair"
