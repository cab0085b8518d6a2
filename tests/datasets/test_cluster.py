"""Curation in many tasks, with the real command and datatrove."""

import sys
import time
from importlib.util import find_spec

import psutil
import pytest

from self_instruct.commands import curate as command
from self_instruct.errors import UserError
from tests.support.curation_runs import COMMAND, curate, files, near_copies, written
from tests.support.runs import SECONDS, start

CHAT = {"role": "user", "content": "Name the longest river of the continent"}
ANSWER = {"role": "assistant", "content": "It is the one that you think of."}


def inputs(folder, number=300):
    """Make files of several formats, with repaired and unreadable rows, and one without any output."""
    rows = near_copies(number, seed=1)
    rows[5:5] = [b'{"instruction": "Add up the given list of numbers", "output": NaN}\n', b"{broken\n", b"\n"]
    questions = [{"instruction": row["instruction"], "output": ""} for row in near_copies(number, seed=1)]
    chats = [{"messages": [CHAT, {**ANSWER, "content": f"answer {at}"}, CHAT, ANSWER]} for at in range(5)]
    return [
        written(folder / "a.jsonl", *rows),
        written(folder / "b.jsonl", *questions),
        written(folder / "c0.jsonl", *chats, {"instruction": "简", "output": "no word of a-z"}),
    ]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """Return the inputs, and the output of one process."""
    folder = tmp_path_factory.mktemp("one")
    given = inputs(folder)
    done = curate("--input_path", *given, "--output_path", folder / "c.jsonl")
    assert done.returncode == 3 and "1 rows could not be read" in done.stdout
    return given, files(folder), done.stdout


def summary(text):
    """Return the summary without the paths."""
    return text[: text.index("are new")]


def marks(folder):
    """Return the marks of the tasks that have ended, with their times."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("c.tasks/*/completions/*")}


def test_output_is_that_of_one_process_and_a_second_call_runs_nothing(wanted, tmp_path):
    given, output, shown = wanted
    call = ["--input_path", *given, "--output_path", tmp_path / "c.jsonl", "--executor", "local", "--tasks", 5]
    done = curate(*call)
    assert done.returncode == 3, done.stderr
    assert files(tmp_path) == output and summary(done.stdout) == summary(shown)
    assert "have no word that ROUGE-L compares" in done.stderr
    ended = marks(tmp_path)
    assert len(ended) == 5 + 5 + 1
    again = curate(*call)
    assert summary(again.stdout) == summary(shown) and marks(tmp_path) == ended
    (tmp_path / "c.jsonl").unlink()
    assert curate(*call).returncode == 3
    assert files(tmp_path) == output and not ended.items() & marks(tmp_path).items()


def test_killed_task_ends_the_command_and_the_next_call_runs_the_missing_tasks(wanted, tmp_path):
    given, output, _ = wanted
    call = ["--input_path", *given, "--output_path", tmp_path / "c.jsonl", "--executor", "local", "--tasks", 4]
    process = start(*COMMAND, *call)
    while not marks(tmp_path):
        assert process.poll() is None
        time.sleep(0.01)
    main = psutil.Process(process.pid)
    for task in [child for server in main.children() for child in server.children()]:
        task.kill()
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1 and "the process of a task was killed" in err
    before = marks(tmp_path)
    assert 0 < len(before) < 9 and files(tmp_path) == [None] * 3
    assert curate(*call).returncode == 3
    assert files(tmp_path) == output and before.items() <= marks(tmp_path).items()


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_ray_runs_a_killed_task_again(wanted, tmp_path):
    given, output, _ = wanted
    call = ["--input_path", *given, "--output_path", tmp_path / "c.jsonl", "--executor", "ray", "--tasks", 4]
    process = start(*COMMAND, *call)

    def running():
        return [
            task for task in psutil.process_iter(["name"]) if (task.info["name"] or "").startswith("ray::_run_task")
        ]

    while not (tasks := running()):
        assert process.poll() is None
        time.sleep(0.01)
    tasks[0].kill()
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 3, err
    assert files(tmp_path) == output


MISTAKES = {
    "embeddings": (["--embedding_threshold", "0.9"], "compares by words only"),
    "a rule that needs all rows": (["--filter_rules", "empty", "duplicates"], "the rule duplicates compares a row"),
    "no value": (["--sbatch", "partition"], "--sbatch partition: must be NAME=VALUE"),
    "no Ray": (["--executor", "ray"], "--executor ray needs the package ray: pip install"),
    "no cluster": (["--executor", "slurm"], "there is no command sbatch here"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(tmp_path, monkeypatch, name):
    more, message = MISTAKES[name]
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("self_instruct.datasets.cluster.find_spec", lambda name: None)
    [source, *_] = inputs(tmp_path, 20)
    with pytest.raises(UserError, match=message):
        command.main(
            ["--input_path", str(source), "--output_path", str(tmp_path / "c.jsonl"), "--executor", "local", *more]
        )


def test_folder_of_others_is_not_removed(tmp_path):
    [source, *_] = inputs(tmp_path, 20)
    kept = tmp_path / "c.tasks" / "precious"
    kept.mkdir(parents=True)
    with pytest.raises(UserError, match="is not of an earlier curation"):
        command.main(["--input_path", str(source), "--output_path", str(tmp_path / "c.jsonl"), "--executor", "local"])
    assert kept.exists()


def test_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datatrove.executor", None)
    monkeypatch.delitem(sys.modules, "self_instruct.datasets.cluster", raising=False)
    [source, *_] = inputs(tmp_path, 20)
    with pytest.raises(UserError, match=r"--executor local needs the package datatrove .*cluster"):
        command.main(["--input_path", str(source), "--output_path", str(tmp_path / "c.jsonl"), "--executor", "local"])
