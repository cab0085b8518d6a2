"""Reading seed tasks: both schemas, and errors with file, line and field."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.seeds import load_seeds, sha256_of_file

WHOLE = {"id": "s1", "instruction": "Add 1 and 2.", "instances": [{"input": "", "output": "3"}]}
FLAT = {"instruction": "Add.", "input": "1 2", "output": "3"}


@pytest.fixture
def load(tmp_path: Path):
    """Load rows, or bytes as they are."""

    def loaded(*rows: dict[str, Any] | bytes) -> list[Record]:
        path = tmp_path / "seeds.jsonl"
        path.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows))
        return load_seeds(path)

    return loaded


def test_only_the_first_instance_is_used(load) -> None:
    two = {
        **WHOLE,
        "instances": [{"input": "a", "output": "1"}, {"input": "b", "output": "2"}],
        "is_classification": True,
    }
    assert load(two) == [Record("s1", "Add 1 and 2.", "a", "1", 0)]


def test_a_file_may_mix_both_schemas(load) -> None:
    assert load(FLAT, WHOLE) == [Record("seed_1", "Add.", "1 2", "3"), Record("s1", "Add 1 and 2.", "", "3")]


@pytest.mark.parametrize("absent", [{}, {"id": None}, {"id": ""}])
def test_a_missing_id_is_made_from_the_number_of_the_line(load, absent: dict[str, Any]) -> None:
    seeds = load(b"", {**FLAT, **absent}, b"", {**FLAT, **absent})
    assert [seed.id for seed in seeds] == ["seed_2", "seed_4"]


def test_an_id_that_is_a_number_becomes_text(load) -> None:
    assert [seed.id for seed in load({**FLAT, "id": 7})] == ["7"]


@pytest.mark.parametrize("value", [None, "", " \n", "<noinput>", "<noInput>", "<NOINPUT> "])
@pytest.mark.parametrize("flat", [True, False])
def test_all_ways_to_give_no_input_are_the_same(load, value: str | None, flat: bool) -> None:
    row = {**FLAT, "input": value} if flat else {**WHOLE, "instances": [{"input": value, "output": "3"}]}
    assert load(row)[0].input == ""


def test_an_input_may_be_left_out(load) -> None:
    assert load({"instruction": "Add.", "output": "3"})[0].input == ""
    assert load({**WHOLE, "instances": [{"output": "3"}]})[0].input == ""


def test_white_space_around_fields_is_removed_and_inside_kept(load) -> None:
    seed = load({"instruction": " Add. \n", "input": "\n a\n  b ", "output": "\tx\n\n  y\n"})[0]
    assert (seed.instruction, seed.input, seed.output) == ("Add.", "a\n  b", "x\n\n  y")


def test_a_byte_order_mark_windows_line_ends_and_lone_surrogates_are_read(load) -> None:
    seeds = load(b"\xef\xbb\xbf" + json.dumps(FLAT).encode() + b"\r", {**FLAT, "output": "\ud800"})
    assert [(seed.id, seed.output) for seed in seeds] == [("seed_1", "3"), ("seed_2", "\ud800")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instruction": None}, 'field "instruction" is missing; every seed needs an instruction and an output'),
        ({"instruction": 3}, 'field "instruction" is a number, not a text'),
        ({"instruction": ["a"]}, 'field "instruction" is a list, not a text'),
        ({"instruction": " "}, 'field "instruction" is empty'),
        ({"instances": []}, 'field "instances" must be a list with at least one'),
        ({"instances": {}}, 'field "instances" must be a list'),
        ({"instances": None}, 'field "instances" must be a list'),
        ({"instances": ["a"]}, 'field "instances" must be a list'),
        ({"instances": [{"input": "a"}]}, 'field "output" is missing'),
        ({"instances": [{"input": "a", "output": ""}]}, 'field "output" is empty'),
        ({"instances": [{"input": "a", "output": 3}]}, 'field "output" is a number, not a text'),
        ({"instances": [{"input": 1, "output": "3"}]}, 'field "input" is a number, not a text'),
        ({"instances": [{"input": {}, "output": "3"}]}, 'field "input" is an object, not a text'),
    ],
)
def test_an_incomplete_task_is_reported_with_line_and_field(load, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"seeds\.jsonl:3: {message}"):
        load(FLAT, b"", {**WHOLE, **change})


@pytest.mark.parametrize("field", ["instruction", "output"])
def test_a_flat_line_needs_its_fields_too(load, field: str) -> None:
    with pytest.raises(UserError, match=rf'seeds\.jsonl:1: field "{field}" is missing'):
        load({name: value for name, value in FLAT.items() if name != field})


def test_the_instruction_is_beside_the_instances_not_in_them(load) -> None:
    with pytest.raises(UserError, match='field "instruction" is missing'):
        load({"instances": [FLAT]})


@pytest.mark.parametrize(
    ("line", "message"),
    [(b"{", "is not JSON"), (b"[]", "holds a list"), (b'{"a": "\xff"}', "byte 7 is not UTF-8")],
)
def test_a_line_that_is_not_an_object_is_reported(load, line: bytes, message: str) -> None:
    with pytest.raises(UserError, match=rf"seeds\.jsonl:2: {message}"):
        load(FLAT, line)


@pytest.mark.parametrize("rows", [(WHOLE, FLAT, WHOLE), ({**FLAT, "id": "seed_3"}, WHOLE, FLAT)])
def test_a_repeated_id_is_reported_with_both_positions(load, rows: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(UserError, match=r"seeds\.jsonl:3: id '\w+' is also at .*seeds\.jsonl:1; every seed needs"):
        load(*rows)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_a_file_without_tasks_is_refused(load, content: bytes) -> None:
    with pytest.raises(UserError, match=r"--seed_tasks_path .*seeds\.jsonl: holds no seed task"):
        load(content)


def test_a_missing_file_is_named_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--seed_tasks_path .*none: cannot be read \(No such file"):
        load_seeds(tmp_path / "none")


def test_the_fingerprint_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\r\n")
    assert sha256_of_file(path) == hashlib.sha256(b"one\r\n").hexdigest()
    path.write_bytes(b"one\n")
    assert sha256_of_file(path) == hashlib.sha256(b"one\n").hexdigest()
