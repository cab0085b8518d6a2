"""The pattern of blocks: every text that matches is parsed into whole blocks, and ordinary blocks match."""

import random
import re
from pathlib import Path

import pytest

from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT, RecordFormat
from self_instruct.records import Record
from self_instruct.seeds import load_seeds
from tests.formats.test_splitting_blocks import FRAGMENTS, VARIANTS

SHOWN = Record("r", "Do it.", "in", "out")
FORMATS = [
    *VARIANTS.values(), INSTRUCTION_INPUT_OUTPUT.in_order("output", "instruction", "input"),
    RecordFormat("tasks", (("instruction", "Step"), ("input", "Kind of step"))), RecordFormat("task", (("instruction", "In"),)),
]  # fmt: skip
PIECES = (
    "Answer", "Solution:", "\u0130nstruction:", ":", "**", "#", "## ", "- ", "3. 4. ", "7 ", "1)", "42", "x = 1", "def f(x):",
    "é", "写", "`", "\u3000", "---", "\n---\n", "***", "```", "_", "\n# ", "\n1. ", "\n**", "\n## ",
)  # fmt: skip


def field(rng: random.Random, words: list[str]) -> str:
    pieces = [*words, *words, *(word.upper() for word in words), *(word[:-1] for word in words), *PIECES, *FRAGMENTS]
    begin = rng.choice(["Do it", "# x", "1. b", "é", "- a", "```\ncode", "```python\nx\n```", ""])
    return begin + "".join(rng.choices(pieces, k=rng.randint(0, 5)))


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.triggers[0][1])
def test_every_text_that_matches_is_parsed_into_whole_blocks(format):
    rng, words = random.Random(3), [word for _, word in format.triggers]
    blocks, last, matching = re.compile(format.pattern()), re.compile(format.pattern(last_only=True)), 0
    for _ in range(150):
        text = f"{field(rng, words)}\n###\n"
        if last.fullmatch(text):
            (found,) = format.parse(text, 4, record=SHOWN)
            assert found.reason is None and (found.fields[format.fields[-1]] or format.fields[-1] == "input"), text
        number = rng.randint(1, 2)
        parts = [[f"{at}. {word}:\n{field(rng, words)}" for word in words] for at in range(4, 4 + number)]
        text = "".join("\n\n".join(part) + "\n###\n" for part in parts).removeprefix(f"4. {words[0]}:\n")
        if blocks.fullmatch(text):
            matching += 1
            found = format.parse(text, 4)
            assert [block.reason for block in found] == [None] * number, text
            assert all(set(block.fields) == set(format.fields) for block in found), text
            assert all(value for block in found for name, value in block.fields.items() if name != "input"), text
    assert matching > 20


@pytest.mark.parametrize("format", [INSTRUCTION_OUTPUT, INSTRUCTION_INPUT_OUTPUT], ids=lambda format: format.name)
def test_the_blocks_of_the_seed_tasks_match(format):
    pattern, last = re.compile(format.pattern()), re.compile(format.pattern(last_only=True))
    for seed in [*load_seeds(Path("seeds/code.jsonl")), *load_seeds(Path("seeds/general.jsonl"))]:
        assert pattern.fullmatch(format.render(seed, 7).removeprefix(format.open_block(7))), seed
        assert last.fullmatch(format.render(seed, 7).removeprefix(format.open_block(7, seed))), seed


@pytest.mark.parametrize(
    "text",
    [
        "Add.\n###\n", "Add.\n\n4. Output:\n\n###\n", "Add.\n\n4. Output:\n###\n", "Add.\n\n4. Output:\n2",
        "\n\n4. Output:\n2\n###\n", "Add.\n\n4. Output:\n---\n###\n", "Add.\n\n4. Output:\n2\n###\nMore.",
        "Add.\n5. Instruction:\nB\n\n5. Output:\n2\n###\n", "Add.\n\n4. Output:\n```\n```\n###\n",
        "Add.\n\n4. Output:\n2\n**Instruction:** B\n###\n", "Add.\n\n4. Output:\n2\n4. output: 3\n###\n",
    ],
)  # fmt: skip
def test_a_missing_empty_repeated_or_unclosed_field_does_not_match(text):
    assert not re.fullmatch(INSTRUCTION_OUTPUT.pattern(), text)


def test_a_field_may_have_numbered_lists_comments_and_words_like_labels():
    output = "1. Install it\n2. Open 3.14\n# Output: none\nOutput: 4\n\n  1) Outputs: two\n10 20 30\n`x`"
    for text, fits in ((output, True), (f"{output}\n1) output: 2", False), (f"`x` and\n{output}\n\n    # c", True)):
        assert bool(re.fullmatch(INSTRUCTION_OUTPUT.pattern(), f"Add.\n\n4. Output:\n{text}\n###\n")) is fits, text
