"""`--split` for files."""

import json

import pytest

from self_instruct.datasets.containers import open_container
from self_instruct.datasets.parts import split_of
from self_instruct.errors import UserError


@pytest.fixture
def source(tmp_path):
    rows = [{"instruction": str(number), "output": "x"} for number in range(9)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "b.json").write_text(json.dumps({"train": rows[:6], "test": rows[6:]}))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "split", "found"),
    [
        ("a.jsonl", "train", "012345678"), ("a.jsonl", "train[:3]", "012"), ("a.jsonl", "train[2:4]", "23"),
        ("b.json", "test", "678"), ("b.json", "test[1:]", "78"), ("b.json", None, "012345678"),
    ],
)  # fmt: skip
def test_split_of_a_file_is_read_alone(source, name, split, found):
    assert "".join(row.value["instruction"] for row in open_container(str(source / name), split).rows) == found


@pytest.mark.parametrize(("name", "split"), [("a.jsonl", "test"), ("b.json", "dev")])
def test_split_that_a_file_lacks_is_refused(source, name, split):
    with pytest.raises(UserError, match=f"--split {split}: .*it has train"):
        list(open_container(str(source / name), split).rows)


@pytest.mark.parametrize(
    "text", ["train[5]", "train[-3:]", "train[:10%]", "", "[:3]", f"train[{'9' * 400}:]", f"train[:{'9' * 5000}]"]
)
def test_other_splits_are_refused(text):
    with pytest.raises(UserError, match="NAME or NAME"):
        split_of(text)
