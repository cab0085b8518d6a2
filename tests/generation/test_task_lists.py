"""Reading the lists of tasks that chat models write."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.prompts import PromptBudget
from self_instruct.generation.task_lists import TaskListComposer, listed_tasks
from self_instruct.records import Record
from self_instruct.runs.journal import Entry
from tests.support.hostile_texts import grows_too_fast, repeated

A, B, C = "Name a river.", "Sort the words.", "Explain rain."


def read(text, reason="stop", with_input=False, single=False, without_code=False):
    entry = Entry(7, [], [], 2, "", text, reason, 1, 1, 0, None)
    verdicts = listed_tasks(with_input, entry, single, without_code)
    assert all(item.task for item in verdicts)
    assert [item.record.id for item in verdicts] == [f"000007-{at:02d}" for at in range(1, len(verdicts) + 1)]
    return [(item.record.instruction, item.record.input) if with_input else item.record.instruction or item.drop.reason
            for item in verdicts]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        f"1. {A}\n2. {B}\n3. {C}",
        f"Sure! Here are 3 new tasks:\n\n1. {A}\n\n2. {B}\n\n3. {C}\n\nLet me know if you need more!",
        f"1) {A}\n2) {B}\n3) {C}",
        f"**1.** {A}\n**2.** {B}\n**3.** {C}",
        f"**Task 1:** {A}\n**Task 2:** {B}\n**Task 3:** {C}",
        f"### Task 1\n{A}\n### Task 2\n{B}\n### Task 3\n{C}",
        f"**Task 1**\n{A}\n\n**Task 2**\n{B}\n\n**Task 3**\n{C}",
        f"1. **Task:** {A}\n2. **Task:** {B}\n3. **Task:** {C}",
        f"1. Instruction: {A}\n2. Instruction: {B}\n3. Instruction: {C}",
        f'1. "{A}"\n2. "{B}"\n3. "{C}"',
        f"7. {A}\n8. {B}\n9. {C}",
        f"- {A}\n- {B}\n- {C}",
        f"* {A}\n* {B}\n* {C}",
        f"1. {A}\n   Answer: the Rhine\n2. {B}\n**Solution:** a b\n3. {C}\nOutput: it falls",
        f"1. 1. {A}\n2. 2. {B}\n3. 3. {C}",
        f"1. 1.\n{A}\n2. 2.\n{B}\n3. 3.\n{C}",
        f"1. {A}\n---\n2. {B}\n---\n3. {C}\n---",
        f"1. {A}\n###\n2. {B}\n###\n3. {C}\n###",
    ],
)  # fmt: skip
def test_every_form_of_a_list_gives_the_same_tasks(text):
    assert read(text) == [A, B, C]


def test_list_within_a_task_belongs_to_it():
    steps = "Put these in order:\n   1. boil\n   2. pour\n   3. wait"
    assert read(f"1. {steps}\n2. {B}") == [steps, B]
    assert read("1. 1. boil\n   2. pour\n2. 2.5 litres of tea: how many cups?") == [
        "1. boil\n   2. pour",
        "2.5 litres of tea: how many cups?",
    ]
    assert read(f"1. {A}\n2. Rank:\n5. five\n9. nine\n3. {C}") == [A, "Rank:\n5. five\n9. nine", C]


def test_code_stays_as_it_is():
    code = "Fix this:\n```python\ndef f(x):\n    return  x\n```"
    assert read(f"1. {code}\n2. {B}") == [code, B]


def test_input_is_read_from_its_own_line():
    text = f"1. {B}\n   Input: pear fig\n2. {A}\n   Input: <noinput>\n3. {C}\nInput: None\n4. Add.\n**Input:** 1\n2\n\n5. Go."
    assert read(text, with_input=True) == [(B, "pear fig"), (A, ""), (C, ""), ("Add.", "1\n2"), ("Go.", "")]
    assert read(f"1. {B}\nInput: pear\n2. {A}") == [f"{B}\nInput: pear", A]


@pytest.mark.parametrize(
    ("text", "reason", "expected"),
    [
        ("", "stop", ["empty_block"]),
        ("I cannot do that.\n\nSorry.", "stop", ["no_list"]),
        (A, "stop", [A]),
        (f"1. {A}\n2. Sor", "length", [A, "cut_by_length"]),
        (f"1. {A}\n2.\n3. {C}", "stop", [A, "empty_block", C]),
        (f"1. {A}\n2. {B}\n3. {C}\n\nThese tasks are", "length", [A, B, C]),
        (f"1. {A}\n2. {B}\n3. {C}\n\nThese are\n\nThese are", "repetition", [A, B, C]),
        (f"1. {A}\n2. 2.\n3. 4.\n5. 6.\n7. 8.", "stop", [A, "empty_block", "empty_block"]),
        (f"1. {A}\n2. {B}\nAnswer: a", "length", [A, B]),
        (f"1. {A}\n2. 2. {B}\n---\nMore:", "length", [A, B]),
        (f"1. {A}\n2. {B}\n\nb", "length", [A, "cut_by_length"]),
        (f"1. {A}\n2. {B}\n3. Sum this up:\n\nIt ra", "length", [A, B, "cut_by_length"]),
        (f"1. {A}\n2. {B}\n3. Sum this up:\n\nIt rains.", "stop", [A, B, "Sum this up:\n\nIt rains."]),
    ],
)
def test_unreadable_replies_have_a_drop_reason(text, reason, expected):
    assert read(text, reason) == expected


@given(st.text(alphabet=" \n\t1234.)#*-_:`\"'aATtaskInputAnswer", max_size=400))
def test_any_text_gives_a_verdict(text):
    assert read(text) and read(text, "length", with_input=True)


def test_reading_takes_linear_time():
    for begin, unit in (("1. ", "*"), ("", "# "), ("", "1.\n"), ("", "**Task "), ("", "a\n\n")):

        def work(size, begin=begin, unit=unit):
            read(begin + repeated(unit, 100 * size))

        assert grows_too_fast(work) is None, unit


def composer(format, header):
    seeds = [Record("s1", A, "", "Rhine"), Record("s2", B, "b a", "a b")]
    return TaskListComposer(
        header, format, DemonstrationMix(2, 0, 3), 1, seeds, lambda *_: 1, PromptBudget(0), number=4
    )


def test_prompt_shows_tasks_without_answers():
    prompt = composer(INSTRUCTION_OUTPUT, "Tasks:\n{examples}\nWrite {count}.").compose(0, [])
    shown = {f"1. {A}\n2. {B}\nb a", f"1. {B}\nb a\n2. {A}"}
    assert prompt.text in {f"Tasks:\n{text}\nWrite 4." for text in shown} and prompt.opening == ""
    assert composer(INSTRUCTION_OUTPUT, "x").stop() == ("\n5.",)


def test_custom_header_needs_no_variables():
    text = composer(INSTRUCTION_INPUT_OUTPUT, "Write tasks about {birds}.").compose(0, []).text
    assert text.startswith("Write tasks about {birds}.\n\n1. ") and f"{A}\n   Input: <noinput>" in text
    assert "Write 4 new tasks" in text and "Rhine" not in text


@pytest.mark.parametrize(
    "text",
    ["{}", "1. {}", "Sure, here is one:\n\n{}", "Here is a new exercise about rivers:\n{}", "Task 1\n{}"],
)
def test_single_task_keeps_its_lists_and_paragraphs(text):
    task = "Plan a trip from this list:\n\n1. Bonn\n2. Ulm\n\n- by train\n- in May"
    assert read(text.format(task), single=True) == [task]
    assert read(" ", single=True) == ["empty_block"]


def test_the_request_of_a_category_follows_the_demonstrations():
    prompt = replace(composer(INSTRUCTION_INPUT_OUTPUT, "Collect tasks."), lead="Write 4 more.").compose(0, [])
    assert prompt.text.startswith("Collect tasks.\n\n1. ") and "\n\nWrite 4 more.\nWrite only the tasks" in prompt.text
    assert 'begin a line with "Input:"' in prompt.text
    assert composer(INSTRUCTION_OUTPUT, "x").stop(prompt) == ("\n5.", "\n7.")


def test_code_below_a_task_is_its_answer_unless_the_task_refers_to_it():
    code = "```python\nprint(1)\n```"
    fix = f"Find the bug in this code:\n\n{code}"
    assert read(f"1. {A}\n\n{code}\n\n2. {fix}", without_code=True) == [A, fix]
    assert read(f"1. {A}\n\n{code[:-5]}", "length", without_code=True) == [A]
    assert read(f"1. {A}\n2. {fix}", "length", without_code=True) == [A, "cut_by_length"]
