"""Runs with --verify: tests in requests of their own, run beside generation, and records that are kept if they pass."""

import hashlib
import json
import random
import re
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from self_instruct.commands import best_of_n
from self_instruct.commands import generate as command
from self_instruct.engines.base import EngineLost, Request
from self_instruct.errors import UserError
from self_instruct.generation import testing
from self_instruct.generation.config import Config
from self_instruct.generation.public import generate, refilter
from self_instruct.report.explain import explain_candidate
from self_instruct.rules import sandbox
from self_instruct.rules.execution import running
from tests.support.category_runs import Author, build_recipe, run_recipe, write_category
from tests.support.chat_model import ChatModel
from tests.support.runs import ROOT, dataset, rows

try:
    sandbox.open_sandbox()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

RECORDS, REJECTED = "machine_generated_instructions.jsonl", "rejected.jsonl"
KINDS = {  # kind: answer and tests, with the number of the task in the place of #
    "right": ("def add#(a, b):\n    return a + b", "assert add#(1, 2) == 3\nassert add#(0, -1) == -1"),
    "wrong": ("def mul#(a, b):\n    return a - b", "assert mul#(2, 3) == 6"),
    "empty": ("def log#(text):\n    return None", "assert log#('x') is None"),
    "untested": ("def half#(x):\n    return x / 2", "I cannot."),
    "prose": ("Number # of all birds is the penguin.", ""),
}
NUMBER = re.compile(r"\b(add|mul|log|half)\d+")
OUTCOMES = {"right": None, "wrong": "failed", "empty": "vacuous", "untested": "no_tests", "prose": None}


def asserts_for(request: Request) -> str:
    """Return the tests for the signature in a request."""
    _, _, signature = request.opening.partition("Signature:")
    kind = next(kind for kind, (code, _) in KINDS.items() if code.partition("#")[0] in signature)
    number = "".join(sign for sign in signature.split("(")[0] if sign.isdigit())
    return KINDS[kind][1].replace("#", number) + "\n###\n"


class Coder(ChatModel):
    """Answers tasks with code, and requests for tests with asserts; which, depends on the text of the request alone."""

    def _text(self, request: Request) -> str:
        if request.prompt.startswith(testing.HEADER):
            return asserts_for(request)
        if "as a numbered list" in request.prompt:
            return super()._text(request)
        rng = random.Random(f"{request.prompt}{request.seed if self.varied else ''}")
        answer = KINDS[rng.choice(self.kinds)][0].replace("#", str(rng.randrange(10**6)))
        return f"```python\n{answer}\n```" if "def" in answer else answer

    varied, kinds = False, tuple(KINDS)


class Undecided(Coder):
    """Gives other answers to the same task."""

    varied, kinds = True, ("right", "right", "wrong")


@pytest.fixture(scope="module", autouse=True)
def each_program_runs_once() -> Any:
    """Run each kind of answer with its tests once for all tests of this file: answers of a kind differ only in a number."""
    real, patch = running.execute, pytest.MonkeyPatch()

    @cache
    def found(language: str, code: str, tests: tuple[str, ...], mode: str) -> running.Execution:
        return real(language, code, tests, sandbox.Sandbox(mode))

    def execute(language: str, code: str, tests: list[str], where: sandbox.Sandbox) -> running.Execution:
        kind, *kinds = (NUMBER.sub(r"\1_", text) for text in (code, *tests))
        execution = found(language, kind, tuple(kinds), where.mode)
        return replace(execution, tests=list(tests), code_sha256=hashlib.sha256(code.encode()).hexdigest())

    patch.setattr(running, "execute", execute)
    yield
    patch.undo()


def run(folder: Path, engine: ChatModel | None = None, **options: Any) -> ChatModel:
    engine = engine or Coder()
    given = {
        "num_instructions_to_generate": 40, "max_requests": 45, "seed_tasks_path": str(ROOT / "seeds" / "general.jsonl"),
        "horizon": 6, "recipe": "chat", "verify": ["python"],
    }  # fmt: skip
    generate(Config(**{**given, **options, "batch_dir": str(folder)}), engine=engine)
    return engine


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ChatModel]:
    folder = tmp_path_factory.mktemp("verified") / "run"
    return folder, run(folder)


def kind_of(row: dict[str, Any]) -> str:
    return next(kind for kind, (answer, _) in KINDS.items() if answer.partition("#")[0] in row["output"])


