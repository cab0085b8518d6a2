"""The steps that a card lists, from real runs and commands."""

import json
import os
import shlex
import shutil
import sys

import pytest
import yaml

from self_instruct.commands import judge
from self_instruct.errors import UserError
from tests.commands.test_card import card
from tests.support.commands import run_command as main
from tests.support.curation_runs import written
from tests.support.dataset_files import lines
from tests.support.runs import ROOT, generate, rows, run, scripted
from tests.support.scripts import write_script

CONSISTENCY = ROOT / "instruction_io" / "output_instruction.py"


def test_the_card_lists_the_steps_of_every_command_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ("Name a river in Wales.", "Sort these numbers downwards.", "Explain how bees find flowers.")
    rows_of = [{"instruction": text, "output": f"Answer {at}."} for at, text in enumerate(asked)]
    (tmp_path / "a.jsonl").write_text(lines(*rows_of) + '{"cut\n')
    task = {
        "task_id": "HumanEval/0",
        "prompt": "one two three four five six seven eight nine",
        "canonical_solution": "x",
    }
    (tmp_path / "bench.jsonl").write_text(lines({**task, "entry_point": "f", "test": "pass"}))
    assert main(["convert", "a.jsonl", "--to", "jsonl", "--output", "b.jsonl"]) == 3
    assert main(["lint", "b.jsonl", "--fix", "--output", "c.jsonl"]) == 0
    decided = ["--benchmarks", "he=bench.jsonl", "--ngram_words", "9"]
    assert main(["decontaminate", "c.jsonl", *decided, "--output", "d.jsonl"]) == 0
    assert json.loads((tmp_path / "d.report.json").read_text())["benchmarks"] == {"he": 0}
    cleaning = ["--html", "never", "--max_tokens", "99", "--drop_mentions", "openai", "--wrong_lists", "false"]
    assert main(["clean", "d.jsonl", "--to", "jsonl", *cleaning, "--output", "e.jsonl"]) == 0
    merging = ["--licenses", "mine=MIT", "--input_formats", "mine=jsonl", "--substring_words", "7", *decided]
    assert main(["merge", "--sources", "mine=e.jsonl", *merging, "--output", "f.jsonl"]) == 0
    text = card(tmp_path / "f.jsonl", tmp_path / "out")[1].text
    titles = [f"**{n}. {what}: 3 records.**" for n, what in enumerate(
        ("Converted", "Fixed", "Decontaminated", "Cleaned", "Merged"), start=1)]  # fmt: skip
    assert [text.index(title) for title in titles] == sorted(text.index(title) for title in titles)
    assert (
        "lint b.jsonl" in text
        and "--fix \\\n" in text
        and "--sources mine=e.jsonl" in text
        and "| mine | MIT | 3 |" in text
    )
    commands = [block.split("```")[0].replace(" \\\n   ", "") for block in text.split("```sh\n")[1:]]
    assert commands[2].split()[2:] == ["c.jsonl", *decided, "--output_path", "d.jsonl"]
    assert sorted(commands[3].split()[3:]) == sorted(["--to", "jsonl", *cleaning, "--output_path", "e.jsonl"])
    assert set(commands[4].split()) > {*merging, "mine=e.jsonl"} and str(tmp_path) not in text
    options = [yaml.safe_load(block.split("```")[0])["options"] for block in text.split("```yaml\n")[1:]]
    assert len(options) == 5 and options[2]["benchmarks"] == options[4]["benchmarks"] == ["he=bench.jsonl"]
    assert (options[0]["to"], options[2]["substring_words"], options[3]["html"], options[4]["ngram_words"]) == (
        "jsonl",
        8,
        "never",
        9,
    )
    for at, command in enumerate(commands):  # each command gives the same result again
        again = shlex.split(command)[1:-1] + [f"again{at}.jsonl"]
        main(again)
        assert (tmp_path / f"again{at}.jsonl").read_bytes() == (tmp_path / f"{'bcdef'[at]}.jsonl").read_bytes()
    assert f"{'not_json':<26} {-1:>12,}" in text


def test_commands_in_a_card_can_be_pasted_into_a_shell(tmp_path):
    """Quote directory and file names that need it, and values that begin with a dash."""
    program = "self-instruct"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / program).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m self_instruct "$@"\n')
    (tmp_path / "bin" / program).chmod(0o755)
    home, work = tmp_path / "home", tmp_path / "again"
    for folder in (home, work):
        (folder / "it's $HOME").mkdir(parents=True)
        write_script(folder / "it's $HOME" / "a script.jsonl", 60)

    def shell(command, folder):
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        done = run("bash", "-c", command, cwd=folder, PATH=path, PYTHONPATH=str(ROOT))
        assert done.returncode == 0, done.stderr

    seeds = ROOT / "seeds" / "code.jsonl"
    for folder in (home, work):
        shutil.copy(seeds, folder / "it's $HOME" / "seeds.jsonl")
    made = ["generate", "--engine", "scripted", "--script_path", "it's $HOME/a script.jsonl", "--batch_dir", "runs/a b",
            "--seed_tasks_path", "it's $HOME/seeds.jsonl", "--num_instructions_to_generate", "20", "--overwrite"]  # fmt: skip
    curated = ["curate", "runs/a b", "--rouge_threshold", "0.5", "--output_path", "it's $HOME/kept.jsonl"]
    shown = [
        "convert",
        "it's $HOME/kept.jsonl",
        "--to",
        "vicuna",
        "--vicuna_preamble=-- Be nice",
        "--output",
        "v.jsonl",
    ]
    for words in (made, curated, shown, ["card", "v.jsonl", "--output_path", "the card"]):
        assert run(sys.executable, "-m", "self_instruct.__main__", *words, cwd=home).returncode == 0
    text = (home / "the card" / "README.md").read_text()
    commands = [block.split("```")[0] for block in text.split("```sh\n")[1:]]
    assert len(commands) == 3 and "--overwrite" not in text.split("## Configuration")[0]
    for command in commands:
        shell(command, work)
    for name in ("runs/a b/machine_generated_instructions.jsonl", "it's $HOME/kept.jsonl", "v.jsonl"):
        assert texts(work / name) == texts(home / name)


