"""Record formats: rendered blocks are parsed back, and a broken block does not affect the others."""

import re
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from self_instruct.formats import FORMATS, INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT, Block, RecordFormat
from self_instruct.records import Record

PROPERTY = settings(deadline=None, max_examples=20, derandomize=True)  # for each of eight variants
IO, IIO = INSTRUCTION_OUTPUT, INSTRUCTION_INPUT_OUTPUT
VARIANTS = {
    "io": IO,
    "iio": IIO,
    "alpaca": IIO.with_triggers(instruction="### Instruction", input="### Input", output="### Response"),
    "prefixes": IIO.with_triggers(instruction="Task", input="Task data", output="Task data out"),
    "pattern signs": IIO.with_triggers(instruction="Q?", input="[x]+", output="A.|$"),
    "brackets": IIO.with_triggers(instruction="Task (short)", input="(?x", output="Result (a|b)"),
    "swapped": IO.with_triggers(instruction="Output", output="Instruction"),
    "other script": IIO.with_triggers(instruction="Задача", input="Ввод", output="Ответ"),
}
FRAGMENTS = (
    "1. Instruction:", "Instruction:", "1. Output:", "2) Output:", "Output:", "1. Input:", "Input :", "**Output:**",
    "7. **Input**:", "### 1. output:",
    "**2. INPUT:**", "1. instruction:", "instruction:", "1 . Output:", "١. Output:", "###", "\n###", "###\n", "\n###\n", "####",
    "### Usage", "\\", "\\\\",
    "\n", "\n\n", "\r", "\r\n", " ", "\t", "\x0b", "\x0c", "\x1c", "\x85", "\xa0", "\u2028", "<noinput>", "No input.",
    "None", "(n/a)", "noinput", "\ud800", "\udfff", "a", "b", "é", "1.", "2", ":", "*", "```python\n",
)  # fmt: skip


@cache
def texts(format: RecordFormat) -> st.SearchStrategy[str]:
    words = [word for _, word in format.triggers]
    labels = [f"{word}:" for word in words] + [f"{number}. {word}:" for word in words for number in (1, 2, 40)]
    piece = st.sampled_from(FRAGMENTS) | st.sampled_from(labels) | st.text(st.characters(), max_size=3)
    return st.lists(piece, max_size=9).map("".join)


@cache
def records(format: RecordFormat) -> st.SearchStrategy[Record]:
    return st.builds(Record, st.just("x"), texts(format), texts(format), texts(format))


def fields_of(format: RecordFormat, record: Record) -> dict[str, str]:
    values = {"instruction": record.instruction, "input": record.input, "output": record.output}
    return values if "input" in format.fields else {"instruction": record.task, "output": record.output}


def read(blocks: list[Block]) -> list[dict[str, str] | str]:
    return [block.reason or block.fields for block in blocks]


@pytest.mark.parametrize("format", VARIANTS.values(), ids=VARIANTS)
@PROPERTY
@given(data=st.data(), number=st.integers(1, 400))
def test_rendered_records_are_parsed_back(format: RecordFormat, data: st.DataObject, number: int) -> None:
    batch = data.draw(st.lists(records(format), min_size=1, max_size=3))
    text = "".join(format.render(record, at) for at, record in enumerate(batch, start=number))
    expected = [fields_of(format, record) for record in batch]
    assert read(format.parse(text, number)) == expected
    assert read(format.parse(text.removeprefix(format.open_block(number)), number)) == expected
    assert read(format.parse(text, number, truncated=True)) == expected


@pytest.mark.parametrize(
    "text",
    ["1. Output:", "\\1. Output:", "a\n \\\\Output: b", "###", "a\n###\nb", "a\n\\###\nb", " a ", "\\ a \\", "\\",
     "<noinput>", "\\<noinput>", "No input", " <noinput>", "None", "\\None", "None of them",
     "\r###\r", "\n", "\x1c", "\ud800 \udfff", "", "2. Instruction:"],
)  # fmt: skip
@pytest.mark.parametrize("format", [IO, IIO], ids=["io", "iio"])
def test_text_that_looks_like_the_format_survives_in_every_field(format: RecordFormat, text: str) -> None:
    record = Record("x", text, text, text)
    assert read(format.parse(format.render(record, 3), 3)) == [fields_of(format, record)]


@pytest.mark.parametrize("format", VARIANTS.values(), ids=VARIANTS)
@PROPERTY
@given(data=st.data(), number=st.integers(1, 400), truncated=st.booleans())
def test_no_text_of_a_completion_is_lost(
    format: RecordFormat, data: st.DataObject, number: int, truncated: bool
) -> None:
    check_conserved(format, data.draw(texts(format)), number, truncated)


def check_conserved(
    format: RecordFormat, completion: str, number: int, truncated: bool, layout: str = r"[\s#]"
) -> None:
    """Assert that the blocks hold the whole completion in order, except layout (white space and separators) and an unfinished
    label in the last line. The model may have repeated the opening.
    """
    blocks = format.parse(completion, number, truncated)
    read_back, bare = (re.sub(layout, "", text) for text in ("\n".join(block.text for block in blocks), completion))
    opened = re.sub(r"[\s#]", "", format.open_block(number)) + bare
    left_out = [whole.removeprefix(read_back) for whole in (bare, opened) if whole.startswith(read_back)]
    last_line = completion.rstrip().rpartition("\n")[2].strip()
    assert "" in left_out or (left_out and format._labels.begun.fullmatch(last_line))
    assert [block.position for block in blocks] == list(range(1, len(blocks) + 1))
    lacks_the_last = f"missing_{format.fields[-1]}"
    cut = [block for block in blocks if block.reason == "cut_by_length"]
    assert all(bool(block.fields) == (block.reason in (None, lacks_the_last)) for block in blocks if block not in cut)
    assert all(format.fields[-1] not in block.fields for block in cut)
    numbered = rf"^[ \t]*\d{{1,6}}\. {re.escape(format.triggers[0][1])}:"
    assert len(blocks) >= len(re.findall(numbered, completion, re.MULTILINE))


@pytest.mark.parametrize("format", [IO, IIO, VARIANTS["alpaca"]], ids=["io", "iio", "alpaca"])
@settings(PROPERTY, max_examples=40)
@given(data=st.data(), number=st.integers(1, 400))
def test_a_whole_block_is_read_whatever_precedes_it(format: RecordFormat, data: st.DataObject, number: int) -> None:
    record = data.draw(records(format))
    garbage = data.draw(texts(format))
    assert read(format.parse(garbage + "\n" + format.render(record, number)))[-1] == fields_of(format, record)


@settings(PROPERTY, max_examples=60)
@given(garbage=texts(IO), record=records(IO))
@example(garbage="", record=Record("x", "a", "", "b"))
def test_a_whole_block_is_read_whatever_block_comes_after_it(garbage: str, record: Record) -> None:
    completion = IO.render(record, 1) + IO.open_block(2) + garbage
    assert read(IO.parse(completion))[0] == fields_of(IO, record)
    assert read(IO.parse(completion, truncated=True))[0] == fields_of(IO, record)


FIRST, LAST = {"instruction": "Add.", "output": "a + b"}, {"instruction": "Divide.", "output": "a / b"}
HEAD, TAIL = "Add.\n\n1. Output:\na + b\n###\n", "3. Instruction:\nDivide.\n\n3. Output:\na / b\n###\n"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("2. Instruction:\nSubtract.\n\n###\n", "missing_output"),
        ("2. Instruction:\nSubtract.\n\n", "missing_output"),
        ("2. Instruction:\nSubtract.\n2. Output:\nx\n2. Output:\ny\n###\n", "repeated_output"),
        ("2. Instruction:\n###\n", "empty_block"),
        ("2. Instruction:\n", "empty_block"),
        ("**2.** Instruction\nSubtract.\n", "missing_output"),
        ("Subtract.\n\nx - y\n###\n", "unlabelled"),
        ("2. Output:\nx\n", "missing_instruction"),
    ],
)
def test_a_broken_block_does_not_affect_the_others(broken: str, reason: str) -> None:
    assert read(IO.parse(HEAD + broken + TAIL)) == [FIRST, reason, LAST]


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("Add.", "missing_output"),
        ("Add.\n1. Input:\n2", "missing_output"),
        ("Add.\n1. Input:\n2\n1. Input:\n3\n1. Output:\nx", "repeated_input"),
        ("Add.\n1. Input:\n2\n1. Output:\nx\n1. Output:\ny", "repeated_output"),
        ("Add.\n1. Output:\nx\n1. Input:\n2", "repeated_input"),
        ("", "empty_block"),
        (" \n\n", "empty_block"),
    ],
)
def test_a_block_with_input_is_rejected_with_its_fault(completion: str, reason: str) -> None:
    assert read(IIO.parse(completion)) == [reason]


@pytest.mark.parametrize("numbers", [(1, 1, 1), (1, 3, 7), (9, 5, 2), (4, 4, 999_999), (0, 0, 0)])
def test_repeated_skipped_and_decreasing_numbers_lose_no_block(numbers: tuple[int, ...]) -> None:
    rows = [Record("x", f"Task {at}.", "", f"answer {at}") for at in range(3)]
    text = "".join(IO.render(record, number) for record, number in zip(rows, numbers, strict=True))
    assert read(IO.parse(text, 7)) == [fields_of(IO, record) for record in rows]


def test_blocks_without_numbers_are_read() -> None:
    text = "Add.\nOutput:\nx\n\nInstruction: Divide.\nOutput: y\n###\nInstruction:\nSubtract.\nOutput:\nz"
    assert [block["output"] for block in read(IO.parse(text)) if isinstance(block, dict)] == ["x", "y", "z"]


def test_an_output_label_with_another_number_is_still_the_output() -> None:
    assert read(IO.parse("Add.\n\n12. Output:\nx", 1)) == [{"instruction": "Add.", "output": "x"}]


@pytest.mark.parametrize("output", ["a\nOutput: b", "Instruction: ADD R1, R2", "Input: 3\nOutput: 4"])
def test_labels_without_number_inside_a_numbered_block_are_text(output: str) -> None:
    completion = f"Explain this:\nInstruction: ADD\n\n1. Output:\nIt adds.\n{output}"
    blocks = read(IIO.parse(completion.replace("\n1. Output", "\n1. Input:\n<noinput>\n1. Output")))
    start = {"instruction": "Explain this:\nInstruction: ADD", "input": ""}
    if output.startswith("Instruction"):  # after an answer, a first label begins a block, numbered or not
        assert blocks == [{**start, "output": "It adds."}, "missing_output"]
    else:
        assert blocks == [{**start, "output": f"It adds.\n{output}"}]


@pytest.mark.parametrize(
    "output",
    [
        "### Usage\nrun it",
        "# A\n### B\n#### C",
        "```coffee\n###\na remark\n###\n```",
        "a ### b",
        "a\n###b",
        "a\n####",
        "*\n**\n***",
        "---\na: 1\n---\nb: 2",
        "# A\n\n---\n\nMore of it.",
        "```\na\n```",
    ],
)
def test_what_resembles_a_separator_inside_an_answer_survives_as_the_model_wrote_it(output: str) -> None:
    completion = f"Write a README.\n\n1. Output:\n{output}\n###\n2. Instruction:\nNext.\n\n2. Output:\nend\n###\n"
    assert read(IO.parse(completion)) == [
        {"instruction": "Write a README.", "output": output},
        {"instruction": "Next.", "output": "end"},
    ]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        (HEAD, [FIRST]),
        (HEAD.rstrip(), [FIRST]),
        (HEAD + "\n \n", [FIRST]),
        ("Add.\n\n1. Output:\na + b", ["cut_by_length"]),
        ("Add", ["cut_by_length"]),
        ("", ["cut_by_length"]),
        (HEAD + TAIL.removesuffix("\n###\n"), [FIRST, "cut_by_length"]),
        (HEAD + TAIL, [FIRST, LAST]),
        (HEAD + "2. Instruction:", [FIRST, "cut_by_length"]),
        ("Add.\n\n1. Output:\na + b\n2. Instruction:\n", [FIRST, "cut_by_length"]),
        (HEAD + "2. Instruction:\nSubtract.\n" + TAIL, [FIRST, "missing_output", LAST]),
    ],
)
def test_the_length_limit_breaks_the_last_block_unless_it_is_closed(
    completion: str, expected: list[dict[str, str] | str]
) -> None:
    blocks = IO.parse(completion, truncated=True)
    assert read(blocks) == expected
    cut_in_output = blocks[-1].reason == "cut_by_length" and "Output:" in blocks[-1].text
    assert blocks[-1].reason is None or bool(blocks[-1].fields) == cut_in_output


def test_an_open_last_block_is_read_if_the_model_stopped_by_itself() -> None:
    assert read(IO.parse("Add.\n\n1. Output:\na + b")) == [FIRST]


@pytest.mark.parametrize(
    "completion",
    ["4. Instruction:\nAdd.\n\n4. Output:\na + b", "\n\n4. Instruction: Add.\n4. Output: a + b\n###",
     "Instruction:\nAdd.\nOutput:\na + b", "**Instruction:** Add.\n\n**Output:** a + b",
     "4) Instruction: Add.\n4) Output: a + b",
     "4. **Instruction**: Add.\n4. **Output**: a + b", "  1. Instruction:\nAdd.\n  1. Output:\na + b\n"],
)  # fmt: skip
def test_a_chat_model_may_repeat_the_opening_label(completion: str) -> None:
    assert read(IO.parse(completion, 4)) == [FIRST]


def test_a_preamble_is_a_separate_block() -> None:
    completion = "Sure, here are some tasks:\n\n1. Instruction:\nAdd.\n\n1. Output:\na + b\n###\n"
    assert read(IO.parse(completion)) == ["missing_output", FIRST]


@pytest.mark.parametrize(
    "raw",
    ["<noinput>", "<NoInput>", "noinput", "No input.", "<no input>", "", "None", "N/A", "(none).", "[Not applicable]"],
)
def test_texts_that_mean_no_input_become_empty(raw: str) -> None:
    blocks = IIO.parse(f"Add.\n\n1. Input:\n{raw}\n\n1. Output:\na + b")
    assert read(blocks) == [{"instruction": "Add.", "input": "", "output": "a + b"}]


def test_a_block_keeps_its_text_as_the_model_wrote_it() -> None:
    (block,) = IO.parse("Add.\n\n1. Outcome:\nx\n###\n", 1)
    assert (block.text, block.reason) == ("1. Instruction:\nAdd.\n\n1. Outcome:\nx", "missing_output")


@pytest.mark.parametrize(("words", "rule"), [
    (["", " "], "is empty"), (["Task ", " Task"], "has spaces around it"), (["1st", "²"], "begins with a digit"),
    (["a\nb", "a\rb", "a:", "*Task", "a\\b"], "must be plain text without line break, colon, asterisk or backslash"),
])  # fmt: skip
@pytest.mark.parametrize("place", [0, 1])
def test_a_trigger_word_that_cannot_be_told_from_text_is_refused_with_its_rule(words, rule, place) -> None:
    triggers = [("instruction", "Instruction"), ("output", "Output")]
    for word in words:
        triggers[place] = (triggers[place][0], word)
        with pytest.raises(ValueError, match=f"trigger word .* {rule}"):
            RecordFormat("x", tuple(triggers))


@pytest.mark.parametrize("word", ["", " "])
def test_an_empty_trigger_word_does_not_keep_the_current_one(word: str) -> None:
    with pytest.raises(ValueError, match=r"trigger word '\s*' is empty"):
        IO.with_triggers(output=word)


def test_an_unknown_field_of_a_trigger_word_is_refused() -> None:
    with pytest.raises(TypeError, match="outputs"):
        IO.with_triggers(outputs="Answer")


def test_trigger_words_must_differ() -> None:
    with pytest.raises(ValueError, match="must be distinct, but they are Input, Input, Output"):
        IIO.with_triggers(instruction="Input")


def test_only_the_words_given_are_replaced() -> None:
    other = IIO.with_triggers(input="Data", output=None)
    assert other.triggers == (("instruction", "Instruction"), ("input", "Data"), ("output", "Output"))
    assert other.render(Record("x", "Add.", "", "a"), 2) == (
        "2. Instruction:\nAdd.\n\n2. Data:\n<noinput>\n\n2. Output:\na\n###\n"
    )


def test_formats_are_found_by_name() -> None:
    assert {"instruction_output": IO, "instruction_input_output": IIO} == FORMATS


def test_a_block_that_was_cut_in_its_output_has_its_instruction() -> None:
    whole, cut, begun = (
        IO.parse(text, 1, True)[-1] for text in ("Sort.\n\n1. Output:\nx\n###", "Sort.\n\n1. Output:\nx", "Sort")
    )
    assert (whole.fields, whole.reason) == ({"instruction": "Sort.", "output": "x"}, None)
    assert (cut.fields, cut.reason) == ({"instruction": "Sort."}, "cut_by_length")
    assert (begun.fields, begun.reason) == ({}, "cut_by_length")
