"""Runs from categories in this process, with an engine that calls a function of the test for each completion."""

import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from self_instruct.engines.base import Request
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError
from self_instruct.generation.config import Config
from self_instruct.generation.public import generate, refilter
from self_instruct.runs.journal import read_journal
from tests.support.category_runs import Author, build_recipe, replayed, run_recipe, write_category
from tests.support.runs import dataset, rows
from tests.support.scripts import instruction

MIX = "plain:50,answered:30,fielded:20"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "categories"
    write_category(folder, "plain", tasks=3)
    write_category(folder, "answered", steps=2, tasks=4)
    write_category(folder, "fielded", format="iio", tasks=1)
    (folder / "topics.txt").write_text("harbours\nclocks\nrivers\nbread\n")
    return folder


def recipe(files: Path, target: int = 40, categories: str = MIX, horizon: int = 8, *more: object):
    return build_recipe(
        "--categories", categories, "--categories_path", files, "--topics_path", files / "topics.txt",
        "--num_instructions_to_generate", target, "--horizon", horizon, *more,
    )  # fmt: skip


def write(request: Request) -> str | None:
    """Return the completion of a mediocre model: complete blocks, copies, broken blocks, sometimes no block."""
    rng = random.Random(request.seed)
    name = re.search(r"Kind: (\w+)", request.prompt)
    if rng.random() < 0.05:
        return "I would rather not."
    number = int(re.search(r"(\d+)\.", request.opening)[1])
    if name is None:  # the second step
        return f"The answer {rng.random()}.\n###\n" if rng.random() < 0.9 else ""
    blocks = []
    for at in range(number, number + int(re.search(r"Tasks: (\d+)", request.prompt)[1])):
        text = instruction(rng) if rng.random() < 0.9 else "The demonstration of plain asks for something plain."
        parts = [f"{at}. Instruction:\n{text}"]
        if name[1] == "fielded":
            parts.append(f"{at}. Input:\n{rng.random()}")
        if name[1] != "answered":
            parts.append(f"{at}. Output:\nanswer {rng.random()}")
        blocks.append("\n\n".join(parts) + "\n###\n")
    return "".join(blocks).split("\n", 1)[1]


def accepted(folder: Path) -> list[dict]:
    return rows(folder / "machine_generated_instructions.jsonl")


def test_quotas_are_met_exactly_and_every_candidate_is_in_one_file(files, tmp_path):
    loop, stopped = run_recipe(recipe(files), tmp_path / "run", Author(write))
    records, rejected = accepted(tmp_path / "run"), rows(tmp_path / "run/rejected.jsonl")
    assert stopped == "all 40 records are accepted"
    assert Counter(row["provenance"]["category"] for row in records) == {"plain": 20, "answered": 12, "fielded": 8}
    ids = [row["provenance"]["id"] for row in records] + [row["id"] for row in rejected]
    assert len(ids) == len(set(ids)) == loop.funnel.blocks + loop.funnel.drops["generation", "error"]
    judged = {entry.request for entry in read_journal(tmp_path / "run") if entry.step == 1}
    blocks = sum(len(re.findall(r"\d+\. Instruction:", entry.text)) + 1 for entry in read_journal(tmp_path / "run")
                 if entry.step == 1 and entry.request < loop.funnel.requests)  # fmt: skip
    assert judged and len(ids) == blocks
    reasons = {(row["stage"], row["reason"]) for row in rejected}
    assert {("novelty", "rouge_l"), ("limit", "awaiting_response")} <= reasons | {("limit", "awaiting_response")}
    assert all(row["output"] for row in records) and all(row["input"] for row in records
                                                        if row["provenance"]["category"] == "fielded")  # fmt: skip
    counts = loop.funnel.as_dict(stopped)["categories"]
    assert {name: item["accepted"] for name, item in counts.items()} == {"plain": 20, "answered": 12, "fielded": 8}
    for name in ("requests", "blocks", "parsed", "accepted"):
        assert sum(item[name] for item in counts.values()) == getattr(loop.funnel, name)


