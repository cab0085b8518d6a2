"""The command as the user typed it, and the command that runs it again."""

import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest

from self_instruct.config.program import command_line, other_command, other_threshold, program, with_option
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
def test_a_module_of_the_package_is_run_again_by_its_name(
    monkeypatch: pytest.MonkeyPatch, script: str, again: list[str], shown: str
) -> None:
    monkeypatch.setattr(sys, "argv", [script.format(root=ROOT), "curate", "--seed", "1"])
    assert command_line() == [sys.executable, *again, "curate", "--seed", "1"]
    assert program(["--seed", "1"]) == f"{shown} curate"


def test_a_command_installed_beside_the_interpreter_is_run_again_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(sys.executable).parent
    monkeypatch.chdir(folder.parent)
    for script in (f"{folder}/self-instruct", f"{folder.name}/self-instruct"):
        monkeypatch.setattr(sys, "argv", [script, "generate", "--seed", "1"])
        assert command_line() == [script, "generate", "--seed", "1"]


def test_other_commands_are_suggested_by_the_program_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/venv/bin/self-instruct", "generate"])
    assert other_command("explain", Path("a b"), 7) == "/venv/bin/self-instruct explain 'a b' 7"
    monkeypatch.setattr(sys, "argv", ["instruction_output.py"])
    assert other_command("status", "run") == f"{sys.executable} -m self_instruct status run"


@pytest.mark.parametrize("launcher", ["accelerate", "torchrun"])
def test_the_command_of_a_launcher_is_kept_as_it_was_typed(tmp_path: Path, launcher: str) -> None:
    (tmp_path / launcher).write_text(
        "import subprocess, sys\nat = sys.argv.index('child.py')\n"
        "sys.exit(subprocess.call([sys.executable, *sys.argv[at:]]))\n"
    )
    (tmp_path / "child.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from self_instruct.config.program import command_line\nprint(command_line())\n"
    )
    typed = [str(tmp_path / launcher), "launch", "--config_file", "two gpus.yaml", "child.py", "--seed", "1"]
    shown = subprocess.run([sys.executable, *typed], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert literal_eval(shown) == typed
    (tmp_path / launcher).rename(tmp_path / "wrapper")
    typed[0] = str(tmp_path / "wrapper")
    shown = subprocess.run([sys.executable, *typed], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert literal_eval(shown) == [sys.executable, "child.py", "--seed", "1"]


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["x.py"], ["x.py", "--seed", "2"]),
        (["x.py", "--seed", "1", "--top_k", "5"], ["x.py", "--top_k", "5", "--seed", "2"]),
        (["x.py", "--seed=1", "--s", "3"], ["x.py", "--seed", "2"]),
        (["x.py", "--seed", "1", "--", "-a"], ["x.py", "--seed", "2", "--", "-a"]),
        (["x.py", "--seed", "-1", "a"], ["x.py", "a", "--seed", "2"]),
    ],
)
def test_an_option_is_replaced_under_each_of_its_names(words: list[str], changed: list[str]) -> None:
    assert with_option(words, ["--seed", "--s"], 2) == changed


@pytest.mark.parametrize("threshold", [1.01, 0.7, 0.6, 0.11, 0.1, 0.05, 0.0, -0.3])
def test_another_threshold_differs_from_the_given_one(threshold: float) -> None:
    assert other_threshold(threshold) != threshold
    assert other_threshold(0.7) == 0.6 and other_threshold(0.1) == 0.05
