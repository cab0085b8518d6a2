"""The filters of --check_outputs: instructions that ask for nothing, and outputs that are no answers."""

import pytest

from self_instruct.generation.config import assemble
from self_instruct.records import Record
from self_instruct.rules.build import build_rules, reasons_of_rules
from self_instruct.rules.filters import OUTPUT_RULES, first_reason
from self_instruct.rules.filters.duplicates import drop_copied_output
from self_instruct.rules.filters.python_code import drop_invalid_python
from self_instruct.rules.filters.requests import drop_statement, drop_unanswered

REVERSE = "Write a Python function that reverses a string."
BATCHES = "Put weights into batches. Call the function pack_batches(weights, limit)."
STORY = "Write a short story about a dragon who learns to cook."
BROKEN = "def total(values)\n    return sum(values)"
TOTAL = BROKEN.replace("(values)\n", "(values):\n")


def record(instruction: str, output: str = "x", input: str = "", id: str = "x") -> Record:
    return Record(id, instruction, input, output)


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        (REVERSE, BROKEN), ("Add up the values in Python.", f"```\n{BROKEN}\n```"),
        ("Add up the values.", f"So:\n```python\n{BROKEN}\n```"),
        ("Fix the syntax error in this Python code.", BROKEN), ("Add up the values.", TOTAL + "\n  return 1"),
        (REVERSE, "def total(values):"), (REVERSE, "import os\nprint('a"),
        ("Write a Python script that prints JSON for invalid rows.", "import json\n\nprint(json.dumps({)"),
    ],
)  # fmt: skip
def test_python_that_does_not_parse_is_rejected(instruction: str, output: str) -> None:
    assert str(drop_invalid_python(record(instruction, output))).startswith("invalid_python: line ")


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        (REVERSE, TOTAL), (REVERSE, "lambda s: s[::-1]"), (REVERSE, "Use slicing: s[::-1] gives it."),
        (REVERSE, "    return s[::-1]"),
        ("Translate this Python function to Ruby.", "def total(values)\n  values.sum\nend"),
        ("Show a syntax error in Python.", BROKEN),
        ("Write total in Ruby.", "def total(values)\n  values.sum\nend"), ("Show a Python session.", ">>> 1 +\n>>> 2"),
        ("Write the header of a Python loop over ten numbers.", "for i in range(10):"),
        ("Say hello in Java.", "import java.util.*;"),
        (REVERSE, f"The function below adds the values up.\n\n{BROKEN}"), ("What does this Python code print?", "5 6"),
        ("Explain this Python line.", "print(x) writes the value of x."), ("What does this Python do?", "for loops run twice"),
        ("Which values has a in Python?", "a = 3, b = 4"), ("Explain Python's if.", "if x is true then y is returned."),
        ("Write a loop in Bash.", "for f in *; do echo $f; done"), ("Explain Python.", "```js\nlet x = (;\n```"),
    ],
)  # fmt: skip
def test_valid_python_other_languages_and_prose_pass(instruction: str, output: str) -> None:
    assert drop_invalid_python(record(instruction, output)) is None


@pytest.mark.parametrize(
    ("instruction", "output", "reason"),
    [
        (REVERSE, "reverse_string", "bare_name"), (REVERSE, "`reverse_string(text)`", "bare_name"),
        (REVERSE, "Function name: reverse_string", "bare_name"), (BATCHES, "pack_batches", "bare_name"),
        (BATCHES, "```python\npack_batches(weights, limit)\n```", "bare_name"), (STORY, "Dragon", "bare_name"),
        (REVERSE, "A Python function that reverses a string.", "restates_task"), (STORY, f"{STORY[8:]}", "restates_task"),
        (REVERSE, "Here is a function that will reverse the string:", "restates_task"),
    ],
)  # fmt: skip
def test_a_name_or_the_task_in_other_words_is_not_an_answer(instruction: str, output: str, reason: str) -> None:
    assert str(drop_unanswered(record(instruction, output))).partition(":")[0] == reason


