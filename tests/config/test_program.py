"""The command as it was typed, and the one that runs it again."""

import sys

import pytest

from self_instruct.config.program import command_line, program
from tests.support.runs import ROOT


@pytest.mark.parametrize(
    ("script", "again", "shown"),
    [
        ("{root}/self_instruct/post_processing.py", ["-m", "self_instruct.post_processing"],
         "python -m self_instruct.post_processing"),
        ("{root}/self_instruct/shims/judge.py", ["-m", "self_instruct.judge"], "python -m self_instruct.judge"),
        ("{root}/self_instruct/__main__.py", ["-m", "self_instruct"], "python -m self_instruct"),
        ("/venv/bin/self-instruct", ["/venv/bin/self-instruct"], "self-instruct"),
        ("instruction_output.py", ["instruction_output.py"], "instruction_output.py"),
    ],
)  # fmt: skip
def test_a_module_of_ours_is_run_again_by_its_name(
    monkeypatch: pytest.MonkeyPatch, script: str, again: list[str], shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", [script.format(root=ROOT), "curate", "--seed", "1"])
    assert command_line() == [sys.executable, *again, "curate", "--seed", "1"]
    assert program(["--seed", "1"]) == f"{shown} curate"
