"""The pilot and the forecast of `--plan`, in real processes."""

import re

from tests.support.runs import ROOT, generate, rows, scripted
from tests.support.scripts import write_script

PILOT = ["--model_name_or_path", ROOT / "demo_model", "--seed_tasks_path", ROOT / "seeds/code.jsonl", "--plan",
         "--num_prompt_instructions", 4, "--max_new_tokens", 150, "--horizon", 4,
         "--num_instructions_to_generate", 5000]  # fmt: skip


def test_a_run_continues_from_its_pilot(tmp_path):
    pilot = generate(*PILOT, "--plan_seconds", 36000, "--max_requests", 6, "--batch_dir", tmp_path / "run")
    assert pilot.returncode == 0, pilot.stderr
    assert "Pilot: --max_requests 6 was reached" in pilot.stdout
    assert re.search(r"\nMemory: \d+ rows on CPU", pilot.stdout)
    (tried,) = re.findall(r"\nRows 1: [\d.,]+ tokens/s.*", pilot.stdout)
    assert (" -> " in tried) == (tmp_path / "run/rows.json").exists()
    accepted = len(rows(tmp_path / "run/machine_generated_instructions.jsonl"))
    assert f"records to go              {5000 - accepted:,}" in pilot.stdout and accepted > 0
    assert re.search(r"time to go +\d+:\d\d:\d\d \(\d+:\d\d:\d\d to \d+:\d\d:\d\d\)", pilot.stdout)
    assert "GPU" not in pilot.stdout
    before = (tmp_path / "run/completions.jsonl").read_bytes()
    options = [option for option in PILOT if option != "--plan"]
    whole = generate(*options, "--max_requests", len(before.splitlines()) + 2, "--batch_dir", tmp_path / "run")
    assert whole.returncode == 0 and "Continuing the run in" in whole.stderr
    assert (tmp_path / "run/completions.jsonl").read_bytes().startswith(before)


def test_a_pilot_without_records_says_so_and_needs_no_directory():
    result = generate(*PILOT, "--plan_seconds", 0.01, "--max_new_tokens", 1, "--request_batch_size", 2)
    assert result.returncode == 0 and "Pilot: --plan_seconds 0.01 was reached" in result.stdout
    assert "nothing to forecast from; raise --plan_seconds" in result.stdout
    assert "Memory: 2 rows on CPU" in result.stdout and "Rows" not in result.stdout  # a given number needs no search


def test_a_script_has_no_forecast(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 60)
    result = generate(*scripted(script, tmp_path / "run"), "--plan")
    assert result.returncode == 0 and "A script has no speed to forecast from." in result.stdout
