"""Signals, full disks, lost directories and unusual texts, in launches of the real command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.boundaries import GONE
from tests.support.crashes import ACCEPTED, JOURNAL, REJECTED, Forks, check_partition, contents, whole_lines
from tests.support.runs import rows, run

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1]
MODULE = [sys.executable, "-m"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    return Forks(tmp_path_factory.mktemp("faults") / "forks", 8)


@pytest.fixture
def forks(server):
    """Provide an empty directory to launch in."""
    server.clear()
    return server


def goes_on(forks) -> None:
    """Assert that the next launch ends with the files of an undisturbed run."""
    assert forks.launch() == 0, forks.output()
    assert contents(forks.here / "run") == contents(forks.reference) and "Traceback" not in forks.output()


# ---- signals


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("place", "left"),
    [
        ("run.yaml:write:1:middle", 0),
        (f"{ACCEPTED}:replace:1:before", 0),
        (f"{JOURNAL}:write:2:middle", 2),
        (f"{REJECTED}:write:2:after", 2),
    ],
)
def test_a_signal_while_files_are_written_leaves_them_whole(forks, number, place, left):
    assert forks.launch(place, number) == 128 + number
    assert f"Stopped: {number.name} was received." in forks.output() and "go on:" in forks.output()
    assert len(whole_lines(forks.here / "run")) == left
    assert sorted(contents(forks.here / "run")) == sorted(contents(forks.reference))
    assert json.loads((forks.here / "run" / "report.json").read_text())["stopped"] == f"{number.name} was received"
    goes_on(forks)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_report_is_written_does_not_interrupt_it(forks, number):
    assert forks.launch("report.json:write:1:middle", number) == 128 + number
    assert "Done: 8 of 8 records." in forks.output()
    assert contents(forks.here / "run") == contents(forks.reference)


def test_a_second_sigint_ends_the_launch_at_once(forks):
    place = f"{JOURNAL}:write:2:before,{JOURNAL}:write:2:middle"
    assert forks.launch(place, signal.SIGINT) == -signal.SIGINT
    assert len(whole_lines(forks.here / "run")) == 1 and "Stopped" not in forks.output()
    goes_on(forks)


# ---- the disk


def mounted(place, size: int) -> None:
    """Mount a file system of this many bytes, or skip the test where mounting is not allowed."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")


