"""Completions that deviate from the shown format as real models do."""

import pytest

from self_instruct.formats import FORMATS
from self_instruct.formats import INSTRUCTION_OUTPUT as IO
from tests.support.hostile_texts import grows_too_fast, repeated, units


@pytest.mark.parametrize(
    "tail", ["2. Instru", "2.", "2", "Instruction", "2. Instruction", "###", "###\n\n###\n", "  \n"]
)
@pytest.mark.parametrize("truncated", [False, True])
def test_a_closed_block_is_complete_whatever_follows(tail: str, truncated: bool) -> None:
    completion = f"Add one.\n\n1. Output:\nx\n###\n{tail}"
    assert [block.fields for block in IO.parse(completion, 1, truncated)] == [
        {"instruction": "Add one.", "output": "x"}
    ]


def test_repeated_separators_count_as_one() -> None:
    completion = "Add one.\n\n1. Output:\nx\n###\n###\n\n###\n2. Instruction:\nAdd two.\n\n2. Output:\ny\n###\n"
    assert [block.fields["output"] for block in IO.parse(completion)] == ["x", "y"]


@pytest.mark.parametrize(
    "label",
    ["**2. Instruction:**", "### 2. Instruction:", "2. instruction:", "**2.** INSTRUCTION:", "2) **Instruction**:"],
)
def test_labels_as_chat_models_write_them_are_recognised(label: str) -> None:
    completion = f"Add one.\n\n1. Output:\nx\n###\n\n{label}\nAdd two.\n\n2. output:\ny\n"
    assert [block.fields.get("output") for block in IO.parse(completion)] == ["x", "y"]


def test_a_lower_case_word_without_a_number_is_text() -> None:
    code = "@dataclass\nclass Task:\n    instruction: str\n    output: str"
    assert IO.parse(f"Declare a class.\n\n1. Output:\n{code}\n###\n")[0].fields["output"] == code


@pytest.mark.parametrize("name", FORMATS)
def test_parsing_time_is_linear_in_the_length_of_a_completion(name: str) -> None:
    own = [
        "###\n1",
        "1. Ins\n###\n",
        "Output:\nInstruction:\n",
        "Input:\n",
        "\\\n",
        "  \n###\n",
        "1. Output:\n1. Input:\n",
    ]
    for unit in [*units([]), *own]:
        for begin in ("", "Do it\n1. Output:\n", "Do it\n###\n"):

            def work(size: int, unit: str = unit, begin: str = begin) -> None:
                FORMATS[name].parse(begin + repeated(unit, size) + "x")

            growth = grows_too_fast(work)
            assert growth is None, f"{growth:.0f} times as long for four times {unit!r} after {begin!r}"