def test_categories_fill_in_proportion_to_their_shares(files, tmp_path):
    loop, _ = run_recipe(recipe(files, 400, MIX, 8, "--max_requests", 120), tmp_path / "run", Author(write))
    assert loop.funnel.accepted > 80
    for name, share in (("plain", 0.5), ("answered", 0.3), ("fielded", 0.2)):
        assert loop.funnel.categories[name].accepted / loop.funnel.accepted == pytest.approx(share, abs=0.08)


def test_an_answer_is_requested_for_the_oldest_unanswered_task_and_belongs_to_it(files, tmp_path):
    author = Author(write)
    run_recipe(recipe(files, 30, "answered", 4), tmp_path / "run", author)
    answers = [entry for entry in read_journal(tmp_path / "run") if entry.step == 2]
    names = [entry.answers for entry in answers]
    assert names == sorted(names) and len(set(names)) == len(names) > 20
    asked = {entry.request: entry for entry in read_journal(tmp_path / "run")}
    for entry in answers:
        source = int(entry.answers.partition("-")[0])
        assert source <= entry.request - 4 and entry.variables == asked[source].variables
    openings = {request.index: request.opening for request in author.asked}
    for row in accepted(tmp_path / "run"):
        about = row["provenance"]
        assert f"Instruction:\n{row['instruction']}" in openings[about["response"]["request"]]
        assert about["request"] == int(about["id"].partition("-")[0])
        assert asked[about["response"]["request"]].text.startswith(row["output"])


