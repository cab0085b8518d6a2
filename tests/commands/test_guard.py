"""How a command ends when it fails: the message, the exit code, and the error file for a launcher."""

import json
import re
import signal

import pytest

from self_instruct import commands
from self_instruct.commands.guard import guarded
from self_instruct.engines.base import EngineLost
from self_instruct.errors import UserError
from self_instruct.generation.signals import SIGNALS


@pytest.fixture(autouse=True)
def handlers():
    """Restore the signal handlers, which a command replaces."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def ended(error: Exception) -> int | str | None:
    def fail() -> int:
        raise error

    with pytest.raises(SystemExit) as caught:
        guarded(fail)
    return caught.value.code


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("--seed is 'x'"), 2, "error: --seed is 'x'"),
        (UserError("no GPU", rank=1), 2, "error: rank 1: no GPU"),
        (EngineLost("the server is down"), 1, "error: the server is down"),
        (OSError(28, "No space left on device", "a.jsonl"), 1, "error: a.jsonl: No space left on device; "),
    ],
)
def test_torchelastic_finds_the_message_in_its_error_file(error, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert ended(error) == code
    recorded = json.loads((tmp_path / "error.json").read_text())["message"]
    assert recorded["message"].startswith(message) and recorded["extraInfo"]["py_callstack"] == recorded["message"]
    assert recorded["extraInfo"]["timestamp"].isdigit()
    assert capsys.readouterr().err == recorded["message"] + "\n"


def test_torchelastic_reads_the_error_file(tmp_path, monkeypatch):
    errors = pytest.importorskip("torch.distributed.elastic.multiprocessing.errors")
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    ended(UserError("--seed is 'x'"))
    failure = errors.ProcessFailure(0, 1, 2, str(tmp_path / "error.json"))
    summary = str(errors.ChildFailedError("script.py", {0: failure}))
    assert re.search(r"traceback : error: --seed is 'x'\n=+$", summary)


def test_a_message_common_to_all_ranks_is_printed_by_local_rank_0_only(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert ended(UserError("--seed is 'x'")) == 2
    assert capsys.readouterr().err == ""
    assert "--seed is 'x'" in (tmp_path / "error.json").read_text()


def test_an_error_file_that_cannot_be_written_changes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "none" / "error.json"))
    assert ended(UserError("--seed is 'x'")) == 2
    assert capsys.readouterr().err == "error: --seed is 'x'\n"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("convert", "the output is unchanged; run the same command again"),
        ("curate", "the output is unchanged; run the same command again, which reuses the embeddings computed so far"),
        ("refilter", "the old directory is unchanged; run the command again with a new directory"),
        ("generate", "the journal is kept; run the same command again to continue"),
    ],
)
def test_a_full_disk_says_what_to_do_next(name, advice, monkeypatch, capsys):
    def fail(argv):
        raise OSError(28, "No space left on device", "a.jsonl")

    monkeypatch.setattr(f"self_instruct.commands.{name}.main", fail)
    with pytest.raises(SystemExit) as caught:
        commands.run_command(name, [])
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"error: a.jsonl: No space left on device; {advice}\n"
