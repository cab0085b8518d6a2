"""The generation command in its own process; most user errors are tested in tests/e2e/test_mistakes.py."""

import io
import os
import sys

import pytest

from self_instruct.commands.generate import _ask
from self_instruct.runs.journal import Journal
from tests.support.runs import IO, ROOT, generate, run, scripted
from tests.support.scripts import write_script

CONFIG = ROOT / "configs" / "quickstart.yaml"


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return write_script(tmp_path_factory.mktemp("script") / "script.jsonl", 60)


def refused(result) -> str:
    """Assert that a launch was refused with one message, and return it."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--max_lenght", 900], "unknown argument --max_lenght; did you mean --max_length?"),
        (["--model_name_or_path", "./nothing"], "there is no such folder"),
        (
            ["--max_new_tokens", 1000],
            "--max_new_tokens 1000 leaves 24 tokens for the prompt: the model's context is 1,024",
        ),
    ],
)
def test_a_user_error_is_printed_and_nothing_is_written(tmp_path, flags, message):
    assert message in refused(generate("--config", CONFIG, "--batch_dir", tmp_path / "run", *flags))
    assert not (tmp_path / "run").exists()


def test_a_directory_in_use_is_refused_until_the_process_that_uses_it_has_ended(tmp_path, script):
    journal = Journal(tmp_path / "run")
    error = refused(generate(*scripted(script, tmp_path / "run", 5)))
    assert f"another launch is writing to it (process {os.getpid()} on " in error
    journal.close()
    assert generate(*scripted(script, tmp_path / "run", 5)).returncode == 0


def test_a_change_of_plan_is_refused_and_the_journal_left_as_it_is(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 5)).returncode == 0
    before = (tmp_path / "run/completions.jsonl").read_bytes()
    change = ["--temperature", 0.3, "--prompt_path", ROOT / "instruction_iio/prompt.txt"]
    error = refused(generate(*scripted(script, tmp_path / "run", 9), *change))
    assert "--temperature was 0.8 and is now 0.3; the header of the prompt has changed" in error
    assert (tmp_path / "run/completions.jsonl").read_bytes() == before


def test_options_outside_the_plan_may_change(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 5)).returncode == 0
    result = generate(*scripted(script, tmp_path / "run", 9), "--request_batch_size", 2, "--patience", 7)
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "run/machine_generated_instructions.jsonl").read_bytes().splitlines()) == 9


def test_inconsistent_rank_and_world_size_are_refused(tmp_path, script):
    error = refused(generate(*scripted(script, tmp_path / "run"), WORLD_SIZE="2"))
    assert "WORLD_SIZE=2" in error


def test_a_plan_without_a_completion_may_change(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 5), "--max_requests", 1).returncode == 0
    (tmp_path / "run/completions.jsonl").write_bytes(b"")
    for name in ("machine_generated_instructions.jsonl", "rejected.jsonl"):
        (tmp_path / "run" / name).unlink()
    assert generate(*scripted(script, tmp_path / "run", 5), "--temperature", 0.2).returncode == 0


def test_a_smaller_target_warns_that_the_dataset_shrinks(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 12)).returncode == 0
    result = generate(*scripted(script, tmp_path / "run", 5))
    assert result.returncode == 0 and "had 12 records and now has 5" in result.stderr


def test_a_closed_pipe_gives_no_traceback(tmp_path, script):
    result = run("bash", "-c", f"{sys.executable} {IO} --config {CONFIG} --dry_run | head -c 1")
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr


@pytest.mark.parametrize(
    ("answer", "agreed"), [("y\n", True), ("YES\n", True), ("n\n", False), ("", False), ("\n", False)]
)
def test_a_question_is_answered_on_the_terminal(monkeypatch, capsys, answer, agreed):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert _ask("Start over? ") is agreed
    assert capsys.readouterr().err == "Start over? "
