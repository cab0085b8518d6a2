"""The bootstrapping loop with a scripted engine."""

import json
import random
from pathlib import Path

import pytest

from self_instruct.engines.base import Completion, EngineLost
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.loop import Loop
from self_instruct.generation.plan import numbered_stop
from self_instruct.runs.journal import read_journal
from tests.support.loop_runs import looped
from tests.support.runs import dataset, rows
from tests.support.scripts import write_script


class Shuffled(ScriptedEngine):
    """An engine that answers in random order, some requests at a time, like several busy devices."""

    rng = random.Random(3)

    def poll(self) -> list[Completion]:
        size = self.rng.randint(1, max(1, len(self._pending)))
        chosen = self.rng.sample(list(self._pending), min(size, len(self._pending)))
        for request in chosen:
            self._pending.remove(request)
        return [self._complete(request) for request in chosen]


class Faulty(ScriptedEngine):
    """An engine that answers two requests at a time and fails at request 8; finished completions can still be polled."""

    fault: Exception = EngineLost("rank 1 (process 7 on somewhere) has died")

    def poll(self) -> list[Completion]:
        if not self._interrupted and self._pending and self._pending[0].index >= 8:
            raise self.fault
        return [self._complete(self._pending.popleft()) for _ in range(min(2, len(self._pending)))]


class Mistaken(Faulty):
    """A faulty engine that raises a user error."""

    fault = UserError("another revision", 1)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_script(tmp_path_factory.mktemp("script") / "script.jsonl", 60)


def run_loop(script, folder, target=50, kind=ScriptedEngine, **options) -> tuple[Loop, str]:
    return looped(kind.from_file(script), folder, target, **options)


def test_the_target_is_met_exactly_and_every_block_is_in_one_file(script, tmp_path):
    loop, stopped = run_loop(script, tmp_path / "run", target=50)
    accepted, rejected = (
        rows(tmp_path / "run/machine_generated_instructions.jsonl"),
        rows(tmp_path / "run/rejected.jsonl"),
    )
    assert stopped == "all 50 records are accepted" and len(accepted) == 50
    ids = [row["provenance"]["id"] for row in accepted] + [row["id"] for row in rejected]
    assert len(set(ids)) == len(ids) == loop.funnel.blocks
    assert {row["reason"] for row in rejected} == {
        "rouge_l",
        "missing_output",
        "cut_by_length",
        "opening",
        "target_reached",
    }
    assert all(row["provenance"]["rouge_l"] < 0.6 for row in accepted)
    assert all(row["nearest"]["score"] >= 0.6 for row in rejected if row["reason"] == "rouge_l")
    assert [row["provenance"]["request"] for row in accepted] == sorted(
        row["provenance"]["request"] for row in accepted
    )


def test_the_dataset_depends_on_neither_timing_nor_order_of_completion(script, tmp_path):
    run_loop(script, tmp_path / "a")
    run_loop(script, tmp_path / "b", kind=Shuffled)
    assert dataset(tmp_path / "a") == dataset(tmp_path / "b")
    plans = [{e.request: (e.prompt_sha256, e.text) for e in read_journal(tmp_path / name)} for name in "ab"]
    common = plans[0].keys() & plans[1].keys()
    assert len(common) > 15 and all(plans[0][i] == plans[1][i] for i in common)


def test_prompts_use_only_pool_records_from_before_the_horizon(script, tmp_path):
    run_loop(script, tmp_path / "run", horizon=6)
    entries = read_journal(tmp_path / "run")
    parents = [(entry.request, int(parent.split("-")[0])) for entry in entries for parent in entry.parent_ids]
    assert all(parent <= request - 6 for request, parent in parents) and len(parents) > 10
    depth = {row["provenance"]["id"]: row["provenance"]["depth"] for row in rows(
        tmp_path / "run/machine_generated_instructions.jsonl")}  # fmt: skip
    assert all(entry.depth == 1 + max([0, *(depth[p] for p in entry.parent_ids)]) for entry in entries)
    assert max(depth.values()) > 1


@pytest.mark.parametrize(("kept", "torn"), [(0, b""), (1, b'{"request": 3, "seed_'), (7, b""), (15, b"{")])
def test_continuing_from_any_journal_gives_the_files_of_an_uninterrupted_run(script, tmp_path, kept, torn):
    run_loop(script, tmp_path / "whole")
    journal = (tmp_path / "whole/completions.jsonl").read_bytes()
    (tmp_path / "cut").mkdir()
    lines = journal.splitlines(keepends=True)
    (tmp_path / "cut/completions.jsonl").write_bytes(b"".join(lines[:kept]) + torn)
    run_loop(script, tmp_path / "cut")
    assert dataset(tmp_path / "cut") == dataset(tmp_path / "whole")
    assert (tmp_path / "cut/completions.jsonl").read_bytes() == journal


