"""The self-consistency script as users start it, with real models."""

import os
import signal
import sys

from tests.commands.test_consistency import (
    BY_WORDS,
    COMMAND,
    KEPT,
    MINILM,
    PREDICTIONS,
    REPORT,
    asked,
    script_options,
    source,
    tested,
)
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.runs import DATASET, ROOT, SECONDS, rank_variables, rows, run, run_ranks, start_copy, whole_rows

__all__ = ["asked", "source", "tested"]  # fixtures
JUDGE = ["--model_name_or_path", ROOT / "demo_model", "--max_new_tokens", 40, "--request_batch_size", 2]


def copied(folder, place):
    """Return a copy of a run directory without its predictions."""
    place.mkdir()
    for name in (*DATASET, "run.yaml", "completions.jsonl"):
        (place / name).write_bytes((folder / name).read_bytes())
    return place


def test_the_script_runs_from_its_folder_with_another_model(source, tmp_path):
    folder = copied(source / "run", tmp_path / "run")
    result = run(
        sys.executable, COMMAND.name, "--batch_dir", os.path.relpath(folder, COMMAND.parent), *JUDGE,
        "--num_trials", 2, "--embedding_model_name_or_path", MINILM, "--self_consistency_threshold", 0.1,
        cwd=COMMAND.parent,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    predictions, records = rows(folder / PREDICTIONS), rows(folder / DATASET[0])
    trials = {(row["record"], row["trial"]) for row in predictions}
    assert trials == {(row["provenance"]["id"], trial) for row in records for trial in (0, 1)}
    assert len(predictions) == len(trials)
    scored = [row for row in predictions if row["prediction"]]
    assert len(scored) > len(trials) / 2
    assert all(-1 <= row["embedding"] <= 1 and 0 <= row["rouge_l"] <= 1 for row in scored)
    assert {row["model"] for row in predictions} == {"demo_model"}
    assert all(row["model_revision"].startswith("local-") for row in predictions)
    assert not records[0]["provenance"]["model_revision"].startswith(
        "local-"
    )  # the provenance names the model of the run
    stay = [row["provenance"].pop("self_consistency") for row in rows(folder / KEPT)]
    assert all(scores["embedding"] >= 0.1 and scores["trials"] in (1, 2) for scores in stay)
    assert f"{len(stay)} of {len(records)} records were kept" in result.stdout and (folder / REPORT).is_file()


def test_a_stopped_command_continues_without_loss(source, tmp_path):
    folder = copied(source / "run", tmp_path / "run")
    command = [COMMAND, "--batch_dir", folder, *JUDGE, *BY_WORDS, "--num_trials", 3]
    process = start_copy(*command)
    journal = folder / PREDICTIONS
    wait_until(lambda: len(whole_rows(journal)) >= 2 or process.poll() is not None)
    assert process.poll() is None, process.communicate(SECONDS)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=SECONDS)
    before = journal.read_bytes()
    total = 3 * len(rows(folder / DATASET[0]))
    assert before.count(b"\n") < total
    assert process.returncode == 128 + signal.SIGTERM and "Traceback" not in err
    there = before.count(b"\n")
    assert f"Stopped: SIGTERM was received.\n{there} of {total} predictions are stored" in out
    assert not (folder / KEPT).exists()

    result = run(sys.executable, *command)
    assert result.returncode == 0, result.stderr
    assert journal.read_bytes().startswith(before)
    found = [(row["record"], row["trial"]) for row in rows(journal)]
    assert len(found) == len(set(found)) == total and (folder / KEPT).exists()


def test_several_ranks_make_the_same_predictions_as_one(source, asked, tmp_path):
    folder = copied(source / "run", tmp_path / "run")
    options = ["--batch_dir", folder, *BY_WORDS]
    for result in run_ranks(2, COMMAND, *options, *script_options(source)):
        assert result.returncode == 0, result.stderr
    assert (folder / KEPT).read_bytes() == (asked / KEPT).read_bytes()
    both = [{(row["record"], row["trial"]): {**row, "rank": 0, "created_at": None} for row in rows(place / PREDICTIONS)}
            for place in (folder, asked)]  # fmt: skip
    assert both[0] == both[1]
    # If no prediction is missing, no rank waits for another: each ends alone.
    for rank, printed in ((1, False), (0, True)):
        alone = start_copy(COMMAND, *options, "--num_trials", 2, **rank_variables(rank, 2, free_port()))
        out, err = alone.communicate(SECONDS)
        assert alone.returncode == 0 and ("records were kept" in out) == printed, err
