"""Runs in two steps: requests for tasks, and a separate request for each answer."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from self_instruct.engines.base import EngineLost, Request
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.generation.answers import AnswerQueue, user_message, whole_reply
from self_instruct.generation.config import Config
from self_instruct.generation.public import generate, refilter
from self_instruct.records import Record
from self_instruct.runs.journal import Entry
from tests.support.chat_model import ChatModel
from tests.support.runs import ROOT, dataset, rows

SEEDS = str(ROOT / "seeds" / "general.jsonl")
RECIPES = {"chat": {}, "magpie": {"magpie_opening": "Please: "}, "few_shot": {"answer_orphans": "always"}}


def run(folder: Path, engine: ChatModel | None = None, recipe: str = "chat", **options: Any) -> ChatModel:
    engine = engine or ChatModel(orphans=True)
    given = {
        "num_instructions_to_generate": 40,
        "max_requests": 60,
        "seed_tasks_path": SEEDS,
        "horizon": 6,
        **RECIPES[recipe],
    }
    generate(Config(**{**given, "batch_dir": str(folder), "recipe": recipe, **options}), engine=engine)
    return engine


@pytest.fixture(scope="module", params=RECIPES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, ChatModel]:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    return request.param, folder, run(folder, recipe=request.param)


def test_every_task_is_answered_once_and_the_reply_is_its_output(finished):
    recipe, folder, _ = finished
    journal = rows(folder / "completions.jsonl")
    answered = [row["answers"] for row in journal if row.get("step") == 2]
    assert len(set(answered)) == len(answered) > 10
    tasks = {row["provenance"]["id"]: row for row in rows(folder / "machine_generated_instructions.jsonl")}
    of_two_steps = [row for row in tasks.values() if "response" in row["provenance"]]
    assert of_two_steps and (len(of_two_steps) == len(tasks) or recipe == "few_shot")
    for row in of_two_steps:
        assert row["output"] == f"The answer to {row['instruction']!r}."
    reasons = {(row["stage"], row["reason"]) for row in rows(folder / "rejected.jsonl")}
    assert ("parse", "empty_reply") in reasons and ("parse", "missing_output") not in reasons
    dropped = {row["id"] for row in rows(folder / "rejected.jsonl")}
    assert not dropped & set(tasks), "a candidate is kept or dropped, never both"


def test_engine_gets_requests_for_answers_without_a_pause(finished):
    _, _, engine = finished
    steps = [
        "answer" if not (item.raw or item.opening or "numbered list" in item.prompt) else "task"
        for item in engine.asked
    ]
    assert steps[:6] == ["task"] * 6 and "answer" in steps[6:14]


def test_dataset_does_not_depend_on_the_order_of_completions(finished, tmp_path):
    recipe, folder, _ = finished
    run(tmp_path / "other", ChatModel(order=5, orphans=True), recipe)
    assert dataset(tmp_path / "other") == dataset(folder)


def test_killed_run_continues_without_lost_or_repeated_requests(finished, tmp_path):
    recipe, folder, _ = finished
    for order in range(60):
        try:
            run(tmp_path / "run", ChatModel(order, 7, orphans=True), recipe)
            break
        except EngineLost:
            pass
    assert order > 2 and dataset(tmp_path / "run") == dataset(folder)
    numbers = [row["request"] for row in rows(tmp_path / "run" / "completions.jsonl")]
    assert len(set(numbers)) == len(numbers)


def test_run_continues_to_the_same_dataset_from_any_part_of_its_journal(finished, tmp_path):
    recipe, folder, _ = finished
    lines = (folder / "completions.jsonl").read_bytes().splitlines(keepends=True)
    for kept in range(1, len(lines), 17):
        part = shutil.copytree(folder, tmp_path / str(kept))
        (part / "completions.jsonl").write_bytes(b"".join(lines[:kept][::-1]))
        run(part, recipe=recipe)
        assert dataset(part) == dataset(folder)


def test_refilter_reads_both_steps(finished, tmp_path):
    _, folder, _ = finished
    refilter(folder, tmp_path / "same")
    for name in ("machine_generated_instructions.jsonl", "rejected.jsonl"):
        assert (tmp_path / "same" / name).read_bytes() == (folder / name).read_bytes()


def test_steps_have_their_own_system_message_and_sampling(tmp_path):
    engine = run(
        tmp_path / "run", system_prompt="Be strange.", answer_system_prompt="Be exact.", answer_temperature=0.0,
        answer_max_new_tokens=9, max_requests=12,
    )  # fmt: skip
    tasks = [item for item in engine.asked if "numbered list" in item.prompt]
    answers = [item for item in engine.asked if item not in tasks]
    assert {item.system for item in tasks} == {"Be strange."} and {item.sampling for item in tasks} == {None}
    assert {(item.system, item.sampling.temperature, item.sampling.max_new_tokens) for item in answers} == {
        ("Be exact.", 0.0, 9)
    }
    (record, *_) = rows(tmp_path / "run" / "machine_generated_instructions.jsonl")
    assert record["provenance"]["sampling"]["answers"] == {"temperature": 0.0, "max_new_tokens": 9}


def test_magpie_prompt_ends_where_the_users_words_begin(tmp_path):
    engine = run(
        tmp_path / "run", recipe="magpie", system_prompt="Likes birds.", seed_tasks_path=None, max_requests=12
    )
    first = engine.asked[0]
    assert (first.prompt, first.opening) == ("<system>Likes birds.</system><user>", "Please: ")
    assert first.raw and first.stop == ("</user>",)
    records = rows(tmp_path / "run" / "machine_generated_instructions.jsonl")
    assert records and all(row["instruction"].startswith("Please: ") for row in records)
    refilter(tmp_path / "run", tmp_path / "again")


def test_magpie_run_stops_if_the_model_ends_every_user_turn_at_once(tmp_path):
    class Silent(ChatModel):
        def _text(self, request: Request) -> str:
            return ""

    run(tmp_path / "run", Silent(), "magpie")
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert "--recipe magpie does not suit the model" in report["stopped"] and report["requests"] == 24


@pytest.mark.parametrize(
    ("options", "recipe", "orphans"),
    [
        ({}, "chat", "never"),
        ({"output_trigger": "Answer"}, "few_shot", "always"),
        ({"recipe": "few_shot"}, "few_shot", "always"),
        ({"recipe": "few_shot", "answer_orphans": "never"}, "few_shot", "never"),
    ],
)
def test_recipe_depends_on_model_and_trigger_words_and_stays_the_same(tmp_path, options, recipe, orphans):
    given = {"seed_tasks_path": SEEDS, "batch_dir": str(tmp_path / "run"), "max_requests": 2, **options}
    chosen = {"recipe": recipe, "answer_orphans": orphans}
    for requests in (2, 4):
        made = generate(Config(**{**given, "max_requests": requests}), engine=ChatModel())
        options = yaml.safe_load((made.folder / "run.yaml").read_text())["options"]
        assert {name: options[name] for name in chosen} == chosen


def test_model_without_a_template_continues_a_list(tmp_path):
    class Base(ChatModel):
        chats = False

    given = {"seed_tasks_path": SEEDS, "max_requests": 2}
    made = generate(Config(**given, batch_dir=str(tmp_path / "run")), engine=Base())
    options = yaml.safe_load((made.folder / "run.yaml").read_text())["options"]
    assert (options["recipe"], options["answer_orphans"]) == ("few_shot", "never")
    for option in ({"recipe": "chat"}, {"recipe": "magpie"}, {"answer_orphans": "always"}, {"system_prompt": "x"}):
        with pytest.raises(UserError, match="needs a model with a chat template"):
            generate(Config(**given, **option, batch_dir=str(tmp_path / "other")), engine=Base())


def test_input_is_sent_below_the_instruction(tmp_path):
    assert user_message(Record("a", "Sort.", "3 1 2", "")) == "Sort.\n\n3 1 2"
    assert user_message(Record("a", "Sort.", "", "")) == "Sort."
    given = {"seed_tasks_path": SEEDS, "batch_dir": str(tmp_path / "run"), "max_requests": 8, "horizon": 2}
    engine = ChatModel()
    generate(Config(**given), format=INSTRUCTION_INPUT_OUTPUT, engine=engine)
    assert 'begins with "Input:"' in engine.asked[0].prompt and "\n   Input: " in engine.asked[0].prompt
    assert rows(tmp_path / "run" / "machine_generated_instructions.jsonl")


def entry(request: int, step: int = 1, answers: str | None = None, text: str = "", reason: str = "stop") -> Entry:
    return Entry(request, [], [], 1, "", text, reason, 1, 1, 0, None, step=step, answers=answers)


def test_queue_answers_the_oldest_task_within_the_horizon():
    queue = AnswerQueue(horizon=2)
    assert [queue.turn(index).task for index in (0, 1)] == [None, None]
    queue.observe(entry(0), [], {"a": 2, "b": 2})
    assert queue.turn(2).task == "a"
    queue.observe(entry(1), [], {"c": 2})
    assert [queue.turn(index).task for index in (3,)] == ["b"]


def test_queue_follows_the_journal_and_never_answers_a_task_twice():
    queue = AnswerQueue(horizon=1)
    queue.resume({0: entry(0), 1: entry(1), 3: entry(3, 2, "a")})
    queue.observe(entry(0), [], {"a": 2, "b": 2})
    queue.observe(entry(1), [], {})
    assert [queue.turn(index).task for index in (2, 3, 4)] == ["b", "a", None]


def test_queue_asks_once_for_tests_and_as_often_as_needed_for_answers():
    queue = AnswerQueue(horizon=1, num_answers=2)
    queue.resume({0: entry(0), 1: entry(1, 2, "a"), 2: entry(2, 2, "a"), 4: entry(4, 3, "a")})
    queue.observe(entry(0), [], {"a": 2, "b": 2})
    queue.observe(entry(1), [], {})
    queue.observe(entry(2), [], {"a": 3})
    assert [queue.turn(index)[::2] for index in (3, 4, 5, 6)] == [("b", 2), ("a", 3), ("b", 2), (None, 1)]


def test_queue_asks_for_tests_before_answers_to_other_tasks_but_not_between_the_answers_to_one():
    queue = AnswerQueue(horizon=1, num_answers=2)
    queue.observe(entry(0), [], {"a": 2, "b": 2})
    assert [queue.turn(index)[::2] for index in (1, 2)] == [("a", 2), ("a", 2)]
    queue.observe(entry(1), [], {})
    queue.observe(entry(2), [], {"a": 3})
    assert [queue.turn(index)[::2] for index in (3, 4)] == [("a", 3), ("b", 2)]
    queue.observe(entry(3), [], {})
    queue.observe(entry(4), [], {"c": 3, "d": 2})
    assert [queue.turn(index)[::2] for index in (5, 6, 7)] == [("b", 2), ("c", 3), ("d", 2)]


def test_requests_for_answers_do_not_count_among_those_that_share_a_prompt():
    queue = AnswerQueue(horizon=1, together=2)
    assert queue.turn(0).first == 0
    queue.observe(entry(0), [], {"a": 2})
    assert queue.turn(1).task == "a"
    queue.observe(entry(1), [], {})
    assert [queue.turn(index).first for index in (2, 3, 4)] == [0, 3, 3]


def test_whole_reply_is_the_output():
    task = Record("a", "Sort.", "", "")
    assert whole_reply(entry(1, text=" 1. Output:\n###\nx \n"), task).fields == {"output": "1. Output:\n###\nx"}
    assert whole_reply(entry(1, text=" \n"), task).reason == "empty_reply"
    assert whole_reply(entry(1, text="1, 2", reason="length"), task).reason == "cut_by_length"


def test_block_without_an_output_still_has_its_instruction():
    assert INSTRUCTION_OUTPUT.parse("Sort.\n###\n")[0].fields == {"instruction": "Sort."}