def test_completions_after_a_gap_in_the_journal_are_not_requested_again(script, tmp_path):
    run_loop(script, tmp_path / "whole")
    lines = (tmp_path / "whole/completions.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "gap").mkdir()
    (tmp_path / "gap/completions.jsonl").write_bytes(b"".join(lines[1:3] + lines[4:6]))
    run_loop(script, tmp_path / "gap")
    requests = [row["request"] for row in rows(tmp_path / "gap/completions.jsonl")]
    assert len(requests) == len(set(requests)) and requests[:4] == [1, 2, 4, 5]
    assert dataset(tmp_path / "gap") == dataset(tmp_path / "whole")


def test_a_larger_target_continues_where_the_smaller_one_ended(script, tmp_path):
    run_loop(script, tmp_path / "run", target=20)
    first = (tmp_path / "run/machine_generated_instructions.jsonl").read_bytes()
    run_loop(script, tmp_path / "run", target=50)
    run_loop(script, tmp_path / "at_once", target=50)
    assert dataset(tmp_path / "run") == dataset(tmp_path / "at_once")
    assert (tmp_path / "run/machine_generated_instructions.jsonl").read_bytes().startswith(first)


def test_a_model_that_repeats_itself_ends_the_run(tmp_path):
    path = tmp_path / "script.jsonl"
    path.write_text('{"text": "Count the sheep in the field.\\n\\n4. Output:\\n12\\n###\\n"}\n' * 200)
    loop, stopped = run_loop(path, tmp_path / "run", min_yield=0.02, patience=30)
    assert "--min_yield" in stopped and loop.funnel.requests == 31 and loop.funnel.accepted == 1


def test_a_run_that_ends_because_of_the_filters_says_so(tmp_path):
    path = tmp_path / "script.jsonl"
    path.write_text('{"text": "列出四种可再生能源。\\n\\n4. Output:\\n风能\\n###\\n"}\n' * 20, encoding="utf-8")
    _, stopped = run_loop(path, tmp_path / "run", min_yield=0.02, patience=10)
    assert "the filters dropped 10 of the 10 blocks that could be read, most (10) for too_short" in stopped


@pytest.mark.parametrize("text", ["", "   \n", "nothing of use"])
def test_a_model_that_writes_no_block_ends_the_run(tmp_path, text):
    path = tmp_path / "script.jsonl"
    path.write_text(f'{{"text": "{text!s}"}}\n'.replace('\n"', '\\n"') * 50)
    loop, stopped = run_loop(path, tmp_path / "run", min_yield=0.01, patience=20)
    assert "--min_yield" in stopped and loop.funnel.requests == 20 and loop.funnel.accepted == 0
    assert loop.funnel.parsed == 0 and loop.funnel.blocks == 20


def neighbours(path: Path, new: int, total: int) -> Path:
    """Write a script of tasks: the first `new` share no word, and the others half of their words with an earlier one."""
    with path.open("w") as file:
        for at in range(total):
            words = [f"w{at}x{word}" if at < new or word % 2 else f"w{at % new}x{word}" for word in range(10)]
            text = f"{' '.join(words)}\n\n4. Output:\n{' '.join(words[::-1])} {at}\n###\n"
            file.write(json.dumps({"text": text}) + "\n")
    return path


def test_a_run_that_only_adds_neighbours_ends_at_the_same_request_however_it_was_interrupted(tmp_path):
    path = neighbours(tmp_path / "script.jsonl", 30, 90)
    found = {}
    for name, kind in (("ordered", ScriptedEngine), ("shuffled", Shuffled)):
        loop, stopped = run_loop(path, tmp_path / name, 500, kind, patience=20, stop_diversity=0.7)
        found[name] = dataset(tmp_path / name), loop.funnel.requests, stopped
    # The window of 20 requests has a mean novelty of (k + 0.5 (20 - k)) / 20 with k new ones, below 0.7 once k is 7.
    assert found["ordered"] == found["shuffled"] and found["ordered"][1] == 43
    assert found["ordered"][2] == (
        "the records of the last 20 requests are neighbours of earlier ones: their mean novelty was 0.675, under "
        "--stop_diversity 0.7"
    )
    run_loop(path, tmp_path / "twice", 500, max_requests=35, patience=20, stop_diversity=0.7)
    loop, stopped = run_loop(path, tmp_path / "twice", 500, patience=20, stop_diversity=0.7)
    assert (dataset(tmp_path / "twice"), loop.funnel.requests, stopped) == found["ordered"]
    assert json.loads((tmp_path / "twice/report.json").read_text())["stopped"] == stopped
    loop, stopped = run_loop(path, tmp_path / "without", 500, patience=20)
    assert loop.funnel.requests == 90 and stopped == "--script_path has no more completions"


def test_max_requests_and_the_end_of_the_script_end_the_run(script, tmp_path):
    loop, stopped = run_loop(script, tmp_path / "a", target=500, max_requests=9)
    assert stopped == "--max_requests 9 was reached" and loop.funnel.requests == 9
    loop, stopped = run_loop(script, tmp_path / "b", target=500)
    assert stopped == "--script_path has no more completions" and loop.funnel.requests == 60


def test_a_request_that_the_engine_could_not_answer_is_reported_and_counted(script, tmp_path):
    path = tmp_path / "gaps.jsonl"
    path.write_text(
        '{"request": 0, "text": "Sum up the costs of the week.\\n\\n4. Output:\\n9\\n###\\n"}\n{"request": 2, "text": ""}\n'
    )
    loop, _ = run_loop(path, tmp_path / "run", target=5)
    rejected = rows(tmp_path / "run/rejected.jsonl")
    assert [(row["stage"], row["reason"], row["request"]) for row in rejected] == [
        ("generation", "error", 1), ("parse", "empty_block", 2)]  # fmt: skip
    assert rejected[0]["detail"] == "the script has no completion for request 1"
    assert loop.funnel.completions == {"stop": 2, "error": 1}
    assert "1 request failed with an error of the engine" in loop.funnel.table()


def test_the_default_stop_text_is_the_label_after_the_last_task():
    stop = numbered_stop(12, None)(INSTRUCTION_OUTPUT, 9)
    assert stop == ("\n21. Instruction:",)
    assert numbered_stop(12, ("\n20", "20."))(INSTRUCTION_OUTPUT, 9) == ("\n20", "20.")


def test_requests_that_failed_are_sent_again_by_the_next_launch(script, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"request": 90, "text": ""}\n')
    loop, stopped = run_loop(empty, tmp_path / "run")
    assert stopped == "the last 20 requests could not be answered: the script has no completion for request 19"
    assert loop.funnel.completions == {"error": 20}
    run_loop(script, tmp_path / "run")
    run_loop(script, tmp_path / "whole")
    assert dataset(tmp_path / "run") == dataset(tmp_path / "whole")


def test_a_journal_of_other_prompts_is_refused(script, tmp_path):
    run_loop(script, tmp_path / "run", target=5)
    journal = tmp_path / "run/completions.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"prompt_sha256": "', b'"prompt_sha256": "0'))
    with pytest.raises(UserError, match="request 0 has another prompt than this launch would compose"):
        run_loop(script, tmp_path / "run", target=5)


def test_max_tokens_ends_the_run_at_the_first_request_that_reaches_it(script, tmp_path):
    _, _ = run_loop(script, tmp_path / "whole")
    counts = [entry.completion_tokens for entry in read_journal(tmp_path / "whole")]
    loop, stopped = run_loop(script, tmp_path / "run", max_tokens=sum(counts[:5]))
    assert stopped == f"--max_tokens {sum(counts[:5])} was reached" and loop.funnel.requests == 5
    assert loop.funnel.completion_tokens == sum(counts[:5])
    loop, _ = run_loop(script, tmp_path / "run", max_tokens=sum(counts[:5]) + 1)
    assert loop.funnel.requests == 6, "the limit is on the tokens of the whole run, not of one launch"


@pytest.mark.parametrize("horizon", [1, 4, 7])
def test_requests_of_a_group_share_a_prompt_but_different_groups_do_not(script, tmp_path, horizon):
    run_loop(script, tmp_path / "run", target=500, max_requests=29, horizon=horizon, more={"num_return_sequences": 3})
    entries = read_journal(tmp_path / "run")
    groups = [{entry.prompt_sha256 for entry in entries if entry.request // 3 == number} for number in range(10)]
    assert [entry.request for entry in entries] == list(range(29)) and all(len(group) == 1 for group in groups)
    assert len(set.union(*groups)) == 10
    parents = [(e.request, int(parent.split("-")[0])) for e in entries for parent in e.parent_ids]
    assert parents and all(parent <= request - request % 3 - horizon for request, parent in parents)


@pytest.mark.parametrize("kept", [1, 3, 4, 8, 14])
@pytest.mark.parametrize("kind", [ScriptedEngine, Shuffled])
def test_continuing_inside_a_group_gives_the_files_of_an_uninterrupted_run(script, tmp_path, kept, kind):
    three = {"more": {"num_return_sequences": 3}, "kind": kind}
    run_loop(script, tmp_path / "whole", **three)
    lines = (tmp_path / "whole/completions.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/completions.jsonl").write_bytes(b"".join(lines[:kept]))
    run_loop(script, tmp_path / "cut", **three)
    assert dataset(tmp_path / "cut") == dataset(tmp_path / "whole")
    prompts = [
        {entry.request: entry.prompt_sha256 for entry in read_journal(tmp_path / name)} for name in ("cut", "whole")
    ]
    assert all(prompts[0][request] == prompts[1][request] for request in prompts[0].keys() & prompts[1].keys())


def test_a_lost_engine_fails_the_run_after_its_finished_completions_are_journalled(script, tmp_path):
    loop, stopped = run_loop(script, tmp_path / "run", kind=Faulty)
    assert loop.failed and stopped == "rank 1 (process 7 on somewhere) has died"
    assert [entry.request for entry in read_journal(tmp_path / "run")] == list(range(10))
    loop, _ = run_loop(script, tmp_path / "run")
    run_loop(script, tmp_path / "whole")
    assert not loop.failed and dataset(tmp_path / "run") == dataset(tmp_path / "whole")


def test_a_user_error_during_the_run_loses_no_finished_completion(script, tmp_path):
    with pytest.raises(UserError, match="another revision"):
        run_loop(script, tmp_path / "run", kind=Mistaken)
    assert [entry.request for entry in read_journal(tmp_path / "run")] == list(range(10))
