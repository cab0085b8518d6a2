"""Files put in place in one step (what is appended: test_journal.py): pytest tests/test_durable.py"""

import os

import pytest

from self_instruct.durable import put


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "report.json"
    put(path, b"old, and longer")
    with path.open("rb") as reader:
        put(path, b"new")
        assert reader.read() == b"old, and longer"
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["report.json"]


def test_what_cannot_be_written_leaves_the_old_content(tmp_path):
    path = tmp_path / "report.json"
    put(path, b"old")
    (tmp_path / "report.json.part").mkdir()
    with pytest.raises(OSError, match=r"report\.json\.part"):
        put(path, b"new")
    assert path.read_bytes() == b"old"
