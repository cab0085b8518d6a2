"""Every user's mistake is one message and exit code 2: pytest tests/test_cli.py"""

import json
import os
import sys

import pytest
import yaml

from self_instruct.journal import Journal
from tests.runs import IIO, IO, ROOT, generate, run, scripted
from tests.scripts import write_script

CONFIG = ROOT / "configs" / "quickstart.yaml"
SEED = {"id": "a", "instruction": "Name a river.", "instances": [{"input": "", "output": "Rhine"}]}


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return write_script(tmp_path_factory.mktemp("script") / "script.jsonl", 60)


def refused(result) -> str:
    """The one message of a refused launch."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def yaml_file(folder, **options):
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(CONFIG.read_text()), "seed_tasks_path": str(ROOT / "seeds/code.jsonl"),
                                    "model_name_or_path": str(ROOT / "demo_model"), **options}))  # fmt: skip
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rouge_treshold": 0.7}, "unknown option rouge_treshold; did you mean rouge_threshold?"),
        ({"temperature": "hot"}, "temperature is 'hot', but must be a number"),
        ({"num_instructions_to_generate": 2.5}, "num_instructions_to_generate is 2.5, but must be a whole number"),
        ({"top_p": 1.5}, "top_p is 1.5, but must be above 0 and at most 1"),
        ({"stop_words": [20.0]}, "stop_words[0] is 20.0, but must be a text; put it in quotes"),
        ({"dtype": "float23"}, "did you mean float32?"),
    ],
)
def test_mistakes_in_a_yaml_file_are_named(tmp_path, options, message):
    path = yaml_file(tmp_path, **options)
    told = refused(generate("--config", path, "--batch_dir", tmp_path / "run"))
    assert message in told and str(path) in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed_tasks_path", "no/such.jsonl"], "no/such.jsonl: cannot be read (No such file or directory)"),
        (
            ["--model_name_or_path", "nobody/no-such-model"],
            "--model_name_or_path nobody/no-such-model: cannot be loaded",
        ),
        (["--model_name_or_path", "./nothing"], "there is no such folder"),
        (["--num_prompt_instructions", 500], "--num_prompt_instructions is 500, but there are only 72 seed tasks"),
        (["--num_prompt_synthetic_instructions", 9], "more than the 4 of --num_prompt_instructions"),
        (["--max_new_tokens", 1000], "lower --max_new_tokens"),
        (["--max_lenght", 900], "unknown argument --max_lenght; did you mean --max_length?"),
        (["--temperature", "nan"], "--temperature is nan"),
        (["--instruction_trigger", "Output"], "trigger words must be distinct"),
        (["--input_trigger", "Data"], "this format has no input"),
        (["--stop_words", ""], "--stop_words holds an empty text"),
        (["--prompt_path", "/dev/null"], "is empty"),
        (["--engine", "scripted"], "needs --script_path"),
        (["--embedding_threshold", 0.8, "--embedding_model_name_or_path", "./none"], "--embedding_model_name_or_path"),
        (["--config", "none.yaml"], "none.yaml: cannot be read"),
    ],
)
def test_mistakes_on_the_command_line_are_named(tmp_path, flags, message):
    told = refused(generate("--config", CONFIG, "--batch_dir", tmp_path / "run", *flags))
    assert message in told


@pytest.mark.parametrize("missing", ["batch_dir", "seed_tasks_path", "model_name_or_path"])
def test_what_is_missing_is_named(tmp_path, missing):
    given = {
        "batch_dir": tmp_path / "run",
        "seed_tasks_path": ROOT / "seeds/code.jsonl",
        "model_name_or_path": ROOT / "demo_model",
    }
    flags = [part for name, value in given.items() if name != missing for part in (f"--{name}", value)]
    assert f"--{missing} is missing" in refused(generate(*flags))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps({**SEED, "instances": [{"input": "", "output": ""}]}), ':2: field "output" is empty'),
        (json.dumps({"id": "b", "instances": [{"output": "x"}]}), ':2: field "instruction" is missing'),
        ('{"id": "b", "instruction": ', ":2: is not JSON"),
    ],
)
def test_a_bad_seed_is_named_by_line_and_field(tmp_path, line, message):
    path = tmp_path / "seeds.jsonl"
    path.write_text(json.dumps(SEED) + "\n" + line + "\n")
    told = refused(generate("--config", CONFIG, "--batch_dir", tmp_path / "run", "--seed_tasks_path", path))
    assert f"{path}{message}" in told


def test_a_directory_that_cannot_be_written_is_named(tmp_path, script):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(generate(*scripted(script, tmp_path / "file" / "run")))


def test_a_directory_in_use_is_refused_and_free_again_when_its_user_is_gone(tmp_path, script):
    journal = Journal(tmp_path / "run")
    told = refused(generate(*scripted(script, tmp_path / "run", 5)))
    assert f"another launch is writing to it (process {os.getpid()} on " in told
    journal.close()
    assert generate(*scripted(script, tmp_path / "run", 5)).returncode == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--temperature", 0.3], "--temperature was 0.8 and is now 0.3"),
        (["--seed", 43], "--seed was 42 and is now 43"),
        (["--seed_tasks_path", ROOT / "seeds/general.jsonl"], "the seed file's content is another one"),
        (["--horizon", 10], "--horizon was 16 and is now 10"),
        (["--prompt_path", ROOT / "instruction_iio/prompt.txt"], "the header of the prompt is another one"),
    ],
)
def test_a_change_of_plan_is_refused_by_name(tmp_path, script, change, message):
    assert generate(*scripted(script, tmp_path / "run", 5)).returncode == 0
    before = (tmp_path / "run/completions.jsonl").read_bytes()
    assert message in refused(generate(*scripted(script, tmp_path / "run", 9), *change))
    assert (tmp_path / "run/completions.jsonl").read_bytes() == before


def test_another_model_or_format_is_refused(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 5)).returncode == 0
    other = write_script(tmp_path / "other.jsonl", 60, seed=8)
    assert "the model is another one" in refused(generate(*scripted(other, tmp_path / "run", 9)))
    prompt = ["--prompt_path", ROOT / "instruction_io/prompt.txt"]
    assert "the format is another one" in refused(
        generate(*scripted(script, tmp_path / "run", 9), *prompt, script=IIO)
    )


def test_what_does_not_change_the_plan_may_change(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 5)).returncode == 0
    result = generate(*scripted(script, tmp_path / "run", 9), "--request_batch_size", 2, "--patience", 7)
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "run/machine_generated_instructions.jsonl").read_bytes().splitlines()) == 9


def test_a_world_that_contradicts_itself_is_refused(tmp_path, script):
    told = refused(generate(*scripted(script, tmp_path / "run"), WORLD_SIZE="2"))
    assert "WORLD_SIZE=2" in told


def test_files_that_no_journal_explains_are_not_replaced(tmp_path, script):
    (tmp_path / "run").mkdir()
    place = tmp_path / "run/machine_generated_instructions.jsonl"
    place.write_text('{"instruction": "someone else\'s"}\n')
    assert "would be replaced" in refused(generate(*scripted(script, tmp_path / "run", 5)))
    assert place.read_text() == '{"instruction": "someone else\'s"}\n'


def test_a_journal_without_its_plan_is_not_gone_on_with(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 5)).returncode == 0
    (tmp_path / "run/run.yaml").unlink()
    assert "its plan is unknown" in refused(generate(*scripted(script, tmp_path / "run", 9)))


def test_a_plan_without_a_completion_binds_nobody(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 5), "--max_requests", 1).returncode == 0
    (tmp_path / "run/completions.jsonl").write_bytes(b"")
    for name in ("machine_generated_instructions.jsonl", "rejected.jsonl"):
        (tmp_path / "run" / name).unlink()
    assert generate(*scripted(script, tmp_path / "run", 5), "--temperature", 0.2).returncode == 0


def test_a_smaller_target_says_that_the_dataset_shrinks(tmp_path, script):
    assert generate(*scripted(script, tmp_path / "run", 12)).returncode == 0
    result = generate(*scripted(script, tmp_path / "run", 5))
    assert result.returncode == 0 and "held 12 records and now holds 5" in result.stderr


def test_a_closed_pipe_is_no_traceback(tmp_path, script):
    result = run("bash", "-c", f"{sys.executable} {IO} --config {CONFIG} --dry_run | head -c 1")
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr
