"""Blocks with their fields in another order, and completing only the last field of a record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT, RecordFormat
from self_instruct.records import Record
from tests.formats.test_splitting_blocks import PROPERTY, VARIANTS, fields_of, read, records

IO, IIO = INSTRUCTION_OUTPUT, INSTRUCTION_INPUT_OUTPUT
OUTPUT_FIRST = IO.in_order("output", "instruction")
ORDERED = {
    "output first": OUTPUT_FIRST,
    "swapped": VARIANTS["swapped"].in_order("output", "instruction"),
    "input between": IIO.in_order("output", "input", "instruction"),
    "input first": IIO.in_order("input", "output", "instruction"),
    "alpaca": VARIANTS["alpaca"].in_order("output", "input", "instruction"),
    "prefixes": VARIANTS["prefixes"].in_order("output", "input", "instruction"),
}


@pytest.mark.parametrize("format", ORDERED.values(), ids=ORDERED)
@PROPERTY
@given(data=st.data(), number=st.integers(1, 400))
def test_records_rendered_in_any_order_are_parsed_back(format: RecordFormat, data: st.DataObject, number: int) -> None:
    batch = data.draw(st.lists(records(format), min_size=1, max_size=3))
    text = "".join(format.render(record, at) for at, record in enumerate(batch, start=number))
    expected = [fields_of(format, record) for record in batch]
    assert read(format.parse(text, number)) == expected
    assert read(format.parse(text.removeprefix(format.open_block(number)), number, truncated=True)) == expected


@pytest.mark.parametrize("format", [*ORDERED.values(), IO, IIO], ids=[*ORDERED, "io", "iio"])
@PROPERTY
@given(data=st.data(), number=st.integers(1, 400))
def test_the_last_field_of_a_record_is_read_after_the_others_were_shown(
    format: RecordFormat, data: st.DataObject, number: int
) -> None:
    record = data.draw(records(format))
    whole, opening = format.render(record, number), format.open_block(number, record)
    assert whole.startswith(opening)
    body, expected = whole.removeprefix(opening), [fields_of(format, record)]
    assert read(format.parse(body, number, record=record)) == expected
    # A chat model may repeat the label that it was given.
    label = opening.rpartition("\n\n")[2]
    assert read(format.parse(label + body, number, record=record)) == expected


def test_a_block_begins_with_the_first_field_and_ends_open_at_the_last() -> None:
    record = Record("x", "Sort.", "3 1", "1 3")
    assert ORDERED["input between"].render(record, 2) == (
        "2. Output:\n1 3\n\n2. Input:\n3 1\n\n2. Instruction:\nSort.\n###\n"
    )
    assert ORDERED["input between"].open_block(2) == "2. Output:\n"
    assert ORDERED["input between"].open_block(2, record) == "2. Output:\n1 3\n\n2. Input:\n3 1\n\n2. Instruction:\n"
    assert OUTPUT_FIRST.open_block(2, record) == "2. Output:\n1 3\n\n2. Instruction:\n"


@pytest.mark.parametrize("following", ["4. Output:\nc", "5. Output:\nc\n\n5. Instruction:\nNext.", "###\n\nmore"])
def test_text_after_the_last_field_is_not_part_of_it(following: str) -> None:
    first, *_ = OUTPUT_FIRST.parse(f"Sum two.\n{following}", 4, record=Record("x", "Add.", "", "a + b"))
    assert first.fields["output"] == "a + b"
    assert first.fields["instruction"] == "Sum two."


def test_an_empty_a_cut_and_another_record_are_distinguished() -> None:
    record = Record("x", "Add.", "", "a + b")
    assert read(OUTPUT_FIRST.parse("", 4, record=record)) == [{"instruction": "", "output": "a + b"}]
    assert read(OUTPUT_FIRST.parse("Sum tw", 4, truncated=True, record=record)) == ["cut_by_length"]
    other = "4. Output:\nc\n\n4. Instruction:\nNext."
    assert read(OUTPUT_FIRST.parse(other, 4, record=record))[0] == {"instruction": "", "output": "a + b"}


@pytest.mark.parametrize("names", [("output",), ("output", "output"), ("input", "output")])
def test_an_order_must_name_every_field_once(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="the fields are instruction, output, which cannot be ordered as"):
        IO.in_order(*names)
