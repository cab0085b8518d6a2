"""The log files of a run directory."""

import io
import logging
import re
import sys
from pathlib import Path

import pytest

from self_instruct.runs import logs
from tests.support.runs import generate, rows, scripted
from tests.support.scripts import write_script

LOGGER = logging.getLogger("self_instruct.test")


@pytest.fixture
def log(tmp_path):
    """Log into a run directory, which has no run.yaml yet, and return the path of the log file."""
    before = LOGGER.level
    LOGGER.setLevel(logging.DEBUG)
    logs.write_to(tmp_path, 3)
    yield tmp_path / "logs/rank-3.jsonl"
    logs.close()
    LOGGER.setLevel(before)


def test_messages_are_written_as_soon_as_there_is_a_run(log, tmp_path):
    LOGGER.info("first of %d", 2)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "run.yaml").touch()
    LOGGER.warning("second", extra={"figures": {"done": 7}})
    first, second = rows(log)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first.pop("host") and first.pop("pid") > 0
    assert first == {"level": "info", "rank": 3, "source": "self_instruct.test", "message": "first of 2"}
    assert (second["level"], second["message"], second["done"]) == ("warning", "second", 7)


def test_an_exception_is_logged_in_one_line_with_its_traceback(log, tmp_path):
    (tmp_path / "run.yaml").touch()
    try:
        raise ValueError("odd\ud800 text\nof two lines")
    except ValueError:
        event = LOGGER.makeRecord(LOGGER.name, logging.CRITICAL, __file__, 1, "a fault", (), sys.exc_info())
    # Pass the event only to the file handler: pytest can only capture messages that are valid UTF-8.
    (file,) = (handler for handler in logging.getLogger().handlers if isinstance(handler, logs.LogFile))
    file.handle(event)
    (row,) = rows(log)
    assert row["message"].startswith("a fault\nTraceback") and row["message"].endswith("of two lines")


def test_a_half_written_line_of_a_killed_launch_damages_no_other_line(tmp_path):
    (tmp_path / "run.yaml").touch()
    (tmp_path / "logs").mkdir()
    path = tmp_path / "logs/rank-0-generation.jsonl"
    path.write_bytes(b'{"time": "20')
    logs.write_to(tmp_path, 0, "generation")
    try:
        LOGGER.warning("whole")
    finally:
        logs.close()
    half, whole = path.read_bytes().splitlines()
    assert half == b'{"time": "20' and b'"whole"' in whole


def test_a_file_has_one_writer(log, tmp_path, capsys):
    (tmp_path / "run.yaml").touch()
    LOGGER.warning("of the first")
    second = logs.LogFile(log, tmp_path / "run.yaml", 3)
    second.handle(logging.LogRecord("x", logging.INFO, "", 1, "of the second", (), None))
    second.close()
    assert [row["message"] for row in rows(log)] == ["of the first"] and "cannot" not in capsys.readouterr().err


def full_disk(folder: Path) -> None:
    (folder / "logs").mkdir()
    (folder / "logs/rank-3.jsonl").symlink_to("/dev/full")


def no_folder(folder: Path) -> None:
    (folder / "logs").write_text("a file is in the way")


@pytest.mark.parametrize(("spoil", "reason"), [(full_disk, "No space left on device"), (no_folder, "File exists")])
def test_an_unwritable_log_is_reported_once_and_skipped(log, tmp_path, capsys, spoil, reason):
    (tmp_path / "run.yaml").touch()
    spoil(tmp_path)
    for number in range(3):
        LOGGER.warning("event %d", number)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "rank-3" in line]
    assert warnings == [f"{log}: cannot be written ({reason}); the run continues without this log"]


def test_values_of_variables_named_like_secrets_are_not_shown(log, tmp_path, monkeypatch, capsys):
    (tmp_path / "run.yaml").touch()
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false_or_true")
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    handler.setFormatter(logs._Plain())
    LOGGER.addHandler(handler)
    try:
        try:
            raise OSError("401 for sk-0123456789")
        except OSError:
            LOGGER.error("Bearer %s, %s", "hf_abcdefgh", "false_or_true", exc_info=True)
    finally:
        LOGGER.removeHandler(handler)
    for text in (log.read_text(), shown.getvalue()):
        assert "Bearer <HF_TOKEN>, false_or_true" in text and "401 for <SOME_API_KEY>" in text
        assert "0123456789" not in text and "abcdefgh" not in text


def test_a_run_logs_more_than_it_prints(tmp_path):
    options = [
        *scripted(write_script(tmp_path / "script.jsonl", 60), tmp_path / "run", 30),
        "--heartbeat_seconds",
        1e-6,
    ]
    result = generate(*options, "--log_level", "error")
    assert (result.returncode, result.stderr) == (0, "")
    events = rows(tmp_path / "run/logs/rank-0.jsonl")
    beats = [row for row in events if row.get("event") == "heartbeat"]
    assert (
        events[0]["message"].startswith("self_instruct ")
        and events[-1]["message"] == "stopped: all 30 records are accepted"
    )
    assert beats[-1]["done"] == 30 and beats[-1]["target"] == 30 and 0 < beats[-1]["yield"] < 1
    assert {row["rank"] for row in events} == {0} and all(row["resident"] > 1e6 for row in beats)
    again = generate(*options, "--log_level", "debug", "--num_instructions_to_generate", 35)
    assert "Continuing the run in" in again.stderr and re.search(
        r"request \d+: \d+ blocks, \d+ accepted", again.stderr
    )
    assert "of 0 rows" not in again.stderr and "rows in flight" in again.stderr
    more = rows(tmp_path / "run/logs/rank-0.jsonl")
    assert more[: len(events)] == events and any(row["level"] == "debug" for row in more[len(events) :])


def test_a_refused_launch_leaves_no_log(tmp_path):
    result = generate("--engine", "scripted", "--batch_dir", tmp_path / "run", "--seed_tasks_path", tmp_path / "none")
    assert result.returncode == 2 and not (tmp_path / "run").exists()


def test_streams_and_logs_escape_control_characters_but_progress_bars_move_the_cursor(log, tmp_path):
    (tmp_path / "run.yaml").touch()
    text, shown = "a\x1b]0;t\x07\x9b2J\r\u202eb\tc\n", "a\\x1b]0;t\\x07\\x9b2J\\r\\u202eb\tc\n"
    terminal = io.StringIO()
    stream = logs.EscapedStream(terminal)
    print(text, end="", file=stream)
    stream.writelines([text, text])
    stream.write(f"\r 50%|#{text}")
    stream.write("\n\x1b[A")
    assert terminal.getvalue() == f"{shown * 3}\r 50%|#{shown}\n\x1b[A"
    stream.write("\x1b[A\x1b[Aname of a file")
    assert terminal.getvalue().endswith("\\x1b[A\\x1b[Aname of a file")
    LOGGER.warning("%s", text)
    assert rows(log)[-1]["message"] == shown
