"""How a command ends when it fails: the message, the exit code, and the error file for a launcher."""

import errno
import io
import itertools
import json
import logging
import os
import re
import signal
import stat
import sys
import unicodedata

import pytest

from self_instruct import commands
from self_instruct.commands.guard import guarded
from self_instruct.engines.base import EngineLost
from self_instruct.errors import UserError
from self_instruct.generation.signals import SIGNALS
from self_instruct.review import tuning
from tests.support.runs import run, scripted
from tests.support.scripts import write_script


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


def test_a_line_end_in_a_message_makes_no_line_that_looks_like_another_message(capsys):
    assert ended(UserError("a\nerror: all is lost.jsonl: cannot be read\n  known files")) == 2
    assert capsys.readouterr().err == "error: a\n  error: all is lost.jsonl: cannot be read\n  known files\n"


def test_an_error_file_that_cannot_be_written_changes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "none" / "error.json"))
    assert ended(UserError("--seed is 'x'")) == 2
    assert capsys.readouterr().err == "error: --seed is 'x'\n"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("convert", "the output is unchanged; run the same command again"),
        ("curate", "the output is unchanged; run the same command again, which reuses the embeddings computed so far"),
        ("refilter", "the old directory is unchanged; run the same command again"),
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


SEQUENCE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r\x08\x7f\u2067evil\u2069"
"""Sequences that set the window title, clear the screen, colour (as C1), reverse text and overwrite the start of the line."""


def printed(capsys, *argv) -> str:
    """Run a command and return what it prints. Fail if that has a character that controls a terminal."""
    with pytest.raises(SystemExit) as ended:
        commands.run_command(argv[0], [str(part) for part in argv[1:]])
    shown = "".join(capsys.readouterr())
    assert ended.value.code in (0, 2, 3), shown
    found = {sign for sign in shown if unicodedata.category(sign) in ("Cc", "Zl", "Zp") or sign in BIDI} - {"\n", "\t"}
    assert not found, (argv[0], found)
    return shown


BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.fixture
def hostile_file(tmp_path):
    """A file whose name, fields and texts have control characters; two of its lines are not records."""
    path = tmp_path / f"da{SEQUENCE}ta.jsonl"
    texts = [{"instruction": f"Write {SEQUENCE} poem {n * 7}", "output": f"{SEQUENCE} verse {n}"} for n in range(4)]
    lines = [*texts, {"instruction": f"{SEQUENCE}?", SEQUENCE: SEQUENCE, "output": 7}]
    written = [json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("\n".join([*written, f"no json {SEQUENCE}", ""]), encoding="utf-8", newline="")
    return path


def test_no_data_command_prints_control_characters(hostile_file, tmp_path, capsys):
    again = hostile_file.with_name(f"2{hostile_file.name}")
    again.write_bytes(hostile_file.read_bytes())
    shown = ""
    for name, *more in (
        ["convert", hostile_file, "--output_path", tmp_path / f"{SEQUENCE}.alpaca.jsonl", "--to", "alpaca"],
        ["convert", hostile_file, "--to", SEQUENCE],
        ["lint", hostile_file],
        ["clean", hostile_file, "--output_path", tmp_path / f"{SEQUENCE}.clean.jsonl"],
        [
            "merge",
            "--sources",
            hostile_file,
            f"{SEQUENCE.replace('/', '')}={again}",
            "--output_path",
            tmp_path / "m.jsonl",
        ],
        ["decontaminate", hostile_file, "--output_path", tmp_path / "left.jsonl", "--benchmarks", again],
        ["card", hostile_file, "--output_path", tmp_path / f"card{SEQUENCE}"],
        ["report", hostile_file, "--output_path", tmp_path / f"{SEQUENCE}.txt", "--projection", SEQUENCE],
        ["curate", hostile_file, "--output_path", tmp_path / SEQUENCE],
        ["status", tmp_path / SEQUENCE],
        ["generate", f"--{SEQUENCE}"],
    ):
        shown += printed(capsys, name, *more)
    assert shown.count("\\x1b") > 20, shown


def test_no_command_of_a_run_prints_control_characters(tmp_path, capsys):
    folder, script = tmp_path / f"run{SEQUENCE}", tmp_path / "script.jsonl"
    rows = [
        {
            "text": f"Write {SEQUENCE} number {n * 31}.\n\n5. Output:\n{SEQUENCE} print({n})\n###\n",
            "finish_reason": "stop",
        }
        for n in range(4)
    ]
    script.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    printed(capsys, "generate", *scripted(script, folder, 3), "--log_level", "debug", "--max_requests", 4)
    kept = (folder / "machine_generated_instructions.jsonl").read_text(encoding="utf-8")
    assert "\u202e" in kept and "\x9b" in kept
    logging.getLogger("self_instruct").warning("from a server")
    guesses = script_of(tmp_path / "guesses.jsonl", *[f"{SEQUENCE} Write what?\n###\n", SEQUENCE, "", "x"] * 2)
    asked = [
        "self-consistency",
        *guesses,
        "--num_trials",
        1,
        "--self_consistency_rouge_threshold",
        0.1,
        "--no_embeddings",
    ]
    for argv in (["status"], ["explain", "number 31"], ["refilter", f"{folder}2"], asked):
        printed(capsys, argv[0], folder, *argv[1:])
    logged = "".join(path.read_text(encoding="utf-8") for path in (folder / "logs").iterdir())
    assert not {"\x9b", "\u202e"} & set(logged)


def script_of(path, *texts):
    path.write_text("".join(json.dumps({"text": text, "finish_reason": "stop"}) + "\n" for text in texts))
    return ["--engine", "scripted", "--script_path", path]


def checked_logs(folder):
    """Return what the log files under a folder hold, in which no control character may be."""
    logged = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("logs/*.jsonl"))
    assert not {sign for sign in logged if sign != "\n" and (unicodedata.category(sign) == "Cc" or sign in BIDI)}
    return logged


@pytest.mark.parametrize("name", ["judge", "verify"])
def test_no_command_that_asks_a_model_prints_control_characters(name, tmp_path, capsys):
    kept = SEQUENCE.replace("\r", "")  # which ends a comment and a line of Python
    code = f"def add(a, b):\n    # {kept}\n    return a + b"
    texts = [{"instruction": f"Write {SEQUENCE} add {n * 7} in Python.", "output": code} for n in range(4)]
    given = tmp_path / "in.jsonl"
    given.write_text(
        "".join(f"{json.dumps(text, ensure_ascii=False)}\n" for text in texts), encoding="utf-8", newline=""
    )
    script = script_of(
        tmp_path / "script.jsonl", SEQUENCE, f"helpful: 5{SEQUENCE}\nverdict: good {SEQUENCE}", "I cannot.",
        f"assert add(1, 2) == 4, {kept!r}\nassert add(1, '{kept}')",
    )  # fmt: skip
    more = ["--sandbox", "none"] if name == "verify" else []
    argv = ["--input_path", given, "--output_path", tmp_path / f"{SEQUENCE}.jsonl", *script, *more]
    for _ in range(2):  # the second reads the answers that the first stored
        shown = printed(capsys, name, *argv, "--log_level", "debug")
        assert "\\x1b" in shown and "\\u202e" in shown, shown
    (answers,) = [path for path in tmp_path.glob("*.jsonl") if b'"prediction"' in path.read_bytes()]
    assert "\x9b" in answers.read_text(encoding="utf-8") and "\u202e" in answers.read_text(encoding="utf-8")
    checked_logs(tmp_path)


def forked(*command):
    """Run a command of `tune` in a fork, which takes a tenth of the time of a new process."""
    ended = run(sys.executable, "-m", "self_instruct.__main__", *command)
    return ended.returncode, (ended.stderr.strip().splitlines() or [""])[-1]


