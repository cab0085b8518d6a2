"""The tune command: short runs in processes of their own, the best options, continuing, mistakes."""

import json
import sys

import pytest
import yaml

from self_instruct.commands import tune
from self_instruct.errors import UserError
from self_instruct.review import tuning
from tests.support.runs import ROOT, run
from tests.support.scripts import write_script

SEEDS = ROOT / "seeds" / "code.jsonl"


def arguments(folder, *more):
    script = folder / "script.jsonl"
    if not script.exists():
        write_script(script, 40)
    return [
        "--engine", "scripted", "--script_path", str(script), "--seed_tasks_path", str(SEEDS), "--num_prompt_instructions", "4",
        "--temperature", "1", "--tokens_per_variant", "300", "--batch_dir", str(folder / "runs"), *more,
    ]  # fmt: skip


def forked(_, *command):
    """Run a command in a fork. The mistakes below are found in new processes."""
    done = run(sys.executable, "-m", "self_instruct.__main__", *command)
    return done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


def test_variants_are_run_and_the_best_options_written_and_nothing_is_run_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tuning, "_run", forked)
    assert tune.main(arguments(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["chat", "15", "15", "0", "0"]
    assert lines[2].split()[:2] == ["magpie", "7"] and lines[2].endswith(" 0.00")
    (best,) = [line.split()[1] for line in lines if line.startswith("*")]
    written = yaml.safe_load((tmp_path / "runs" / "best.yaml").read_text(encoding="utf-8"))
    assert written["recipe"] == "few_shot" and written["num_prompt_instructions"] == 4
    assert (written.get("instruction_trigger", "few_shot") == "few_shot") == (best == "few_shot")
    folders = [folder for folder in (tmp_path / "runs").iterdir() if folder.is_dir()]
    assert {folder.name for folder in folders} == {"chat", "magpie", "few_shot", "few_shot-task", "few_shot-question"}
    for folder in folders:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        assert report["tokens"]["completion"] >= 300 and report["stopped"] == "--max_tokens 300 was reached"
    (tmp_path / "script.jsonl").write_text("no script any more")
    before = {folder: (folder / "report.json").stat().st_mtime_ns for folder in folders}
    assert tune.main(arguments(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert {folder: (folder / "report.json").stat().st_mtime_ns for folder in folders} == before
    with pytest.raises(UserError, match=r"chat.yaml: this variant was generated with other options"):
        tune.main(arguments(tmp_path, "--top_p", "0.5"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--max_tokens", "3"], "--max_tokens"),
        (["--seed_tasks_path", "none.jsonl"], r"^--seed_tasks_path .*none.jsonl: cannot be read"),
        (["--tokens_per_variant", "0"], "--tokens_per_variant"),
    ],
)
def test_a_mistake_is_one_message(tmp_path, more, message):
    with pytest.raises(UserError, match=message):
        tune.main(arguments(tmp_path, *more))
    assert not (tmp_path / "runs" / "best.yaml").exists()


def test_the_directory_is_needed():
    with pytest.raises(UserError, match="--batch_dir is missing; give the directory for the variants"):
        tune.main(["--engine", "scripted"])