@pytest.mark.parametrize(
    ("instruction", "output"),
    [
        (REVERSE, TOTAL), ("What is the capital of France?", "Paris"), ("Which is faster, sort() or sorted()?", "sorted()"),
        ("Write a one-word title for a story about cats.", "Whiskers"), ("Write code to add up the list xs.", "sum(xs)"),
        ("Write a SQL query that selects all names from the users.", "SELECT name FROM users"),
        ("Name the user's intent.", "lost_card"),
        ("Is the Pacific Ocean larger than the Atlantic Ocean?", "The Pacific Ocean is larger than the Atlantic Ocean."),
        ("Write a query that selects all users.", "To select all users, write a query:\n```sql\nSELECT users;\n```"),
        (REVERSE, ""),
    ],
)  # fmt: skip
def test_short_answers_and_answers_with_words_of_the_task_pass(instruction: str, output: str) -> None:
    assert drop_unanswered(record(instruction, output)) is None


@pytest.mark.parametrize(
    "instruction",
    ["The function returns the sum of two numbers.", "Python is a programming language.", "Sure! Here are some tasks for you.",
     "You are given a list. It is sorted.", "There are three apples on the table."],
)  # fmt: skip
def test_an_instruction_of_statements_asks_for_nothing(instruction: str) -> None:
    assert drop_statement(record(instruction)) == "asks_nothing"


@pytest.mark.parametrize(
    "instruction",
    ["The list is sorted, find the largest value.", "The sentence is in Spanish. State which tense it has.",
     "A poem that is sad.", "The capital of France is", "The essay should be about rivers.",
     "My card was stolen.", "The sky is ____ at noon.",
     "Is water wet?", "You are a pilot. Greet the passengers.", "La función es rápida.", "Name is a noun here; explain it."],
)  # fmt: skip
def test_an_instruction_that_may_ask_for_something_passes(instruction: str) -> None:
    assert drop_statement(record(instruction)) is None
    assert drop_statement(record("The text is about rivers.", input="Which one is the longest?")) is None


def test_an_output_of_a_seed_or_of_an_earlier_record_is_a_copy() -> None:
    rule = drop_copied_output([record("Add the values up.", TOTAL, id="seed_1")])
    assert rule(record("Reverse a list.", f"```python\n{TOTAL.upper()}\n```", id="a")) == "copies_output: seed_1"
    assert rule(record("Add the values  UP.", TOTAL, id="b")) is None, "the same task is left to novelty"
    text = "Rivers bring salt into the sea, and the water that evaporates leaves it there for a very long time."
    answers = [rule(record(f"Why is the sea salty, {at}?", text, id=f"c{at}")) for at in range(2)]
    assert answers == [None, "copies_output: c0"]
    assert rule(record("Why is the sea salty, 1?", text, id="c1")) == "copies_output: c0", "decided twice in two steps"


@pytest.mark.parametrize(
    "output", ["Yes", "4", "lost_card", "def f(x):\n    return x", "The text does not say what it was.", ""]
)
def test_short_outputs_and_outputs_made_of_their_own_task_are_no_copies(output: str) -> None:
    rule, code = drop_copied_output(), "int main() { int value = read(); print(value); return 0; } " * 2
    assert [rule(record(f"Task {at}", output, id=str(at))) for at in range(2)] == [None, None]
    assert [rule(record(f"Correct fault {at}", code, code + "}", str(at))) for at in range(2)] == [None, None]


def test_the_option_adds_the_rules_after_the_listed_ones_and_only_for_seed_runs() -> None:
    on, off = assemble({"filter_rules": ["empty"]}).filter, assemble({"check_outputs": False}).filter
    assert list(reasons_of_rules(on)) == ["empty", *OUTPUT_RULES]
    assert not set(OUTPUT_RULES) & set(reasons_of_rules(off))
    seeds = [record("Add the values up.", TOTAL, id="seed_1")]
    copied = record("Reverse a list of values.", TOTAL, id="a")
    assert first_reason(build_rules(on, "", seeds=seeds), copied) == "copies_output: seed_1"
    assert first_reason(build_rules(off, "", seeds=seeds), copied) is None