@pytest.mark.parametrize(("kept", "gap"), [(1, False), (9, False), (30, False), (5, True), (17, True)])
def test_continuing_from_any_journal_gives_the_files_of_an_uninterrupted_run(files, tmp_path, kept, gap):
    run_recipe(recipe(files), tmp_path / "whole", Author(write))
    lines = (tmp_path / "whole/completions.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    left = lines[: kept - 1] + lines[kept : kept + 3] if gap else lines[:kept]
    (tmp_path / "cut/completions.jsonl").write_bytes(b"".join(left))
    run_recipe(recipe(files), tmp_path / "cut", Author(write))
    assert dataset(tmp_path / "cut") == dataset(tmp_path / "whole")
    assert {entry.request: entry for entry in read_journal(tmp_path / "cut")} == {
        entry.request: entry for entry in read_journal(tmp_path / "whole")
    }


def test_the_plan_does_not_depend_on_the_order_of_completions(files, tmp_path):
    class Late(Author):
        rng = random.Random(5)

        def poll(self):
            size = self.rng.randint(min(1, len(self._pending)), len(self._pending))
            chosen = self.rng.sample(list(self._pending), size)
            for request in chosen:
                self._pending.remove(request)
            return [self._complete(request) for request in chosen]

    run_recipe(recipe(files), tmp_path / "in_order", Author(write))
    run_recipe(recipe(files), tmp_path / "late", Late(write))
    assert dataset(tmp_path / "late") == dataset(tmp_path / "in_order")


def test_a_category_without_records_is_given_up_and_the_others_fill_up(files, tmp_path):
    def failing_for_one(request: Request) -> str | None:
        return "no" if "Kind: fielded" in request.prompt else write(request)

    folder = tmp_path / "run"
    loop, stopped = run_recipe(recipe(files, 40, MIX, 8, "--patience", 15), folder, Author(failing_for_one))
    assert stopped == (
        "the other categories are full, and fielded has 0 of 8 and was given up: 0 of the 0 records from its last 15 requests "
        "could be kept (--patience and --min_yield set this limit)"
    )
    assert Counter(row["provenance"]["category"] for row in accepted(folder)) == {"plain": 20, "answered": 12}
    assert loop.funnel.categories["fielded"].requests == 15 and not loop.failed
    assert "fielded" in loop.funnel.table_of_categories() and "missing_output 15" in loop.funnel.table_of_categories()


def test_a_category_with_good_tasks_but_bad_answers_is_given_up(files, tmp_path):
    def mute(request: Request) -> str | None:
        return "" if "Kind:" not in request.prompt else write(request)

    loop, stopped = run_recipe(recipe(files, 40, MIX, 8, "--patience", 10), tmp_path / "run", Author(mute))
    assert "answered has 0 of 12 and was given up: 0 of the 10 answers from its last 10 requests" in stopped
    rejected = rows(tmp_path / "run/rejected.jsonl")
    left = [row for row in rejected if row["category"] == "answered" and row["reason"] == "awaiting_response"]
    assert loop.funnel.accepted == 28 and left and all(row["instruction"] for row in left)
    assert all(
        "response_request" in row for row in rejected if row["reason"] == "missing_output" and row["instruction"]
    )


def test_the_run_ends_if_all_categories_are_given_up(files, tmp_path):
    loop, stopped = run_recipe(
        recipe(files, 10, "plain,fielded", 4, "--patience", 6), tmp_path / "run", Author(lambda request: "no")
    )
    assert "plain has 0 of 5" in stopped and "fielded has 0 of 5" in stopped and loop.funnel.requests <= 6 + 6 + 4


def test_an_engine_error_instead_of_an_answer_drops_the_task(files, tmp_path):
    def failing(request: Request) -> str | None:
        return None if "Kind:" not in request.prompt and request.index % 3 == 0 else write(request)

    run_recipe(recipe(files, 12, "answered", 4), tmp_path / "run", Author(failing))
    failed = [row for row in rows(tmp_path / "run/rejected.jsonl") if row["stage"] == "generation"]
    assert failed and all(row["instruction"] and row["response_request"] % 3 == 0 for row in failed)
    assert len(accepted(tmp_path / "run")) == 12


def test_an_output_written_with_a_task_is_removed_from_it(files, tmp_path):
    def eager(request: Request) -> str | None:
        text = write(request)
        return (
            text
            if text is None or "Kind:" not in request.prompt
            else text.replace("\n###", "\n\n3. Output:\nDone.\n###")
        )

    run_recipe(recipe(files, 6, "answered", 2), tmp_path / "run", Author(eager))
    kept = accepted(tmp_path / "run")
    assert len(kept) == 6 and all("Output" not in row["instruction"] and row["output"] != "Done." for row in kept)


def test_topics_with_the_fewest_records_come_first_and_a_useless_one_does_not_take_over(files, tmp_path):
    def picky(request: Request) -> str | None:
        return "no" if "Topic: bread" in request.prompt else write(request)

    run_recipe(recipe(files, 60, "plain", 3), tmp_path / "run", Author(picky))
    asked = Counter(entry.variables["topic"] for entry in read_journal(tmp_path / "run"))
    kept = Counter(row["provenance"]["topic"] for row in accepted(tmp_path / "run"))
    assert set(kept) == {"harbours", "clocks", "rivers"} and max(kept.values()) - min(kept.values()) <= 6
    most = max(number for topic, number in asked.items() if topic != "bread")
    assert most < asked["bread"] <= most + max(kept.values())


def test_a_larger_target_keeps_records_that_exceeded_the_quota(files, tmp_path):
    run_recipe(recipe(files, 20), tmp_path / "run", Author(write))
    before = len([row for row in rows(tmp_path / "run/rejected.jsonl") if row["reason"] == "quota_reached"])
    run_recipe(recipe(files, 60), tmp_path / "run", Author(write))
    counts = Counter(row["provenance"]["category"] for row in accepted(tmp_path / "run"))
    assert before and counts == {"plain": 30, "answered": 18, "fielded": 12}


def test_a_journal_replays_to_the_same_dataset(files, tmp_path):
    run_recipe(recipe(files), tmp_path / "run", Author(write))
    run_recipe(recipe(files), tmp_path / "again", replayed(tmp_path / "run"))
    assert dataset(tmp_path / "again") == dataset(tmp_path / "run")


CHAT = "plain:50,answered:30,own:20"


def reply(request: Request) -> str | None:
    """Write as a chat model that leaves out some answers of a list, and that answers a task sent alone."""
    rng = random.Random(request.seed)
    if request.opening:
        return re.sub(r"\n\d+\. Output:\nanswer 0\.[0-4]\d*", "", write(request) or "")
    if "Write only the tasks" in request.prompt:
        return "Here they are:\n" + "\n".join(f"{at}. {instruction(rng)}" for at in range(1, 5))
    return f"A reply.\n\n1. Output:\nNumber {rng.random()} of the reply." if rng.random() < 0.9 else "no"


@pytest.fixture
def chat_files(files: Path) -> Path:
    write_category(files, "own", tasks=3, more="answered_alone: none\n")
    with (files / "plain.yaml").open("a") as file:
        file.write("answer_system_prompt: Be brief.\nmin_instruction_words: 3\n")
    return files


def chat(files: Path, *more: object):
    return recipe(files, 40, CHAT, 8, "--recipe", "chat", "--system_prompt", "Be strange.", *more)


def test_a_chat_model_answers_tasks_alone_and_the_reply_is_the_output(chat_files, tmp_path):
    author = Author(reply)
    loop, _ = run_recipe(chat(chat_files), tmp_path / "run", author)
    asked = {request.index: request for request in author.asked}
    entries = {entry.request: entry for entry in read_journal(tmp_path / "run")}
    kinds = Counter()
    for row in accepted(tmp_path / "run"):
        about = row["provenance"]
        two = "response" in about
        kinds[about["category"], two] += 1
        assert ("answers" in about["sampling"]) == (about["category"] != "own")
        if two:
            request = asked[about["response"]["request"]]
            assert (request.prompt, request.opening, request.stop) == (row["instruction"], "", ())
            assert row["output"] == entries[request.index].text.strip()
            assert request.system == ("Be brief." if about["category"] == "plain" else None)
    assert kinds["answered", True] == 12 and not kinds["answered", False]
    assert kinds["own", False] == 8 and not kinds["own", True]
    assert kinds["plain", True] > 2 and kinds["plain", False] > 2
    lists = [request for request in asked.values() if request.opening or "Write only the tasks" in request.prompt]
    assert {request.system for request in lists} == {"Be strange."}
    missing = [row for row in rows(tmp_path / "run/rejected.jsonl") if row["reason"] == "missing_output"]
    assert {row["category"] for row in missing} <= {"own"} | {
        row["category"] for row in missing if not row["instruction"]
    }
    assert not loop.failed


def test_a_task_with_a_rejected_answer_is_answered_once_more_and_then_dropped(files, tmp_path):
    write_category(files, "checked", tasks=1, more="validators: [arithmetic]\n")

    def wrong(request: Request) -> str:
        name = "Ann" if request.index % 2 else "Bo"
        if not request.opening:
            return "1 + 1 = 2" if "Ann" in request.prompt else "1 + 1 = 4"
        return f"{name} {instruction(random.Random(request.seed))}\n\n3. Output:\n1 + 1 = 3\n###\n"

    run_recipe(
        recipe(files, 4, "checked", 1, "--recipe", "chat", "--max_requests", 40), tmp_path / "run", Author(wrong)
    )
    assert {row["output"] for row in accepted(tmp_path / "run")} == {"1 + 1 = 2"}
    dropped = [row for row in rows(tmp_path / "run/rejected.jsonl") if row["stage"] == "validate"]
    assert dropped and all("1 + 1 = 4" in row["output"] and "response_request" in row for row in dropped)


def test_a_task_whose_answer_was_cut_by_length_is_answered_alone(files, tmp_path):
    engine = ScriptedEngine({0: ("Name a river of Asia.\n\n3. Output:\nThe river", True), 1: ("The Ob.", False)})
    run_recipe(recipe(files, 1, "plain", 1, "--recipe", "chat"), tmp_path / "run", engine)
    assert [(row["instruction"], row["output"]) for row in accepted(tmp_path / "run")] == [
        ("Name a river of Asia.", "The Ob.")
    ]


@pytest.mark.parametrize("key", ["", "\n\n5. Output:\nB. Trout"], ids=["missing", "wrong"])
def test_a_task_sent_alone_may_be_answered_with_another_letter(tmp_path, key):
    question = "Which of these is a mammal?\nA. Wasp\nB. Trout\nC. Gecko\nD. Bat"
    engine = ScriptedEngine({0: (question + key, False), 1: ("D. Bat", False)})
    run_recipe(build_recipe("--categories", "multiple_choice", "--recipe", "chat", "--horizon", 1), tmp_path, engine)
    (row,) = accepted(tmp_path)
    assert row["output"] == "D. Bat" and row["provenance"]["variables"]["letter"] == "A"


@pytest.mark.parametrize("kept", [2, 9, 20])
def test_a_chat_run_continues_from_any_journal(chat_files, tmp_path, kept):
    run_recipe(chat(chat_files), tmp_path / "whole", Author(reply))
    lines = (tmp_path / "whole/completions.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/completions.jsonl").write_bytes(b"".join([*lines[: kept - 1], *lines[kept : kept + 3]]))
    run_recipe(chat(chat_files), tmp_path / "cut", Author(reply))
    assert dataset(tmp_path / "cut") == dataset(tmp_path / "whole")


def test_the_horizon_is_derived_for_categories_too(files):
    made = recipe(files)
    made = made.with_config(replace(made.config, prompt=replace(made.config.prompt, horizon=None)))
    assert made.for_model(Author(write)).config.prompt.horizon == 16


def test_a_launch_stores_its_recipe_and_a_run_of_an_earlier_version_continues_as_it_began(chat_files, tmp_path):
    def launch(name: str, requests: int, **options: str) -> list[Request]:
        author = Author(reply)
        author.chats = True
        given = {"categories": CHAT, "categories_path": str(chat_files), "topics_path": str(chat_files / "topics.txt")}
        generate(
            Config(**given, **options, max_requests=requests, horizon=4, batch_dir=str(tmp_path / name)), engine=author
        )
        return author.asked

    def settings(name: str) -> dict:
        return yaml.safe_load((tmp_path / name / "run.yaml").read_text())

    assert any(not request.opening for request in launch("new", 12))
    assert settings("new")["options"]["recipe"] == "chat" and "alone_sha256" in settings("new")["categories"]["plain"]
    refilter(tmp_path / "new", tmp_path / "again")
    for name in ("machine_generated_instructions.jsonl", "rejected.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "new" / name).read_bytes()
    with (chat_files / "plain.yaml").open("a") as file:
        file.write("answered_alone: all\n")
    with pytest.raises(UserError, match="the file of category plain has changed"):
        launch("new", 14)

    launch("old", 6, recipe="few_shot", answer_orphans="never")
    earlier = settings("old")
    assert "alone_sha256" not in earlier["categories"]["plain"]
    earlier["options"].update(recipe="auto", answer_orphans="auto", system_prompt="It had no effect.")
    (tmp_path / "old/run.yaml").write_text(yaml.safe_dump(earlier))
    assert all(request.opening and request.system is None for request in launch("old", 12))


@pytest.mark.parametrize(("orphans", "plain"), [("always", "missing"), ("never", "none")])
def test_few_shot_sends_only_tasks_of_one_step_alone(chat_files, orphans, plain):
    asked = recipe(chat_files, 4, CHAT, 1, "--recipe", "few_shot", "--answer_orphans", orphans).asked
    assert {name: item.answered_alone for name, item in asked.items()} == {
        "plain": plain,
        "answered": "none",
        "own": "none",
    }


def test_magpie_is_refused(chat_files):
    with pytest.raises(UserError, match="--recipe magpie does not go with --categories"):
        recipe(chat_files, 4, CHAT, 1, "--recipe", "magpie")