def remounted(place, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


@pytest.fixture
def small(forks):
    """Return the command that mounts a file system of some pages at the run's directory."""
    place = forks.here / "run"
    yield lambda pages: mounted(place, pages * os.sysconf("SC_PAGE_SIZE"))
    subprocess.run(["umount", place], capture_output=True, check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
@pytest.mark.parametrize("pages", [1, 2, 4, 5, 6])
def test_a_full_disk_ends_the_run_with_a_message_and_the_run_continues_once_there_is_room(forks, small, pages):
    small(pages)
    assert forks.launch() == 1
    (error,) = [line for line in forks.output().splitlines() if line.startswith("error: ")]
    assert "No space left on device; the journal is kept; run the same command again to continue" in error
    lines = whole_lines(forks.here / "run")
    assert bool(lines) == (pages > 3) and not list((forks.here / "run").glob("*.lock"))
    remounted(forks.here / "run", "size=1m")
    goes_on(forks)
    assert whole_lines(forks.here / "run")[: len(lines)] == lines


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system that cannot be written")
def test_a_read_only_file_system_is_a_user_error(forks, small):
    small(100)
    assert forks.launch(f"{JOURNAL}:sync:2:after", signal.SIGTERM) == 128 + signal.SIGTERM
    remounted(forks.here / "run", "ro")
    assert forks.launch() == 2
    assert (
        f"error: --batch_dir {forks.here}/run: cannot be written (Read-only file system); give another"
        in forks.output()
    )
    remounted(forks.here / "run", "rw")
    goes_on(forks)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission_is_a_user_error(forks):
    forks.begin(2)
    (forks.here / "run").chmod(0o555)
    assert forks.launch() == 2 and "cannot be written (Permission denied); give another directory" in forks.output()
    (forks.here / "run").chmod(0o755)
    goes_on(forks)


def test_a_directory_that_is_moved_away_in_the_middle_ends_the_run_and_can_be_put_back(forks):
    assert forks.launch(f"{JOURNAL}:write:2:before", GONE) == 1
    assert (
        "completions.jsonl: was moved or removed while the launch was writing to it; put it back if it was moved"
        in forks.output()
    )
    assert not (forks.here / "run").exists() and len(whole_lines(forks.here / "run.gone")) == 2
    (forks.here / "run.gone").rename(forks.here / "run")
    goes_on(forks)


# ---- the journal


def test_a_damaged_line_in_the_middle_is_generated_again_and_every_reader_skips_it(forks, tmp_path):
    forks.begin(3)
    journal = forks.here / "run" / JOURNAL
    lines = whole_lines(forks.here / "run")
    journal.write_bytes(b"\n".join([lines[0], b"\x00\xff{damaged", lines[2], b""]))
    warning = f"{journal}: 1 of 3 lines are damaged"
    for command in (["refilter", forks.here / "run", tmp_path / "new"], ["explain", forks.here / "run", "000000-01"]):
        result = run(*MODULE, f"self_instruct.{command[0]}", *command[1:])
        assert result.returncode == 0 and warning in result.stderr and "they are ignored" in result.stderr
    assert {row["request"] for row in rows(tmp_path / "new" / REJECTED)} <= {0, 2}
    assert forks.launch() == 0 and warning in forks.output()
    found = contents(forks.here / "run")
    assert found.pop("completions.quarantine.jsonl") == b"\x00\xff{damaged\n"
    expected = contents(forks.reference)
    assert sorted(found.pop(JOURNAL).splitlines()) == sorted(expected.pop(JOURNAL).splitlines()) and found == expected


# ---- the plan


def test_a_seed_file_that_was_edited_is_refused(forks, tmp_path, monkeypatch):
    seeds = tmp_path / "seeds.jsonl"
    command = forks.command("")
    seeds.write_bytes(Path(command[command.index("--seed_tasks_path") + 1]).read_bytes())
    given = [str(seeds) if str(item).endswith("code.jsonl") else item for item in command]
    monkeypatch.setattr(forks, "command", lambda *place: given)
    assert forks.launch() == 0
    before = contents(forks.here / "run")
    seeds.write_text(seeds.read_text().replace("list", "tuple", 1))
    assert forks.launch() == 2 and "the seed file's content has changed" in forks.output()
    assert contents(forks.here / "run") == before


def scripted_by(forks, monkeypatch, tmp_path, texts, *more):
    """Make later launches replay these texts."""
    path = tmp_path / "script.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    given = forks.command("")
    given[given.index("--script_path") + 1] = str(path)
    monkeypatch.setattr(forks, "command", lambda *place: [*given, *map(str, more)])


def test_a_model_that_only_repeats_itself_ends_the_run_after_its_patience(forks, monkeypatch, tmp_path):
    again = "Count the sheep in the field.\n\n5. Output:\n12\n###\n"
    scripted_by(forks, monkeypatch, tmp_path, [again] * 50, "--patience", 20)
    assert forks.launch() == 0
    assert (
        "the yield of the last 20 requests was 0.00% of the checked blocks, under --min_yield 1.00%; the model repeats itself"
        in forks.output()
    )
    assert len(whole_lines(forks.here / "run")) == 21 and len(rows(forks.here / "run" / ACCEPTED)) == 1


# ---- texts


def block(instruction: str, output: str) -> str:
    return f"{instruction}\n\n5. Output:\n{output}\n###\n"


TEXTS = [
    block("Sort " + "word " * (2 << 20), "an instruction of 10 MB"),
    block("Write an essay about nothing at all.", "x" * (5 << 20)),
    block("Tell the sum of\0 two\0 numbers.", "a\0b"),
    block("Name a \ud800 surrogate \udfff here.", "out \udc00 x"),
    block("Count the sheep in a field.", "12").replace("\n", "\r\n"),
    block("\ufeffName\u2028three\u2029rivers\x85of Europe.", "\x0bRhine\x1c"),
    block("Draw a smile with very few signs.", "\ud83d" * 1000),
    block("Bring caf\xe9 to\xa0the third table.", "caf\xe9"),
    "5. Instruction:\n" * 2000,
]


def test_unusual_texts_pass_through_every_command(forks, monkeypatch, tmp_path):
    scripted_by(forks, monkeypatch, tmp_path, TEXTS, "--num_instructions_to_generate", 50)
    assert forks.launch() == 0
    folder = forks.here / "run"
    assert [row["text"] for row in rows(folder / JOURNAL)] == TEXTS
    check_partition(folder)
    kept = {row["instruction"]: row["output"] for row in rows(folder / ACCEPTED)}
    assert (
        kept["Name a \ud800 surrogate \udfff here."] == "out \udc00 x" and kept["Count the sheep in a field."] == "12"
    )
    assert kept["Tell the sum of\0 two\0 numbers."] == "a\0b"
    reasons = {row["request"]: row["reason"] for row in rows(folder / REJECTED)}
    assert reasons[0] == "too_long" and reasons[8] == "empty_block"
    before = contents(folder)
    assert forks.launch() == 0 and contents(folder) == before and "Traceback" not in forks.output()
    ids = [row["provenance"]["id"] for row in rows(folder / ACCEPTED)]
    surrogates = next(name for name in ids if name.startswith("000003"))
    for command in (
        ["refilter", folder, tmp_path / "new"],
        ["explain", folder, surrogates],
        ["post_processing", "--input_path", folder / ACCEPTED, "--output_path", tmp_path / "curated.jsonl"],
    ):
        result = run(*MODULE, f"self_instruct.{command[0]}", *command[1:])
        assert result.returncode in (0, 3) and "Traceback" not in result.stderr, result.stderr
    assert (tmp_path / "new" / ACCEPTED).read_bytes() == before[ACCEPTED]
    (too_long,) = rows(tmp_path / "curated.rejected.jsonl")
    assert (too_long["stage"], too_long["reason"]) == ("read", "too_long")