def texts(path):
    """Return the rows without their timestamps."""
    return [{key: value for key, value in row.items() if key != "provenance"} for row in rows(path)]


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """Make a run that the judge and self-consistency have filtered, and a file that the judge has filtered."""
    folder = tmp_path_factory.mktemp("chosen")
    run, script = folder / "chosen", folder / "script.jsonl"
    assert generate(*scripted(write_script(folder / "script.jsonl", 60), run, 20)).returncode == 0
    records = rows(run / "machine_generated_instructions.jsonl")
    judgement = "helpful: {0}, correct: {0}, clear: {0}\nverdict: {1}"
    points = ["Well."] + [
        judgement.format(5 - at % 3, "bad" if at % 4 == 0 else "good") for at in range(1, len(records))
    ]
    script.write_text(lines(*({"text": f"{text}\n###\n"} for text in points)))
    asking = ["--engine", "scripted", "--script_path", str(script), "--judge_threshold", "4"]
    assert judge.main(["--batch_dir", str(run), *asking]) == 0
    written(folder / "some.jsonl", *records[:4])
    assert (
        judge.main(["--input_path", str(folder / "some.jsonl"), *asking, "--output_path", str(folder / "good.jsonl")])
        == 0
    )
    script.write_text(
        lines(
            *({"text": f"{row['instruction']}\n###\n"} for row in records[:3]), *[{"text": "\n###\n"}] * len(records)
        )
    )
    options = [
        "--batch_dir",
        run,
        *asking[:4],
        "--num_trials",
        1,
        "--no_embeddings",
        "--self_consistency_rouge_threshold",
        0.9,
    ]
    result = generate(*options, script=CONSISTENCY)
    assert result.returncode == 0, result.stderr
    return folder


def test_the_card_states_what_a_judge_kept_with_its_counts(chosen, tmp_path):
    report = json.loads((chosen / "chosen" / "judge_report.json").read_text())
    text = card(chosen / "chosen" / "judged_instructions.jsonl", tmp_path / "a")[1].text
    assert text.index("**1. Generated") < text.index(f"**2. Judged: {report['kept']:,} records.**")
    below = report["verdicts"]["good"] - report["kept"]
    for reason, number in (("bad", report["verdicts"]["bad"]), ("below_threshold", below), ("unknown: no_scores", 1)):
        assert number and f"{reason:<26} {-number:>12,}" in text
    assert "self-instruct judge \\\n    --batch_dir chosen \\\n    --judge_threshold 4" in text
    options = yaml.safe_load(text.split("All options of step 2</summary>\n\n```yaml\n")[1].split("```")[0])["options"]
    assert (options["judge_threshold"], options["judges"]) == (4.0, report["judges"]) and str(chosen) not in text
    text = card(chosen / "good.jsonl", tmp_path / "b")[1].text
    kept = len(rows(chosen / "good.jsonl"))
    assert (
        f"**1. Judged: {kept} records.**" in text
        and "--input_path some.jsonl" in text
        and "--output_path good.jsonl" in text
    )


def test_the_card_states_what_self_consistency_kept_and_names_a_merged_run_once(chosen, tmp_path):
    run = chosen / "chosen"
    report = json.loads((run / "self_consistency_report.json").read_text())
    text = card(run / "self_consistent_instructions.jsonl", tmp_path / "a")[1].text
    assert f"**2. Chosen by self-consistency: {report['kept']} records.**" in text and "--num_trials 1" in text
    for reason, number in report["drops"].items():
        assert not number or f"{reason:<26} {-number:>12,}" in text
    names = ("judged_instructions", "self_consistent_instructions")
    sources = [f"{name}={run / name}.jsonl" for name in names]
    assert main(["merge", "--sources", *sources, "--output", str(tmp_path / "m.jsonl")]) == 0
    text = card(tmp_path / "m.jsonl", tmp_path / "b")[1].text
    assert [text.count(f"**{number}. {what}") for number, what in enumerate(
        ("Generated", "Judged", "Chosen by", "Merged"), start=1)] == [1, 1, 1, 1]  # fmt: skip


def test_steps_without_a_report_are_left_out(chosen, tmp_path, capsys):
    run = shutil.copytree(chosen / "chosen", tmp_path / "run")
    for name in ("report.json", "judge_report.json", "self_consistency_report.json"):
        (run / name).unlink()
    assert card(run, tmp_path / "a")[0] == 0 and "Steps in the card: generated." in capsys.readouterr().out
    text = card(run / "judged_instructions.jsonl", tmp_path / "b")[1].text
    assert (
        "**2. Judged.**" in text and text.count("The report of this step is missing") == 2 and "stopped:" not in text
    )
    assert (
        "**2. Chosen by self-consistency.**"
        in card(run / "self_consistent_instructions.jsonl", tmp_path / "c")[1].text
    )
    (run / "judge_report.json").write_text('{"verdicts": 3}')
    with pytest.raises(UserError, match=r"judge_report\.json: is not a report of self-instruct"):
        card(run / "judged_instructions.jsonl", tmp_path / "d")
