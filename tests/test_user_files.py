"""Reading JSON lines: accepted rows, and errors with file and line."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets.containers import open_container
from self_instruct.errors import UserError
from self_instruct.generation.categories.category_file import read_category
from self_instruct.generation.categories.topic_lists import read_topics
from self_instruct.generation.config import parse_arguments
from self_instruct.generation.prompts import read_header
from self_instruct.records import json_line
from self_instruct.rules.filters.responses import read_patterns
from self_instruct.user_files import read_objects


def rows(path: Path) -> list[dict[str, object]]:
    return [row for _, row in read_objects(path, "--seeds")]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "a.jsonl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [b'{"a": 1}\n{"a": 2}\n', b'{"a": 1}\n{"a": 2}', b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n', b'{"a": 1}\r\n{"a": 2}\r\n',
     b'\n\n{"a": 1}\n  \n\t{"a": 2} \n\n', b'\xef\xbb\xbf\r\n{"a": 1}\r\n\r\n{"a": 2}'],
)  # fmt: skip
def test_line_ends_blank_lines_and_a_byte_order_mark_do_not_matter(tmp_path: Path, content: bytes) -> None:
    assert rows(written(tmp_path, content)) == [{"a": 1}, {"a": 2}]


def test_each_object_comes_with_its_line_blank_ones_counted(tmp_path: Path) -> None:
    path = written(tmp_path, b'\n{"a": 1}\n\r\n{"a": 2}')
    assert list(read_objects(path, "x")) == [(f"{path}:2", {"a": 1}), (f"{path}:4", {"a": 2})]


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    row = {"a": "one\u2028two\x85three\x0bfour"}
    assert rows(written(tmp_path, json.dumps(row, ensure_ascii=False).encode())) == [row]


@pytest.mark.parametrize(("last", "found"), [(b'{"a": 2', [1]), (b'{"a": 2}', [1]), (b'{"a": 2}\n', [1, 2])])
def test_of_a_growing_file_only_whole_lines_are_read(tmp_path: Path, last: bytes, found: list[int]) -> None:
    path = written(tmp_path, b'{"a": 1}\n' + last)
    assert [row["a"] for _, row in read_objects(path, "x", growing=True)] == found


def test_an_empty_file_holds_no_objects(tmp_path: Path) -> None:
    assert rows(written(tmp_path, b"")) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", r"is not JSON \(.*\); every line must hold one object"),
        (b"{'a': 1}", r"is not JSON"),
        (b'{"a": 1} {"a": 2}', r"is not JSON \(Extra data"),
        (b'{"a": 1}\r{"a": 2}', r"is not JSON"),
        (b'\xef\xbb\xbf{"a": 1}', r"is not JSON"),
        (b"[" * 100_000, r"is not JSON"),
        (b"[]", r"holds a list, but every line must hold one object"),
        (b'"a"', r"holds a text, but"),
        (b"null", r"holds null, but"),
        (b"1", r"holds a number, but"),
        (b'{"a": "\xe9"}', r"byte 7 is not UTF-8; save the file as UTF-8"),
        ('{"a": "é"}'.encode("utf-16"), r"byte 0 is not UTF-8"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_bad_line_is_named_with_file_and_number(tmp_path: Path, line: bytes, message: str) -> None:
    path = written(tmp_path, b'{"a": 1}\n\n' + line + b'\n{"a": 2}\n')
    with pytest.raises(UserError, match=rf"a\.jsonl:3: {message}"):
        rows(path)


def test_lines_before_a_bad_one_are_yielded_first(tmp_path: Path) -> None:
    reader = read_objects(written(tmp_path, b'{"a": 1}\nx\n'), "x")
    assert next(reader)[1] == {"a": 1}
    with pytest.raises(UserError, match=":2: "):
        next(reader)


def test_a_file_that_cannot_be_read_is_named_with_its_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--seeds .*none.jsonl: cannot be read \(No such file or directory\); give"):
        rows(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match=r"--seeds .*: cannot be read \(Is a directory\)"):
        rows(tmp_path)


@given(
    st.lists(st.dictionaries(st.text(st.characters(), max_size=3), st.text(st.characters()) | st.none(), max_size=3))
)
@settings(deadline=None, derandomize=True)
def test_values_written_as_json_lines_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[dict]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.jsonl"
    path.write_bytes(b"".join(map(json_line, wanted)))
    assert rows(path) == wanted


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: os.symlink("/dev/zero", path),
        bind,
        lambda path: path.symlink_to(path),
    ],
    ids=["pipe", "directory", "device", "socket", "loop"],
)
@pytest.mark.parametrize(
    "read",
    [
        rows,
        read_header,
        read_topics,
        read_category,
        read_patterns,
        lambda path: parse_arguments(["--config", str(path)], "test"),
    ],
)
def test_what_is_no_file_is_refused_at_once(
    make: Callable[[Path], None], read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.jsonl"
    make(path)
    with pytest.raises(UserError, match=r"a\.jsonl"):
        read(path)


def test_rows_are_read_from_a_pipe_but_not_from_a_device() -> None:
    with pytest.raises(UserError, match="--input_path /dev/zero: cannot be read \\(it is a device\\)"):
        open_container("/dev/zero")
