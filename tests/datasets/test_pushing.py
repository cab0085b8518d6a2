"""Pushing the records of a run to a fake Hub on localhost, during the run."""

import io
import json
import sys
import threading

import pyarrow.parquet as pq
import pytest

from self_instruct.commands.generate import main
from self_instruct.datasets.history import Declared
from self_instruct.datasets.pushing import Pusher
from self_instruct.datasets.repository import CARD
from self_instruct.errors import UserError
from self_instruct.runs.funnel import Funnel
from tests.support.fake_hub import fake_hub
from tests.support.processes import wait_until
from tests.support.runs import IO, rows, scripted, start
from tests.support.scripts import write_script

TOKEN = "hf_notARealTokenButLooksLikeOne01"
PUSHING = ["--push_to_hub", "ada/tasks", "--push_every", 10]


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with fake_hub() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        files = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield server


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run to the end; return the lines of the records, and the run directory."""
    place = tmp_path_factory.mktemp("finished")
    assert main(list(map(str, scripted(write_script(place / "script.jsonl", 60), place / "run")))) == 0
    return (place / "run" / "machine_generated_instructions.jsonl").read_bytes().splitlines(
        keepends=True
    ), place / "run"


@pytest.fixture
def growing(finished, tmp_path):
    """Return a function that puts a number of records into the run directory, and returns the funnel of that moment."""
    lines, folder = finished
    for name in ("run.yaml", "report.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())

    def hold(number):
        (tmp_path / "machine_generated_instructions.jsonl").write_bytes(b"".join(lines[:number]) + b'{"half')
        funnel = Funnel()
        funnel.tally.kept = number
        return funnel

    return hold


def pusher(folder, repo="ada/tasks"):
    made = Pusher(folder, repo, False, 10, 40, Declared({}, {}, {}))
    made.begin()
    return made


def pushed(one, funnel):
    """Report accepted records to a pusher, and wait until it has pushed."""
    one.update(funnel, 1.0)
    if one._thread is not None:
        one._thread.join()


def on_hub(hub, kind="data"):
    """Return the rows of all chunks in order, as a loader reads them."""
    names = sorted(name for name in hub.files if name.startswith(f"{kind}/"))
    return [row for name in names for row in pq.read_table(io.BytesIO(hub.files[name])).to_pylist()]


def instructions(lines):
    return [json.loads(line)["instruction"] for line in lines]


def test_each_chunk_is_pushed_once_and_the_card_shows_the_progress(hub, growing, finished, tmp_path):
    one = pusher(tmp_path)
    for number, there in ((9, 0), (12, 10), (17, 10), (33, 30)):
        pushed(one, growing(number))
        assert len(on_hub(hub)) == there
    card = hub.files[CARD].decode()
    assert "**This run is not finished: 30 of 40 records so far.**" in card and "data/train-*.parquet" in card
    growing(40)
    end = one.finish(interrupted=False)
    assert (end.records, end.left, end.error, len(hub.commits)) == (40, 0, "", 3)
    assert [row["instruction"] for row in on_hub(hub)] == instructions(finished[0])
    assert [row["provenance"]["origin"]["row"] for row in on_hub(hub)] == list(range(40))
    assert len(on_hub(hub, "chat")) == 40 and "not finished" not in hub.files[CARD].decode()
    again = pusher(tmp_path)
    assert again.finish(interrupted=False).commits == 0 and len(hub.commits) == 3


def test_a_failing_hub_does_not_stop_the_run_and_gets_the_records_later(hub, growing, finished, tmp_path):
    one = pusher(tmp_path)
    hub.failing["/commit/"] = 503
    pushed(one, growing(20))
    growing(25)
    end = one.finish(interrupted=False)
    assert (end.commits, end.left) == (0, 25) and "the same command" in end.error
    hub.failing.clear()
    pushed(later := pusher(tmp_path), growing(30))
    growing(40)
    assert (later.finish(interrupted=False).left, later._pushed.error) == (0, "")
    assert [row["instruction"] for row in on_hub(hub)] == instructions(finished[0])


def test_a_commit_whose_answer_was_lost_is_recognised_by_the_next_launch(hub, growing, tmp_path):
    one = pusher(tmp_path)
    hub.failing |= {"/commit/": 500, "/commits/": 503}
    hub.fails_after.add("/commit/")
    hub.times["/commit/"] = 1
    pushed(one, growing(10))
    assert (len(hub.commits), one.finish(interrupted=True).left) == (1, 10)
    hub.failing.clear()
    pushed(pusher(tmp_path), growing(20))
    assert [title for title, _ in hub.commits] == ["Records 10", "Records 20"] and len(on_hub(hub)) == 20


def test_a_repository_of_another_dataset_and_changed_records_are_refused(hub, growing, finished, tmp_path):
    hub.files["data/train.parquet"] = b"theirs"
    with pytest.raises(UserError, match="holds another dataset"):
        pusher(tmp_path)
    hub.files.clear()
    pushed(pusher(tmp_path), growing(10))
    (tmp_path / "machine_generated_instructions.jsonl").write_bytes(b"".join(finished[0][1:]))
    end = pusher(tmp_path).finish(interrupted=False)
    assert "records 0 to 9 of the run have changed" in end.error and len(hub.commits) == 1


def test_facts_added_to_the_card_on_the_hub_are_kept(hub, growing, tmp_path):
    pushed(pusher(tmp_path), growing(10))
    hub.files[CARD] = hub.files[CARD].replace(b"---\n", b"---\nlicense: cc-by-4.0\n", 1)
    pushed(pusher(tmp_path), growing(20))
    assert b"license: cc-by-4.0" in hub.files[CARD] and b"20 of 40" in hub.files[CARD]


def test_the_command_exits_with_1_if_records_are_missing_on_the_hub(hub, tmp_path, capfd):
    options = [*scripted(write_script(tmp_path / "s.jsonl", 60), tmp_path / "run"), *PUSHING]
    hub.failing["/commit/"] = 429
    assert main(list(map(str, options))) == 1
    said = capfd.readouterr().err
    assert "40 records are not on the Hub yet" in said and TOKEN not in said
    assert len(rows(tmp_path / "run" / "machine_generated_instructions.jsonl")) == 40
    hub.failing.clear()
    assert main(list(map(str, options))) == 0 and len(on_hub(hub)) == 40


def test_a_launch_killed_during_a_commit_continues_without_a_second_one(hub, tmp_path, capfd):
    options = [*scripted(write_script(tmp_path / "s.jsonl", 60), tmp_path / "run"), *PUSHING]
    hub.held = threading.Event()
    killed = start(sys.executable, IO, *options, HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN, HF_HUB_OFFLINE="0")
    wait_until(lambda: hub.commits)
    killed.kill()
    killed.communicate()
    hub.held.set()
    assert main(list(map(str, options))) == 0
    assert "Pushed: 40 records are on the Hub" in capfd.readouterr().out
    marks = [text for _, text in hub.commits]
    assert len(marks) == len(set(marks)) > 1
    content = rows(tmp_path / "run" / "machine_generated_instructions.jsonl")
    assert [row["instruction"] for row in on_hub(hub)] == [row["instruction"] for row in content]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--push_every", 5], "--push_every needs --push_to_hub OWNER/NAME"),
        (["--push_to_hub", "a/b/c"], "is not a valid repository name"),
        ([*PUSHING, "--plan"], "cannot be combined with --plan"),
    ],
)
def test_options_that_cannot_work_are_refused(tmp_path, more, message):
    options = [*scripted(write_script(tmp_path / "s.jsonl", 3), tmp_path / "run"), *more]
    with pytest.raises(UserError, match=message):
        main(list(map(str, options)))
