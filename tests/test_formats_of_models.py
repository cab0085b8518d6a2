"""Completions that deviate from the shown format as real models do."""

import pytest

from self_instruct.formats import INSTRUCTION_OUTPUT as IO


@pytest.mark.parametrize(
    "tail", ["2. Instru", "2.", "2", "Instruction", "2. Instruction", "###", "###\n\n###\n", "  \n"]
)
@pytest.mark.parametrize("truncated", [False, True])
def test_a_closed_block_is_whole_whatever_was_begun_after_it(tail: str, truncated: bool) -> None:
    completion = f"Add one.\n\n1. Output:\nx\n###\n{tail}"
    assert [block.fields for block in IO.parse(completion, 1, truncated)] == [
        {"instruction": "Add one.", "output": "x"}
    ]


def test_doubled_separators_divide_once() -> None:
    completion = "Add one.\n\n1. Output:\nx\n###\n###\n\n###\n2. Instruction:\nAdd two.\n\n2. Output:\ny\n###\n"
    assert [block.fields["output"] for block in IO.parse(completion)] == ["x", "y"]


@pytest.mark.parametrize(
    "label",
    ["**2. Instruction:**", "### 2. Instruction:", "2. instruction:", "**2.** INSTRUCTION:", "2) **Instruction**:"],
)
def test_labels_in_the_ways_of_chat_models_are_labels(label: str) -> None:
    completion = f"Add one.\n\n1. Output:\nx\n###\n\n{label}\nAdd two.\n\n2. output:\ny\n"
    assert [block.fields.get("output") for block in IO.parse(completion)] == ["x", "y"]


def test_a_lower_case_word_without_a_number_is_text() -> None:
    code = "@dataclass\nclass Task:\n    instruction: str\n    output: str"
    assert IO.parse(f"Declare a class.\n\n1. Output:\n{code}\n###\n")[0].fields["output"] == code
