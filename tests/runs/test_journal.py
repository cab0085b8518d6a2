"""The journal: completions survive a killed launch, and damaged lines are reported."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.engines.base import Completion
from self_instruct.errors import UserError
from self_instruct.records import Prompt, Record
from self_instruct.runs.journal import JOURNAL as FILE_NAME
from self_instruct.runs.journal import Entry, Journal, read_journal

QUARANTINE = "completions.quarantine.jsonl"


def entry(request: int, text: str = "some text", **changes: Any) -> Entry:
    plain = Entry(request, ["s1", "s2"], ["000001-01"], 2, "abc", text, "stop", 10, 3, 0, "2024-05-31T00:00:00Z")
    return dataclasses.replace(plain, **changes)


def write(folder: Path, *entries: Entry) -> Path:
    journal = Journal(folder)
    journal.append(entries)
    journal.close()
    return folder / FILE_NAME


def reopened(folder: Path) -> dict[int, Entry]:
    journal = Journal(folder)
    journal.close()
    return journal.entries


def test_an_entry_contains_the_plan_of_the_prompt_and_the_completion() -> None:
    shown = (Record("s1", "a", "", "b"), Record("m1", "c", "", "d", 2), Record("s2", "e", "", "f"))
    prompt = Prompt(7, "text", "4. Instruction:\n", 4, shown)
    made = Entry.of(prompt, Completion(7, "answer", "length", 50, 9, 1, "2024-05-31T00:00:00Z"))
    assert made == Entry(
        7, ["s1", "s2"], ["m1"], 3, prompt.sha256, "answer", "length", 50, 9, 1, "2024-05-31T00:00:00Z"
    )
    assert made.number == prompt.number == 4


def test_a_new_folder_gets_an_empty_journal(tmp_path: Path) -> None:
    assert reopened(tmp_path) == {}
    assert (tmp_path / FILE_NAME).read_bytes() == b""


def test_entries_are_stored_exactly_in_the_order_of_arrival(tmp_path: Path) -> None:
    entries = [
        entry(3, "a\r\n b\t\x00\u2028"),
        entry(1, "\ud800 é 😀", finish_reason="length"),
        entry(2, "", error="no memory"),
    ]
    path = write(tmp_path, *entries)
    assert [json.loads(line)["request"] for line in path.read_bytes().split(b"\n")[:-1]] == [3, 1, 2]
    assert reopened(tmp_path) == {item.request: item for item in entries}
    assert read_journal(tmp_path) == sorted(entries, key=lambda item: item.request)


def test_appended_lines_are_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry(0), entry(1)])
    assert [item.request for item in read_journal(tmp_path)] == [0, 1]
    journal.close()


def test_a_half_written_last_line_is_cut_off_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, entry(0), entry(1))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"request": 2, "te')
    with caplog.at_level(logging.WARNING):
        assert sorted(reopened(tmp_path)) == [0, 1]
    assert f"{path}: cut off a half-written last line of 18 bytes; its request is generated again" in caplog.text
    assert path.read_bytes() == whole


def test_an_intact_journal_is_opened_without_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = write(tmp_path, entry(0)).read_bytes()
    with caplog.at_level(logging.DEBUG, logger="self_instruct"):
        reopened(tmp_path)
    assert caplog.records == []
    assert (tmp_path / FILE_NAME).read_bytes() == whole


def test_a_launch_killed_at_any_byte_loses_at_most_the_line_it_was_writing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, entry(0, "é\ud800", seed_ids=[]), entry(1, "好", seed_ids=[]))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    sizes = [*range(0, len(whole), 7), first - 1, first, first + 1, len(whole) - 1, len(whole)]
    for size in sizes:
        path.write_bytes(whole[:size])
        expected = [0, 1] if size == len(whole) else [0] if size >= first else []
        assert sorted(reopened(tmp_path)) == expected, size
    assert len(caplog.records) == sum(size not in (0, first, len(whole)) for size in sizes)


def test_after_recovery_appending_continues_after_the_last_whole_line(tmp_path: Path) -> None:
    path = write(tmp_path, entry(0), entry(1))
    path.write_bytes(path.read_bytes()[:-5])
    write(tmp_path, entry(1, "again"), entry(2))
    assert {number: item.text for number, item in reopened(tmp_path).items()} == {
        0: "some text",
        1: "again",
        2: "some text",
    }


def test_the_first_of_two_entries_of_a_request_counts(tmp_path: Path) -> None:
    write(tmp_path, entry(1, "first"), entry(0), entry(1, "second"))
    assert reopened(tmp_path)[1].text == "first"
    assert [item.text for item in read_journal(tmp_path)] == ["some text", "first"]


def test_the_usage_of_ignored_entries_is_counted(tmp_path: Path) -> None:
    used = [{"prompt_tokens": number, "completion_tokens": 1, "estimated": False} for number in (1, 2, 4, 8)]
    failed = {"finish_reason": "error", "error": "no answer"}
    write(
        tmp_path,
        entry(0, usage=used[0], **failed), entry(0, usage=used[1]), entry(1, usage=used[2], **failed),
        entry(0, usage=used[3]),
    )  # fmt: skip
    journal = Journal(tmp_path)
    journal.close()
    assert [item.usage for item in journal.entries.values()] == [used[1]]
    assert journal.spent == [used[0], used[2], used[3]]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json", "JSONDecodeError"),
        (
            b'{"request": 0, "seed_ids": [], "parent_ids": [], "depth": 1, "prompt_sha256": "", "text": null, '
            b'"finish_reason": "stop", "prompt_tokens": 1, "completion_tokens": 1, '
            b'"rank": 0, "created_at": null, "error": null}',
            "TypeError: text is None",
        ),
        (b"", "JSONDecodeError"),
        (b"\x00\x00\x00", "JSONDecodeError"),
        (b"\xff", "UnicodeDecodeError"),
        (b"{}", "KeyError: 'request'"),
        (b'{"request": 1}', "KeyError: 'seed_ids'"),
        (b"[]", "TypeError"),
        (b"3", "TypeError"),
    ],
)
def test_a_damaged_line_is_moved_to_the_quarantine_file_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: bytes, reason: str
) -> None:
    path = write(tmp_path, entry(0), entry(1))
    first, second, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, line, second, b'{"half']))
    before = path.read_bytes()
    message = f"{path}: 1 of 3 lines are damaged; {path}:2: is not a journal entry ({reason}"
    with caplog.at_level(logging.WARNING):
        assert [item.request for item in read_journal(tmp_path)] == [0, 1]
    assert message in caplog.text and "they are ignored" in caplog.text and path.read_bytes() == before
    caplog.clear()
    for _ in range(2):
        assert sorted(reopened(tmp_path)) == [0, 1]
    assert caplog.text.count(message) == 1 and f"they were moved to {tmp_path / QUARANTINE}" in caplog.text
    assert path.read_bytes() == first + b"\n" + second + b"\n"
    assert (tmp_path / QUARANTINE).read_bytes() == line + b"\n"
    assert sorted(place.name for place in tmp_path.iterdir()) == [FILE_NAME, QUARANTINE]


def test_damaged_lines_are_moved_once_even_after_an_interrupted_move(tmp_path: Path) -> None:
    path = write(tmp_path, entry(0), entry(1))
    path.write_bytes(path.read_bytes() + b"one\ntwo\n")
    before = path.read_bytes()
    assert sorted(reopened(tmp_path)) == [0, 1]
    path.write_bytes(before)  # as after a crash between writing the quarantine file and the journal
    assert sorted(reopened(tmp_path)) == [0, 1] and (tmp_path / QUARANTINE).read_bytes() == b"one\ntwo\n"
    path.write_bytes(path.read_bytes() + b"three\n")
    assert sorted(reopened(tmp_path)) == [0, 1] and (tmp_path / QUARANTINE).read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("content", [b"not json\n", b'{"a": 1}\n{"b": 2}\n{"half', b"\n\n\n"])
def test_a_mostly_damaged_file_is_refused_and_not_changed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    for read in (read_journal, Journal):
        with pytest.raises(
            UserError, match=rf"{FILE_NAME}:1: is not a journal entry .* That is more than a crash would damage"
        ):
            read(tmp_path)
    assert path.read_bytes() == content and [place.name for place in tmp_path.iterdir()] == [FILE_NAME]


def test_crlf_and_a_byte_order_mark_are_accepted(tmp_path: Path) -> None:
    path = write(tmp_path, entry(0, "é"), entry(1))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    write(tmp_path, entry(2))
    assert [item.text for item in read_journal(tmp_path)] == ["é", "some text", "some text"]
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_lines_that_an_editor_saved_in_latin_1_are_generated_again(tmp_path: Path) -> None:
    path = write(tmp_path, entry(0), entry(1, "é"), entry(2))
    path.write_bytes(path.read_bytes().decode("utf-8").encode("latin-1"))
    assert sorted(reopened(tmp_path)) == [0, 2] and b"\xe9" in (tmp_path / QUARANTINE).read_bytes()


def test_a_journal_that_a_launch_has_open_is_refused_until_it_is_closed(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.append([entry(0)])
    with pytest.raises(
        UserError, match=r"--batch_dir .*: another launch is writing to it \(process \d+ on .*wait for"
    ):
        Journal(tmp_path)
    first.append([entry(1)])
    first.close()
    assert sorted(reopened(tmp_path)) == [0, 1]


def test_a_half_written_line_of_a_running_launch_is_not_cut_off(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b'{"half')
    assert read_journal(tmp_path) == []
    assert (tmp_path / FILE_NAME).read_bytes() == b'{"half'
    first.close()


def test_the_folder_is_created_and_one_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    assert reopened(tmp_path / "runs" / "new") == {}
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(
            UserError, match=rf"--batch_dir {folder}: cannot be written \(.+\); give another directory"
        ):
            Journal(folder)


def test_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    path = write(tmp_path, entry(0))
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}) + "\n")
    assert reopened(tmp_path) == {0: entry(0)}


def test_reading_a_run_does_not_remove_a_half_written_line(tmp_path: Path) -> None:
    path = write(tmp_path, entry(0))
    path.write_bytes(path.read_bytes() + b'{"half')
    before = path.read_bytes()
    assert [item.request for item in read_journal(tmp_path)] == [0]
    assert path.read_bytes() == before


@pytest.mark.parametrize("folder", [".", "none"])
def test_a_folder_without_a_journal_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UserError, match=r"holds no completions\.jsonl; give the --batch_dir of a generation run"):
        read_journal(tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.text(st.characters())), max_size=8))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_any_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, written: list[tuple[int, str]]) -> None:
    folder = tmp_path_factory.mktemp("journal")
    write(folder, *(entry(request, text) for request, text in written))
    expected = {request: entry(request, text) for request, text in reversed(written)}
    assert reopened(folder) == expected
    assert read_journal(folder) == [expected[request] for request in sorted(expected)]


@pytest.mark.parametrize("number", [str(10**400), "9007199254740992", "-1", "1e999", "NaN", "true", '"5"', "1.5"])
@pytest.mark.parametrize("name", ["request", "prompt_tokens", "completion_tokens", "usage"])
def test_a_line_with_an_invalid_number_is_moved_to_the_quarantine_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, number: str
) -> None:
    if name == "usage":
        number = f'{{"prompt_tokens": {number}, "completion_tokens": 3, "estimated": false}}'
    path = write(tmp_path, entry(0), entry(1))
    first, second, _ = path.read_bytes().split(b"\n")
    poisoned = json.dumps({**json.loads(second), name: "NUMBER"}).replace('"NUMBER"', number).encode()
    path.write_bytes(first + b"\n" + poisoned + b"\n")
    with caplog.at_level(logging.WARNING):
        assert sorted(reopened(tmp_path)) == [0]
    assert f"{path}:2: is not a journal entry" in caplog.text and len(caplog.text) < 1000
    assert (tmp_path / QUARANTINE).read_bytes() == poisoned + b"\n"


def test_a_journal_with_a_huge_token_count_in_every_line_can_be_continued(tmp_path: Path) -> None:
    path = write(tmp_path, entry(0), entry(1))
    spoiled = path.read_bytes().replace(b'"completion_tokens": 3', b'"completion_tokens": 1' + b"0" * 400)
    path.write_bytes(spoiled)
    assert reopened(tmp_path) == {} and (tmp_path / QUARANTINE).read_bytes() == spoiled


def test_thoughts_are_stored_and_their_fields_are_absent_without_any(tmp_path: Path) -> None:
    path = write(tmp_path, entry(0), entry(1, reasoning="a plan", reasoning_tokens=2), entry(2, reasoning_tokens=0))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert not {"reasoning", "reasoning_tokens"} & set(lines[0]) and "reasoning" not in lines[2]
    assert (lines[1]["reasoning"], lines[1]["reasoning_tokens"]) == ("a plan", 2)
    found = reopened(tmp_path)
    assert found[1] == entry(1, reasoning="a plan", reasoning_tokens=2) and found[1].turn.thought == "a plan"


@pytest.mark.parametrize("wrong", [-1, True, "many", 1.5])
def test_a_line_with_an_invalid_count_of_thoughts_is_damaged(tmp_path: Path, wrong: Any) -> None:
    path = write(tmp_path, *(entry(at) for at in range(4)))
    lines = path.read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "reasoning_tokens": wrong})
    path.write_text("\n".join(lines) + "\n")
    assert sorted(reopened(tmp_path)) == [0, 2, 3]
