"""Every command takes a run, input files and an output in the same way."""

import pytest

from self_instruct.commands import COMMANDS
from self_instruct.runs.layout import ACCEPTED
from tests.support.commands import called
from tests.support.runs import ROOT, generate, scripted
from tests.support.scripts import write_script

OF_RUNS = (
    "explain", "status", "report", "judge", "verify", "best-of-n", "score", "select", "self-consistency", "refilter",
    "card", "curate", "convert", "clean", "lint", "merge", "decontaminate",
)  # fmt: skip
OF_FILES = (
    "curate", "convert", "clean", "lint", "decontaminate", "card", "report", "judge", "verify", "score", "select",
)  # fmt: skip
WRITING = (
    "curate",
    "convert",
    "merge",
    "clean",
    "lint",
    "decontaminate",
    "card",
    "report",
    "refilter",
    "judge",
    "verify",
    "score",
    "select",
    "topics",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("positional")
    script = write_script(folder / "script.jsonl", 60)
    assert generate(*scripted(script, folder / "run", 5)).returncode == 0
    return folder


def test_every_command_has_the_same_names_for_positionals():
    for name in COMMANDS:
        shown = called(name, "--help").stdout
        assert ("--batch_dir STR" in shown) == (name in (*OF_RUNS, "generate", "tune")), name
        assert ("--input_path [STR" in shown) == (name in OF_FILES), name
        assert ("--output_path STR, --output STR" in shown) == (name in WRITING), name


@pytest.mark.parametrize(("given", "output"), [(["{run}"], "--output_path"), (["--batch_dir", "{run}"], "--output")])
def test_a_run_may_be_a_positional_or_an_option(folder, tmp_path, given, output):
    given = [part.format(run=folder / "run") for part in given]
    explained = called("explain", *given, "000000-01").stdout
    assert "000000-01" in explained
    assert "5/5" in called("status", *given).stdout
    for command, name in (("curate", "c.jsonl"), ("card", "card"), ("report", "r.html"), ("refilter", "again")):
        done = called(command, *given, output, tmp_path / name)
        assert done.returncode == 0 and (tmp_path / name).exists(), (command, done.stderr)
    for command, message in (("judge", "holds no judgements yet"), ("self-consistency", "the run replayed a script")):
        assert message in called(command, *given).stderr


@pytest.mark.parametrize(
    ("given", "output"), [(["{file}"], "--output"), (["--input_path", "{file}"], "--output_path")]
)
def test_files_may_be_positionals_or_an_option(folder, tmp_path, given, output):
    given = [part.format(file=ROOT / "seeds" / "code.jsonl") for part in given]
    more = {
        "convert": ["--to", "alpaca"],
        "decontaminate": ["--benchmarks", ROOT / "seeds" / "general.jsonl"],
        "lint": ["--fix"],
    }
    for command, suffix in (("convert", "json"), ("lint", "jsonl"), ("decontaminate", "jsonl"), ("curate", "jsonl")):
        place = tmp_path / f"{command}.{suffix}"
        done = called(command, *given, *more.get(command, []), output, place)
        assert done.returncode == 0 and place.exists(), (command, done.stderr)


@pytest.mark.parametrize(("given", "output"), [(["{run}"], "--output"), (["--batch_dir", "{run}"], "--output_path")])
def test_commands_for_files_read_the_records_of_a_run(folder, tmp_path, given, output):
    given, records = [part.format(run=folder / "run") for part in given], folder / "run" / ACCEPTED
    benchmarks = ["--benchmarks", ROOT / "seeds" / "general.jsonl"]
    for command, *more in (
        ("convert", "--to", "alpaca"),
        ("clean",),
        ("lint", "--fix"),
        ("merge",),
        ("decontaminate", *benchmarks),
    ):
        suffix = ".json" if command in ("convert", "clean") else ".jsonl"
        of_run, of_file = tmp_path / f"{command}{suffix}", tmp_path / f"{command}-file{suffix}"
        done = called(command, *given, *more, output, of_run)
        assert done.returncode == 0, (command, done.stderr)
        assert (
            called(command, f"run={records}" if command == "merge" else records, *more, output, of_file).returncode
            == 0
        )
        assert of_run.read_bytes() == of_file.read_bytes() and of_run.stat().st_size > 100, command


def test_two_different_runs_are_refused(folder, tmp_path):
    for command in ("status", "judge", "self-consistency"):
        refused = called(command, folder / "run", "--batch_dir", tmp_path)
        assert refused.returncode == 2 and f"--batch_dir is {tmp_path}; give one of them" in refused.stderr, command
