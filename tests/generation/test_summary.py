"""The summary of a run: its counts and the commands that it proposes."""

import json
import re
import shlex
import sys

import pytest

from self_instruct.commands.generate import _without_overwriting
from self_instruct.engines.local.tokenizer import ModelReader
from self_instruct.generation.summary import Ending, counted, summarise, yield_text
from self_instruct.records import Drop, Record
from self_instruct.report.inputs import read_inputs
from self_instruct.report.watch import watch
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.journal import Entry
from self_instruct.runs.verdict import Verdict
from tests.support.runs import ROOT, generate, rows, run, scripted
from tests.support.scripts import write_script


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder")
    script = write_script(folder / "script.jsonl", 60)
    result = generate(*scripted(script, folder / "run", 12))
    assert result.returncode == 0
    return folder / "run", result.stdout


def test_the_summary_shows_why_the_run_stopped_its_counts_and_samples(ended):
    folder, shown = ended
    accepted = rows(folder / "machine_generated_instructions.jsonl")
    assert "Done: 12 of 12 records." in shown and re.search(r"12 records from \d+ requests in", shown)
    for at in (0, 6, 11):
        assert f"[{accepted[at]['provenance']['id']}]\n  Instruction: {accepted[at]['instruction']}\n" in shown
        assert f"  Output: {accepted[at]['output']}\n" in shown
    for path in folder.iterdir():
        assert path.name == "run.yaml" or path.name in shown


def stdout_of(name, *words):
    return run(sys.executable, "-m", f"self_instruct.{name}", *words, cwd=ROOT).stdout


