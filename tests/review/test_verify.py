"""The verify command with scripted tests: outcomes, resuming, thresholds and error messages."""

import json

import pytest

from self_instruct.commands import verify
from self_instruct.errors import UserError
from self_instruct.review.verify import OUTCOMES
from self_instruct.rules import sandbox
from self_instruct.rules.execution import running
from self_instruct.rules.execution.running import Execution
from tests.support.runs import rows

try:
    sandbox.open_sandbox()
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)

ADD = "def add(a, b):\n    return a + b"
ANSWERS = {  # id: task, output, tests that the model writes (None if it is not asked)
    "passed": ("Write add.", f"Sure:\n```python\n{ADD}\n```", "assert add(1, 2) == 3\nassert add(0, -1) == -1"),
    "failed": ("Write mul in Python.", "def mul(a, b):\n    return a + b", "assert mul(2, 3) == 6"),
    "exits": ("Write six.", "import sys\ndef six():\n    return 6\nsys.exit(0)", "assert six() == 6"),
    "leaves": ("Write ten.", "import os\ndef ten():\n    os._exit(0)", "assert ten() == 10"),
    "timeout": ("Write spin.", "def spin():\n    while True: pass", "assert spin() is None"),
    "empty": ("Write nothing.", "def nothing():\n    return None", "assert nothing() is None"),
    "weak": ("Write sign.", "def sign(x):\n    return 1 if x > 0 else -1", "assert sign(3) is not None"),
    "no_tests": ("Write half(x).", "def half(x):\n    return x / 2", "I cannot."),
    "broken_code": ("Sort in Python.", "def sort(:", None),
    "not_code": ("Name a bird.", "Penguin", None),
}  # fmt: skip
EXPECTED = {
    **{name: name for name in ANSWERS},
    "exits": "failed",
    "leaves": "failed",
    "empty": "vacuous",
    "weak": "vacuous",
}


@pytest.fixture
def place(tmp_path):
    lines = [{"id": name, "instruction": task, "output": output} for name, (task, output, _) in ANSWERS.items()]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    texts = [tests for *_, tests in ANSWERS.values() if tests is not None]
    (tmp_path / "script.jsonl").write_text("".join(json.dumps({"text": f"{text}\n###\n"}) + "\n" for text in texts))
    return tmp_path


def verified(folder, *options, ask=True):
    argv = ["--input_path", folder / "in.jsonl", "--output_path", folder / "out.jsonl", "--test_seconds", 1]
    argv += ["--engine", "scripted", "--script_path", folder / "script.jsonl"] if ask else []
    return verify.main([str(part) for part in [*argv, *options]])


def report(folder):
    return json.loads((folder / "out.verify_report.json").read_text())


def test_records_are_kept_if_their_answer_passes_tests_that_its_mutants_fail(place, capsys, monkeypatch):
    assert verified(place) == 0
    assert [line["id"] for line in rows(place / "out.jsonl")] == ["passed"]
    counted = report(place)
    assert counted["outcomes"] == {name: sum(outcome == name for outcome in EXPECTED.values()) for name in OUTCOMES}
    assert (counted["records"], counted["kept"], counted["tests"]) == (10, 1, 8)
    stored = {row["record"]: row.get("execution") for row in rows(place / "out.tests.jsonl")}
    assert stored["passed"]["tests"] == ["assert add(1, 2) == 3", "assert add(0, -1) == -1"]
    assert (stored["passed"]["mutants"], stored["passed"]["killed"]) == (2, 2) and stored["no_tests"] is None
    assert stored["empty"]["emptied_passes"] and stored["failed"]["detail"] == "AssertionError"
    printed = capsys.readouterr().out
    assert (
        "1 of 10 records were kept" in printed
        and "none: 'I cannot.'" not in printed
        and "no_tests: 'I cannot.'" in printed
    )
    # Another threshold needs no model, and runs nothing again.
    journal = (place / "out.tests.jsonl").read_bytes()
    (place / "script.jsonl").unlink()
    monkeypatch.setattr(running, "execute", None)
    assert verified(place, "--mutation_score_threshold", 0, ask=False) == 0
    assert [line["id"] for line in rows(place / "out.jsonl")] == ["passed", "weak"]
    assert (place / "out.tests.jsonl").read_bytes() == journal


def test_a_changed_body_is_run_again_and_a_stopped_command_continues(place):
    keep = ("passed", "failed")
    (place / "in.jsonl").write_text(
        "".join(line for line in (place / "in.jsonl").read_text().splitlines(True) if json.loads(line)["id"] in keep)
    )
    assert verified(place) == 0 and report(place)["outcomes"]["failed"] == 1
    # Keep the tests as written, but not the results, as after a signal while they ran.
    first = (place / "out.tests.jsonl").read_text().splitlines(True)
    (place / "out.tests.jsonl").write_text("".join(first[:2]))
    assert all("execution" not in json.loads(line) for line in first[:2])
    fixed = (
        (place / "in.jsonl")
        .read_text()
        .replace("def mul(a, b):\\n    return a + b", "def mul(a, b):\\n    return a * b")
    )
    (place / "in.jsonl").write_text(fixed)
    assert verified(place, ask=False) == 0
    assert [line["id"] for line in rows(place / "out.jsonl")] == ["passed", "failed"]


def test_without_isolation_no_model_is_asked(place, monkeypatch):
    monkeypatch.setattr(sandbox, "_obstacle", lambda mode: "Operation not permitted")
    with pytest.raises(UserError, match="--sandbox auto: programs cannot be isolated here"):
        verified(place)
    assert not (place / "out.tests.jsonl").exists()
    with pytest.raises(UserError, match="holds no tests yet; give a model"):
        verified(place, ask=False)


def test_tests_before_the_cut_of_a_completion_count(place):
    lines = [json.dumps({"text": "assert add(1, 2) == 3\nassert add(0, ", "finish_reason": "length"}) + "\n"]
    (place / "script.jsonl").write_text("".join(lines))
    (place / "in.jsonl").write_text((place / "in.jsonl").read_text().splitlines(True)[0])
    assert verified(place) == 0 and report(place)["outcomes"]["passed"] == 1 and report(place)["tests"] == 1


def test_tests_that_reject_too_few_mutants_are_vacuous():
    result = Execution("passed", "", [], "", 1, "none", 0.1, mutants=10, killed=7)
    assert (result.verdict(0.8), result.verdict(0.7)) == ("vacuous", "passed")
    assert Execution("failed", "", [], "", 1, "none", 0.1).verdict(0) == "failed"