def test_records_with_code_are_kept_if_they_pass_tests_that_are_not_vacuous(finished):
    folder, engine = finished
    kept, dropped = rows(folder / RECORDS), [row for row in rows(folder / REJECTED) if row["stage"] == "verify"]
    assert {kind_of(row) for row in kept} == {"right", "prose"}
    assert {(kind_of(row), row["reason"]) for row in dropped} == {
        (kind, reason) for kind, reason in OUTCOMES.items() if reason
    }
    for row in kept:
        about = row["provenance"].get("verification")
        assert (about is None) == (kind_of(row) == "prose")
        if about is not None:
            assert (about["outcome"], about["mutants"], about["killed"], len(about["tests"])) == ("passed", 2, 2, 2)
            assert row["provenance"]["response"]["request"] != about["request"] != row["provenance"]["request"]
    asked = [item for item in engine.asked if item.prompt.startswith(testing.HEADER)]
    assert all(item.sampling.temperature == 0 and "return" not in item.opening for item in asked)
    written = [row for row in rows(folder / "completions.jsonl") if row.get("step") == 3]
    assert len({row["answers"] for row in written}) == len(written) == len(asked)


def test_report_counts_the_code_and_the_tokens_of_a_verified_record(finished, capsys):
    folder, _ = finished
    report = json.loads((folder / "report.json").read_text())
    found, tests = report["verified"], [row for row in rows(folder / "completions.jsonl") if row.get("step") == 3]
    drops = report["drops"]["verify"]
    assert found["kept"] == sum("verification" in row["provenance"] for row in rows(folder / RECORDS)) > 0
    assert found["written"] == found["parsed"] == found["kept"] + sum(drops.values())
    assert found["tested"] == found["parsed"] - drops["no_tests"] and found["vacuous"] == drops["vacuous"]
    assert found["passing"] == found["kept"] + found["vacuous"]
    assert found["test_tokens"] == sum(row["completion_tokens"] for row in tests)
    assert found["tokens_per_verified_record"] == round(report["tokens"]["completion"] / found["kept"], 1)


def test_dataset_depends_on_neither_order_nor_deaths(finished, tmp_path):
    folder, _ = finished
    run(tmp_path / "other", Coder(order=5))
    assert dataset(tmp_path / "other") == dataset(folder)
    for order in range(60):
        try:
            run(tmp_path / "run", Coder(order, 7))
            break
        except EngineLost:
            pass
    assert order > 2 and dataset(tmp_path / "run") == dataset(folder)
    numbers = [row["request"] for row in rows(tmp_path / "run" / "completions.jsonl")]
    assert len(set(numbers)) == len(numbers)


def test_stored_results_decide_and_lost_ones_are_made_again(finished, tmp_path, monkeypatch):
    folder, _ = finished
    for name, lines in (("whole", None), ("half", 3), ("lost", 0)):
        part = shutil.copytree(folder, tmp_path / name)
        stored = (part / "executions.jsonl").read_bytes().splitlines(keepends=True)
        (part / "executions.jsonl").write_bytes(b"".join(stored[:lines]))
        run(part)
        assert dataset(part) == dataset(folder)
        assert {json.loads(line)["answer"] for line in stored} == {
            row["answer"] for row in rows(part / "executions.jsonl")
        }
    monkeypatch.setattr(running, "execute", None)
    refilter(folder, tmp_path / "same")
    for name in (RECORDS, REJECTED):
        assert (tmp_path / "same" / name).read_bytes() == (folder / name).read_bytes()


def test_refilter_with_another_threshold_runs_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setitem(KINDS, "right", ("def add#(a, b):\n    return a + b", "assert add#(1, 0) == 1"))
    run(folder)
    weak = [row for row in rows(folder / REJECTED) if row["detail"] == "they reject 1 of 2 mutants"]
    assert weak and {row["reason"] for row in weak} == {"vacuous"}
    monkeypatch.setattr(running, "execute", None)
    refilter(folder, tmp_path / "new", mutation_score_threshold=0.5)
    assert {row["id"] for row in weak} <= {row["provenance"]["id"] for row in rows(tmp_path / "new" / RECORDS)}