@pytest.mark.parametrize(("what", "number"), [("more records:", 24), ("another threshold", None)])
def test_the_proposed_commands_work(ended, what, number):
    folder, shown = ended
    command = shown.split(what)[1].split("\n")[1].strip()
    result = run("bash", "-c", command, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    place = folder if number else folder.parent / "run_strict"
    accepted = rows(place / "machine_generated_instructions.jsonl")
    assert len(accepted) == number if number else accepted
    options = [word for word in shlex.split(command) if word.startswith("--")]
    assert len(set(options)) == len(options) and (number or "--rouge_threshold 0.5" in command)


def test_the_proposed_command_explains_the_first_record(ended):
    folder, shown = ended
    result = run("bash", "-c", shown.split("by its id or text:\n")[1].split("\n")[0], cwd=ROOT)
    first = rows(folder / "machine_generated_instructions.jsonl")[0]
    assert result.returncode == 0 and result.stdout.startswith(f"[{first['provenance']['id']}] accepted")


@pytest.mark.parametrize(
    "words", [["--overwrite", "true", "--yes"], ["--overwrite", "--yes", "1"], ["--overwrite=yes"], []]
)
def test_the_command_that_continues_a_run_does_not_overwrite_it(words):
    command = ["launch.py", *words, "--seed", "1", "--max_hours", "1"]
    assert _without_overwriting(command, bool(words)) == ["launch.py", "--seed", "1", "--max_hours", "1"]
    again = _without_overwriting([*command, "--config", "a.yaml"], True)
    assert again[-4:] == ["--config", "a.yaml", "--overwrite", "false"] and _without_overwriting(again, False) == again


def test_a_run_that_ended_early_is_continued_with_another_limit(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 60)
    shown = generate(*scripted(script, tmp_path / "run", 5000), "--max_requests", 5).stdout
    assert "go on, with another --max_requests:" in shown and "more records:" not in shown
    spent = generate(*scripted(script, tmp_path / "tokens", 5000), "--max_tokens", 100).stdout
    used = generate(*scripted(script, tmp_path / "script", 5000), "--min_yield", 0).stdout
    assert "another --max_tokens:" in spent and "another --script_path:" in used
    command = shown.split("--max_requests:\n")[1].split("\n")[0]
    assert "--num_instructions_to_generate 5000" in command and command.endswith("--max_requests 10")
    assert command.count("--max_requests") == 1 and "--max_tokens 200" in spent


def test_filter_rules_that_drop_much_or_nothing_are_named_in_summary_and_report(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 120)
    more = ["--filter_keywords", "kettle", "--check_outputs", "false"]
    more += ["--filter_rules", "length", "keywords", "openings", "echo"]
    shown = generate(*scripted(script, tmp_path / "run", 5000), *more).stdout
    report = json.loads((tmp_path / "run/report.json").read_text())
    drops, parsed = report["drops"]["filter"], report["parsed"]
    # In the script, a third of the tasks contain the word, a sixteenth begin with "Write a program"; none is short or an echo.
    assert parsed >= 200 and drops["keyword"] > 0.15 * parsed > drops["opening"] > 0
    assert report["warnings"] == [
        {"rule": "length", "warning": "never_fired", "dropped": 0, "parsed": parsed},
        {"rule": "keywords", "warning": "drops_much", "dropped": drops["keyword"], "parsed": parsed},
        {"rule": "echo", "warning": "never_fired", "dropped": 0, "parsed": parsed},
    ]
    assert (
        f"  keywords dropped {drops['keyword']} of {parsed} blocks ({drops['keyword'] / parsed:.0%}); rejected.jsonl"
        in shown
    )
    assert f"  length, echo dropped none of {parsed} blocks" in shown
    again = [tmp_path / "run", tmp_path / "new", "--filter_keywords", "--filter_rules", "keywords", "openings"]
    result = run(sys.executable, "-m", "self_instruct.refilter", *again, cwd=ROOT)
    assert result.returncode == 0 and "Check these filter rules" not in result.stdout
    # Without keywords the rule is off, so it gets no warning.
    assert json.loads((tmp_path / "new/report.json").read_text())["warnings"] == []


def test_a_short_run_has_no_warnings_about_rules(ended):
    assert "filter rules" not in ended[1]


def test_an_engine_that_cannot_answer_fails_the_run(tmp_path):
    (tmp_path / "script.jsonl").write_text('{"request": 90, "text": ""}\n')
    result = generate(*scripted(tmp_path / "script.jsonl", tmp_path / "run"))
    assert result.returncode == 1 and "the last 20 requests could not be answered" in result.stdout
    assert "request 0 was not answered: the script has no completion for request 0" in result.stderr
    assert "go on, once the cause above is fixed:" in result.stdout and "refilter" not in result.stdout
    assert "load_dataset" not in result.stdout and "0 records from 20 requests" in result.stdout
    assert "go on, once the cause above is fixed: the same command" in stdout_of("status", tmp_path / "run")
    explained = stdout_of("explain", tmp_path / "run", "000000-00")
    assert "The engine failed on request 0; the next launch of the run asks it again." in explained


def test_a_run_without_a_record_proposes_commands_to_find_out_why(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 60)
    shown = generate(*scripted(script, tmp_path / "run"), "--min_instruction_words", 100).stdout
    assert "0 records from" in shown and "new tokens." in shown and "a record" not in shown
    assert "load_dataset" not in shown and "refilter" not in shown and "were checked)" in shown
    rejected = rows(tmp_path / "run/rejected.jsonl")
    short = [row["id"] for row in rejected if row["reason"] == "too_short"]
    why = f"why candidates were dropped, most often for too_short ({len(short)} of {len(rejected)}):"
    assert len(short) > len(rejected) / 2 and rejected[0]["reason"] != "too_short"
    for text in (shown, stdout_of("status", tmp_path / "run")):
        assert f"{why}\n    {sys.executable} -m self_instruct explain {tmp_path / 'run'} {short[0]}" in text


@pytest.mark.parametrize(("kept", "expected"), [(0, None), (1, "0.0046"), (8, "0.03")])
def test_a_low_yield_is_continued_with_one_that_does_not_stop_at_once(tmp_path, kept, expected):
    funnel, record = Funnel(patience=12), Record("000000-01", "Add.", "", "1")
    verdicts = [Verdict(record, None if at < kept else Drop("novelty", "rouge_l")) for at in range(10)]
    for request in range(12):
        entry = Entry(request, [], [], 1, "", "", "stop", 1, 1, 0, None)
        funnel.count(entry, verdicts if request == 0 else verdicts[kept:])
    options = {"min_yield": 0.06, "num_instructions_to_generate": 500}
    shown = summarise(
        Ending(tmp_path, funnel, [record] * kept, "the yield was under --min_yield 6%", options, again=["go"])
    )
    assert ("start again with other options" in shown) == (expected is None)
    assert expected is None or shown.split("--min_yield ")[-1].split()[0] == expected


def test_a_launch_that_generates_nothing_says_so_and_states_no_speed(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 60)
    first = generate(*scripted(script, tmp_path / "run", 12)).stdout
    assert re.search(r"12 records from \d+ requests in \d+ s;", first) and "This launch" not in first
    answered = len(rows(tmp_path / "run/completions.jsonl"))
    again = generate(*scripted(script, tmp_path / "run", 12)).stdout
    assert f"This launch generated nothing: the journal already held {answered} completions." in again
    assert not re.search(r"requests in \d+ s;", again) and "rows were" not in again
    more = generate(*scripted(script, tmp_path / "run", 24)).stdout
    assert re.search(rf"This launch took \d+ s; earlier ones had answered {answered} requests\.", more)


def test_phrases_for_counts_of_zero_and_one():
    funnel = Funnel()
    assert yield_text(funnel) == "yield 0% of 0 blocks written, of which none was checked"
    assert [counted(number, "request") for number in (0, 1, 1_000)] == ["0 requests", "1 request", "1,000 requests"]


def test_the_yield_is_per_block_written_and_requests_agree_with_the_report_and_the_status(tmp_path):
    folder, script = tmp_path / "run", write_script(tmp_path / "script.jsonl", 60)
    generate(*scripted(script, folder, 30))
    shown = generate(*scripted(script, folder, 12)).stdout
    report, found = json.loads((folder / "report.json").read_text()), next(watch(folder))
    assert f"yield {12 / report['blocks']:.0%} of {report['blocks']} blocks written" in shown
    answered = len(rows(folder / "completions.jsonl"))
    assert (found.decided, found.requests, found.yield_) == (
        report["requests"],
        answered,
        round(12 / report["blocks"], 4),
    )
    facts = dict(read_inputs([str(folder)])[0].facts)
    tokens = f"{report['tokens']['completion'] / 12:,.0f}"
    assert f"12 records from {facts['requests']} requests" in shown and facts["requests"] == str(report["requests"])
    assert f"{tokens} new tokens a record." in shown and facts["new tokens a record"] == tokens
    assert f"{answered - found.decided} more requests were answered, but not needed" in shown


@pytest.mark.parametrize("demonstration", [True, False])
def test_the_summary_says_that_the_demonstration_model_is_a_toy(tmp_path, demonstration):
    ending = Ending(tmp_path, Funnel(), [], "SIGINT was received", demonstration=demonstration)
    assert ("is a toy whose answers are often wrong" in summarise(ending)) == demonstration
    assert ModelReader(str(ROOT / "demo_model")).demonstration


def test_a_sample_has_each_field_with_its_name(tmp_path):
    record = Record("000001-01", "Add them.", "1, 2", "a = 3\nb = 4")
    shown = summarise(Ending(tmp_path, Funnel(), [record], "x"))
    assert "[000001-01]\n  Instruction: Add them.\n  Input: 1, 2\n  Output:\n    a = 3\n    b = 4\n" in shown
