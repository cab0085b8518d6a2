"""Pushing a dataset to a fake Hub on localhost."""

import sys

import pytest

from self_instruct.datasets.repository import CARD, CHATS, RECORDS
from self_instruct.errors import UserError
from tests.support.commands import run_command as main
from tests.support.dataset_files import lines
from tests.support.fake_hub import fake_hub
from tests.support.runs import run

TOKEN = "hf_notARealTokenButLooksLikeOne01"


@pytest.fixture
def hub():
    with fake_hub() as server:
        yield server


@pytest.fixture
def push(hub, tmp_path, monkeypatch, capfd):
    """Push a dataset; return the exit code and all output."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # also between huggingface_hub's own tries
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    (tmp_path / "a.jsonl").write_text(lines({"instruction": "Sort.", "output": "1 2"}))

    def sent(*more, repo="ada/tasks", out="out"):
        code = main(["card", f"{tmp_path}/a.jsonl", "--output", f"{tmp_path}/{out}", "--push_to_hub", repo, *more])
        return code, "".join(capfd.readouterr())

    return sent


def on_disk(folder):
    return {name: (folder / name).read_bytes() for name in (CARD, RECORDS, CHATS)}


def test_files_are_pushed_in_one_commit_and_again_to_the_same_repository(hub, push, tmp_path):
    (tmp_path / "out").mkdir()
    code, said = push("--private")
    (tmp_path / "out" / "notes.txt").write_text("not for others")
    assert code == 0 and "/datasets/ada/tasks/commit/abc" in said
    assert hub.repositories["ada/tasks"]["type"] == "dataset"
    assert "private" in (hub.repositories["ada/tasks"].get("visibility"), *hub.repositories["ada/tasks"])
    assert hub.files == on_disk(tmp_path / "out") and b"ada/tasks" in hub.files[CARD]
    assert push()[0] == 0 and set(hub.files) == {CARD, RECORDS, CHATS}
    assert hub.tokens == {f"Bearer {TOKEN}"}
    assert set(hub.anonymous) <= {"/api/agent-harnesses"}  # a request of huggingface_hub itself, without user data
    assert sum("/commit/" in line for line in hub.asked) == 2
    assert TOKEN.encode() not in b"".join(on_disk(tmp_path / "out").values()) and TOKEN not in said


def test_dry_run_writes_and_sends_nothing_and_lists_the_files(hub, push, tmp_path):
    code, said = push("--dry_run")
    assert code == 0 and hub.asked == [] and [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert push("--license", "mit")[0] == 0
    content, asked = on_disk(tmp_path / "out"), list(hub.asked)
    code, again = push("--dry_run", repo="ada/another")
    assert code == 0 and hub.asked == asked and on_disk(tmp_path / "out") == content
    assert "Kept from the earlier card: --license." in again
    for name in (RECORDS, CHATS):
        assert f"  {name:<24} {len(content[name]):>14,} bytes" in said.split("nothing was written or sent")[1]
    missing = len(content[CARD]) - len(b"license: mit\n")
    assert f"  {CARD:<24} {missing:>14,} bytes" in said
    with pytest.raises(UserError, match="holds files but no card written by this command"):
        (tmp_path / "theirs").mkdir()
        (tmp_path / "theirs" / "notes.txt").write_text("mine")
        push("--dry_run", out="theirs")


@pytest.mark.parametrize(
    ("part", "status", "message"),
    [
        ("/repos/create", 401, "did not accept your login"),
        ("/repos/create", 403, "you do not have write access"),
        ("/preupload/", 404, "or your token has no access"),
        ("/commit/", 413, "refused the request with status 413"),
    ],
)
def test_user_errors_are_reported_without_the_token(hub, push, tmp_path, part, status, message):
    hub.failing[part] = status
    if status in (401, 403):
        hub.failing["/api/datasets/"] = status
    with pytest.raises(UserError) as caught:
        push()
    assert message in str(caught.value) and TOKEN not in str(caught.value) and "\n" not in str(caught.value)
    assert hub.files == {} and set(on_disk(tmp_path / "out"))


@pytest.mark.parametrize("part", ["/repos/create", "/commit/"])
def test_hub_failure_is_reported_once_with_exit_code_1(hub, push, part):
    hub.failing[part] = 500
    code, said = push()
    assert code == 1 and said.count("error: ") == 1 and "status 500" in said and TOKEN not in said


@pytest.mark.parametrize("status", [408, 409, 412, 429, 500, 503])
def test_temporary_failures_are_tried_again_and_committed_once(hub, push, tmp_path, status):
    hub.failing["/commit/"], hub.times["/commit/"] = status, 2
    code, said = push()
    assert (code, len(hub.commits)) == (0, 1) and hub.files == on_disk(tmp_path / "out") and "/commit/abc" in said


@pytest.mark.parametrize("status", [409, 412, 429, 502])
def test_a_lasting_failure_ends_with_exit_code_1_and_keeps_the_files(hub, push, tmp_path, status):
    hub.failing["/commit/"] = status
    code, said = push()
    assert code == 1 and "the same command" in said and said.count("error: ") == 1
    assert hub.commits == [] and set(on_disk(tmp_path / "out"))
    assert sum("POST" in line and "/commit/" in line for line in hub.asked) == 4


@pytest.mark.parametrize("status", [412, 500, 504])
def test_a_commit_that_was_made_although_the_answer_was_an_error_is_not_made_again(hub, push, tmp_path, status):
    hub.failing["/commit/"], hub.times["/commit/"] = status, 1
    hub.fails_after.add("/commit/")
    code, said = push()
    assert (code, len(hub.commits)) == (0, 1) and "/datasets/ada/tasks/commit/c0" in said
    assert hub.files == on_disk(tmp_path / "out")


def test_nothing_is_committed_again_while_it_is_unknown_whether_the_first_commit_was_made(hub, push):
    hub.failing |= {"/commit/": 500, "/commits/": 503}
    hub.fails_after.add("/commit/")
    hub.times["/commit/"] = 1
    code, said = push()
    assert (code, len(hub.commits)) == (1, 1) and "does not say whether the commit was made" in said


def test_without_network_files_are_written_and_exit_code_is_1(push, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    code, said = push()
    assert code == 1 and said.count("error: ") == 1 and "cannot be reached" in said and "Traceback" not in said
    assert set(on_disk(tmp_path / "out"))


def test_command_reads_endpoint_and_token_from_the_environment(hub, tmp_path):
    (tmp_path / "a.jsonl").write_text(lines({"instruction": "Sort.", "output": "1 2"}))
    hub.failing["/commit/"] = 401
    done = run(
        sys.executable, "-m", "self_instruct.datasets", "card", tmp_path / "a.jsonl", "--output", tmp_path / "out",
        "--push_to_hub", "ada/tasks", HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN, HF_HUB_OFFLINE="0",
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    assert hub.tokens == {f"Bearer {TOKEN}"} and TOKEN not in done.stdout + done.stderr