def test_several_answers_are_chosen_by_their_tests(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    run(folder, Undecided(), num_answers=2, max_requests=36)
    chosen = [row for row in rows(folder / RECORDS) if "verification" in row["provenance"]]
    marks = set()
    for row in chosen:
        choice = row["provenance"]["choice"]
        best = next(item for item in choice["answers"] if item["output"] == row["output"])
        assert choice["by"] == "tests" and best["score"] == 1
        marks |= {(item["score"], item["mark"]) for item in choice["answers"]}
    assert (0.0, "rejected") in marks and (1.0, "chosen") in marks
    ids = [row["provenance"]["id"] for row in rows(folder / RECORDS)] + [row["id"] for row in rows(folder / REJECTED)]
    assert len(set(ids)) == len(ids)
    run(tmp_path / "other", Undecided(order=9), num_answers=2, max_requests=36)
    assert dataset(tmp_path / "other") == dataset(folder)
    monkeypatch.setattr(running, "_run", None)  # the run's results are the choice: nothing is run again
    assert best_of_n.main([str(folder), "--run_tests"]) == 0
    assert rows(folder / "best_of_n_instructions.jsonl") == rows(folder / RECORDS)
    by = json.loads((folder / "best_of_n_report.json").read_text())["chosen_by"]
    assert by["tests"] == sum(len(row["provenance"]["choice"]["answers"]) > 1 for row in chosen) > 0


def test_whole_records_of_one_completion_are_verified_too(tmp_path):
    class Base(Coder):
        def _text(self, request: Request) -> str:
            if request.prompt.startswith(testing.HEADER):
                return super()._text(request)
            rng = random.Random(request.seed)
            code = rng.choice([KINDS["right"], KINDS["wrong"]])[0].replace("#", str(rng.randrange(10**6)))
            return f"Write number {rng.random()} of {rng.random()} in code.\n\n5. Output:\n{code}\n###\n"

    folder = tmp_path / "run"
    options = {"recipe": "few_shot", "answer_orphans": "never", "num_prompt_instructions": 4, "max_requests": 10}
    run(folder, Base(), **options, rouge_threshold=1.0, horizon=4)
    (record, *_) = rows(folder / RECORDS)
    assert "response" not in record["provenance"] and record["provenance"]["verification"]["outcome"] == "passed"
    dropped = next(row for row in rows(folder / REJECTED) if row["reason"] == "failed")
    assert "response_request" not in dropped
    text = explain_candidate(folder, dropped["id"])
    assert "rejected, verify: failed (AssertionError)" in text and f"assert {dropped['output'][4:7]}" in text
    assert "Its answer passes 2 tests" in explain_candidate(folder, record["provenance"]["id"])


def test_categories_fill_their_quotas_with_verified_records(tmp_path):
    def write(request: Request) -> str:
        if request.prompt.startswith(testing.HEADER):
            return asserts_for(request)
        rng, number = random.Random(request.seed), request.opening.split(".")[0].strip()
        kind = rng.choice(["right", "wrong"] if "Kind: code" in request.prompt else ["prose"])
        answer = KINDS[kind][0].replace("#", str(rng.randrange(10**6)))
        return f"Write number {rng.random()} of {rng.random()}.\n\n{number}. Output:\n{answer}\n###\n"

    for name in ("code", "plain"):
        write_category(tmp_path / "files", name, tasks=1)
    options = {"--categories": "code:1,plain:1", "--categories_path": tmp_path / "files", "--verify": "python",
               "--num_instructions_to_generate": 4, "--rouge_threshold": 1, "--max_requests": 80, "--horizon": 4}  # fmt: skip
    argv = [word for option in options.items() for word in option]
    loop, stopped = run_recipe(build_recipe(*argv), tmp_path / "run", Author(write))
    kept = [row["provenance"] for row in rows(tmp_path / "run" / RECORDS)]
    assert stopped == "all 4 records are accepted" and loop.funnel.requests < 40
    assert sorted(about["category"] for about in kept) == ["code"] * 2 + ["plain"] * 2
    assert [about["verification"]["outcome"] for about in kept if about["category"] == "code"] == ["passed"] * 2
    again, _ = run_recipe(build_recipe(*argv), tmp_path / "run", Author(lambda request: None))
    assert again.funnel.as_dict(stopped) == loop.funnel.as_dict(stopped)


def test_a_task_that_names_the_language_needs_code_that_can_be_tested(tmp_path):
    class Talker(Coder):
        def _text(self, request: Request) -> str:
            listed = "as a numbered list" in request.prompt
            return super()._text(request).replace("1. ", "1. In Python: ") if listed else f"Never {request.seed}."

    run(tmp_path / "run", Talker(), max_requests=12)
    rejected = [row for row in rows(tmp_path / "run" / REJECTED) if row["stage"] == "verify"]
    assert rejected and all(row["reason"] == "broken_code" and "Python" in row["instruction"] for row in rejected)
    assert json.loads((tmp_path / "run" / "report.json").read_text())["verified"]["parsed"] == 0


def test_without_isolation_the_run_is_refused_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "_obstacle", lambda mode: "Operation not permitted")
    with pytest.raises(UserError, match="--sandbox auto: programs cannot be isolated here"):
        run(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run(tmp_path / "none", sandbox="none", max_requests=26)
    stored = rows(tmp_path / "none" / "executions.jsonl")
    assert {row["execution"]["sandbox"] for row in stored} == {"none"}


def test_the_options_of_verification_cannot_change_when_a_run_continues(finished, capsys):
    folder, _ = finished
    argv = ["--batch_dir", str(folder), "--seed_tasks_path", str(ROOT / "seeds" / "general.jsonl"), "--verify", "sql"]
    with pytest.raises(UserError, match=r"--verify was \['python'\] and is now \['sql'\]"):
        command.main([*argv, "--engine", "scripted", "--script_path", str(folder / "completions.jsonl")])