def test_topics_and_tune_print_no_control_characters_of_a_model(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tuning, "_run", forked)
    listed = script_of(
        tmp_path / "topics.jsonl", f"Bees\n8. {SEQUENCE} tides\n9. {SEQUENCE}\n", f"Wells {SEQUENCE}\n8. Kites\n"
    )
    out = tmp_path / f"{SEQUENCE}.txt"
    shown = printed(capsys, "topics", *listed, "--output_path", out, "--num_topics", 20, "--log_level", "debug")
    assert "\\x1b" in shown and "Bees" in out.read_text(encoding="utf-8")
    journal = (tmp_path / f"{out.name}.run" / "completions.jsonl").read_text(encoding="utf-8")
    assert "\x9b" in journal and "\u202e" in journal
    texts = [f"Write {SEQUENCE} number {n * 31}.\n\n5. Output:\n{SEQUENCE} print({n})\n###\n" for n in range(9)]
    options = scripted(tmp_path / "script.jsonl", tmp_path / f"runs{SEQUENCE}")
    given = [
        part
        for at, part in enumerate(options)
        if "--num_instructions_to_generate" not in options[max(at - 1, 0) : at + 1]
    ]
    script_of(tmp_path / "script.jsonl", *texts)
    shown = printed(capsys, "tune", *given, "--temperature", 1, "--tokens_per_variant", 20)
    assert "\\x1b" in shown, shown
    assert any("\x9b" in path.read_text(encoding="utf-8") for path in tmp_path.rglob("completions.jsonl"))
    assert checked_logs(tmp_path)


class FailingDisk:
    """A disk that fails from some operation on: `left` writes and syncs of regular files below a folder succeed before it."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.left, self.number, self.failed = str(folder), -1, 0, False
        opened, synced, disk = io.open, os.fsync, self

        class File(io.FileIO):
            def write(self, content):
                disk.count()
                return super().write(content)

        def open_file(path, mode="r", buffering=-1, *more, **named):
            if str(path).startswith(disk.folder) and "b" in mode and mode != "rb":
                raw = File(path, mode.replace("b", ""))
                kind = io.BufferedRandom if "+" in mode else io.BufferedWriter
                return raw if buffering == 0 else kind(raw)
            return opened(path, mode, buffering, *more, **named)

        def sync(number):
            if stat.S_ISREG(os.fstat(number).st_mode):
                disk.count()
            synced(number)

        monkeypatch.setattr(io, "open", open_file)
        monkeypatch.setattr(os, "fsync", sync)

    def count(self):
        if self.left == 0 or self.failed:
            self.failed = True
            raise OSError(self.number, os.strerror(self.number))
        self.left -= 1


def test_every_failing_write_of_a_run_or_a_data_command_names_its_file(tmp_path, monkeypatch, capsys):
    script = write_script(tmp_path / "script.jsonl", 8)
    kept = tmp_path / "kept.jsonl"
    kept.write_text("".join(json.dumps({"instruction": f"Count {n}.", "output": str(n)}) + "\n" for n in range(3)))
    disk = FailingDisk(tmp_path / "out", monkeypatch)
    for argv in (
        ["generate", *scripted(script, tmp_path / "out/RUN", 6)],
        ["convert", kept, "--to", "alpaca", "--output_path", tmp_path / "out/RUN/c.jsonl"],
        ["card", kept, "--output_path", tmp_path / "out/RUN"],
    ):
        for left in itertools.count():
            disk.left, disk.failed, disk.number = left, False, (errno.EIO, errno.ENOSPC)[left % 2]
            with pytest.raises(SystemExit) as ended:
                commands.run_command(argv[0], [str(part).replace("RUN", f"{argv[0]}{left}") for part in argv[1:]])
            shown = capsys.readouterr().err
            if not disk.failed:
                break
            named = rf"{re.escape(disk.folder)}\S+: (?:cannot be written \()?{os.strerror(disk.number)}"
            assert re.search(named, shown), (argv[0], left, ended.value.code, shown)
        assert left > 2 and ended.value.code == 0
