"""Completions that deviate from the shown format as real models do."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.formats import FORMATS, INSTRUCTION_INPUT_OUTPUT, RecordFormat
from self_instruct.formats import INSTRUCTION_OUTPUT as IO
from self_instruct.formats.edges import protect, trim, unprotect
from tests.formats.test_splitting_blocks import FRAGMENTS, PROPERTY, VARIANTS, read
from tests.support.hostile_texts import grows_too_fast, repeated, units

IIO = INSTRUCTION_INPUT_OUTPUT
ADD, NEXT = {"instruction": "Add one to x.", "output": "x + 1"}, {"instruction": "Next.", "output": "y"}
FOLLOWING = "9. Instruction:\nNext.\n\n9. Output:\ny\n###\n"
FORMS = (
    "Answer:", "**Solution**", "### Response:", "8. 2. Output:", "## Output", "**Output**", "8. Output", "Output", "```",
    "```python",     "---", "***", "-----", "###", "\\###", "##", "### ", "9. Instruction", "## Instruction", "**Instruction**",
    "<noinput>", "def f():", "x = 1",
)  # fmt: skip


@pytest.mark.parametrize(
    "label",
    ["Answer:", "8. Answer:", "**Solution:**", "**Answer**", "### Response:", "## Solution", "## Output", "**Output**",
     "8. Output", "8. 2. Output:", "2. 8. output:", "Output", "```\n8. Output:\n```", "```\n**8. Output:**",
     "###\n8. Output:", "###\n\n###\nAnswer:", "---\n8. Output:", "***\n\nOutput:", "###\n**Output**", "###\n```\n8. Output:"],
)  # fmt: skip
@pytest.mark.parametrize("format", [IO, IIO], ids=["io", "iio"])
def test_labels_in_the_forms_that_models_write_announce_an_answer(format: RecordFormat, label: str) -> None:
    (block,) = format.parse(f"Add one to x.\n\n{label}\nx + 1\n###\n", 8)
    assert block.fields == (ADD if format is IO else {**ADD, "input": ""})


@pytest.mark.parametrize(
    "label",
    [
        "9. 2. Instruction:",
        "9. Instruction",
        "## Instruction",
        "**Instruction**",
        "### Instruction:",
    ],
)
@pytest.mark.parametrize("between", ["\n", "\n###\n", "\n---\n", "\n\n***\n\n", "\n```\n###\n\n```\n", " ###\n"])
def test_labels_in_the_forms_that_models_write_begin_a_block(label: str, between: str) -> None:
    blocks = IO.parse(f"Add one to x.\n\n8. Output:\nx + 1{between}{label}\nNext.\n\n9. Output:\ny\n", 8)
    assert read(blocks) == [ADD, NEXT]


def test_a_label_in_an_unusual_form_begins_a_block_only_behind_a_separator() -> None:
    begin, end = "Add one to x.\n\n8. Output:\nx + 1\n", "**instruction**\nNext.\n\n9. Output:\ny\n"
    assert read(IO.parse(f"{begin}###\n{end}", 8)) == [ADD, NEXT]
    assert [block.fields["output"] for block in IO.parse(begin + end, 8)] == [f"x + 1\n{end.strip()}"]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("Sort a list.\n\ndef f(a):\n    return sorted(a)", ("Sort a list.", "def f(a):\n    return sorted(a)")),
        ("Sort a list:\n\n```python\nsorted(a)\n```", ("Sort a list:", "```python\nsorted(a)\n```")),
        ("Sort.\n\nIn place.\n\nimport x\n\nx.y()", ("Sort.\n\nIn place.", "import x\n\nx.y()")),
        ("Sort.\n\n# sort\na = sorted(a)", ("Sort.", "# sort\na = sorted(a)")),
        ("Name three colours.\n\nRed, green and blue.", ("Name three colours.", "Red, green and blue.")),
        ("Tell a story.\n\nOnce.\n\nTwice.", ("Tell a story.", "Once.\n\nTwice.")),
        ("Why is the sky blue?\n \n1. Light.\n2. Air.", ("Why is the sky blue?", "1. Light.\n2. Air.")),
        ("Translate the following sentence.\n\nThe dog barks.", None),
        ("Translate:\n\nThe dog barks.", None),
        ("Fix the bug in this function.\n\ndef f(): retrun", None),
        ("Refactor.\n\ndef f(): return", None),
        ("What does the code below print?\n\nprint(1)", None),
        ("Write a parser.\nimport re\n\ndef f(): ...", None),
        ("Write a parser.\n\nIt must be fast.", None),
        ("Write a parser.\n\nExample:\n1 + 2", None),
        ("Write a parser.\n\n8. Result:\n1 + 2", None),
        ("Write a parser.\n\nWhich one?", None),
        ("Write a parser.\nIt is fast.", None),
        ("Write a parser.\n---\n\ndef f(): ...", None),
    ],
)
def test_an_answer_without_its_label_is_taken_where_it_is_code_or_the_whole_rest(
    completion: str, expected: tuple[str, str] | None
) -> None:
    (block,) = IO.parse(f"{completion}\n###\n", 8)
    if expected is None:
        assert (block.fields, block.reason) == ({"instruction": completion}, "missing_output")
    else:
        assert block.fields == dict(zip(("instruction", "output"), expected, strict=True))
    assert read(IO.parse(f"{completion}", 8, truncated=True)) == ["cut_by_length"]


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ("Add.\n\n8. Input:\nNo input.\n\nSix.", ("", "Six.")),
        ("Add.\n\n8. Input:\n2 4\n\nprint(6)", ("2 4", "print(6)")),
        ("Add.\n\n8. Input:\nTwo.\n\nFour.", None),
        ("Add.\n\n**Input**\n2 4\n\n8. Output:\nSix.", ("2 4", "Six.")),
        ("Add.\n\n## Input\n---\n\n8. Output:\nSix.", ("", "Six.")),
    ],
)
def test_an_input_is_read_in_any_form_and_may_lack(completion: str, expected: tuple[str, str] | None) -> None:
    (block,) = IIO.parse(completion, 8)
    assert (block.fields.get("input"), block.fields.get("output")) == (expected or ("Two.\n\nFour.", None))


@pytest.mark.parametrize(
    "end", ["###", "\\###", "##", "#", "---", "***", "-----", "---\n\n***", "```", "```\n###", "\n```\n\n```", " ###"]
)
def test_no_field_ends_in_a_separator(end: str) -> None:
    text = f"Add one to x.\n{end}\n8. Output:\nx + 1\n{end}\n"
    assert read(IO.parse(text + FOLLOWING, 8)) == [ADD, NEXT]
    assert read(IO.parse(text, 8)) == [ADD]
    assert read(IO.parse(f"Add one to x.\n{end}\n" + FOLLOWING, 8)) == ["missing_output", NEXT]
    assert IO.parse(f"Add one to x.\n{end}\n", 8)[0].fields == {"instruction": "Add one to x."}


@pytest.mark.parametrize("rule", ["###", "---", "***"])
@pytest.mark.parametrize(
    "remark", ["Now, write a list of tasks", "Here is more:\n###\n\nList of tasks:", "Note: it adds."]
)
@pytest.mark.parametrize("truncated", [False, True])
def test_text_behind_a_separator_is_a_block_of_its_own(rule: str, remark: str, truncated: bool) -> None:
    completion = f"Add one to x.\n\n8. Output:\nx + 1\n{rule}\n\n{remark}\n"
    if rule != "###" and "###" in remark:
        return  # the last separator closes the block, so the first belongs to its text
    blocks = IO.parse(completion, 8, truncated)
    assert read(blocks) == [ADD, "cut_by_length" if truncated else "unlabelled"]
    assert blocks[1].text == remark
    assert read(IO.parse(completion + FOLLOWING, 8)) == [ADD, "unlabelled", NEXT]


ALL = [*FRAGMENTS, *FORMS]
PIECE_AND_END = st.sampled_from([(piece, end) for piece in [*ALL, *[None] * len(ALL)] for end in ("\n", "\n\n", " ")])


@pytest.mark.parametrize("name", ["io", "iio", "other script"])
@settings(PROPERTY, max_examples=80)
@given(pieces=st.lists(PIECE_AND_END, max_size=16), truncated=st.booleans())
def test_each_word_is_in_a_field_or_in_a_block_with_a_reason(
    name: str, pieces: list[tuple[str | None, str]], truncated: bool
) -> None:
    words = [f"Word{at}end" for at, (piece, _) in enumerate(pieces) if piece is None]
    shown = iter(words)
    text = "".join(f"{piece or next(shown)}{end}" for piece, end in pieces)
    blocks = VARIANTS[name].parse(text, 8, truncated)
    parts = [part for block in blocks for part in ([block.text] if block.reason else block.fields.values())]
    assert sorted(re.findall(r"Word\d+end", "\n".join(parts))) == sorted(words)


@settings(PROPERTY, max_examples=150)
@given(text=st.lists(st.sampled_from(ALL), max_size=8).map("".join))
def test_a_field_never_ends_in_a_separator_and_a_protected_edge_is_kept(text: str) -> None:
    trimmed = trim(text)
    assert trim(trimmed) == trimmed
    assert not re.search(r"(?:^|\s)###$", trimmed)
    assert trim(protect(text)) == protect(text)
    assert unprotect(protect(text)) == text


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
        "```\n",
        "```\n###\n",
        "x ###",
        "---\n",
        "---\n\n",
        "***\nA\n",
        "1. 2. ",
        "**",
        "## Output\n",
        "Answer: x\n\n",
        "for a in ",
        "\n\nfor a in b:",
        "\n\n# a\n",
        "\n\nif a: ",
    ]
    for unit in [*units([]), *own]:
        for begin in ("", "Do it\n1. Output:\n", "Do it\n###\n"):

            def work(size: int, unit: str = unit, begin: str = begin) -> None:
                FORMATS[name].parse(begin + repeated(unit, size) + "x")

            growth = grows_too_fast(work)
            assert growth is None, f"{growth:.0f} times as long for four times {unit!r} after {begin!r}"
