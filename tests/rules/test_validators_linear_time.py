"""Every filter and validator takes linear time in the length of the texts, even for hostile texts."""

import itertools
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from self_instruct.records import Record
from self_instruct.rules.filters import RULES, SWITCHES, build_filters, first_reason
from self_instruct.rules.validators import VALIDATORS, build_validators, validate
from tests.support.hostile_texts import grows_too_fast, repeated, units

HEADER = "Come up with tasks of this kind now.\nList of tasks:"
OPTIONS = {
    "min_instruction_length": 5, "max_instruction_length": 500, "skip_instruction_re": [r"\bfoo\s+bar"],
    "code_gen_re": ["default"],
    "response_filters_path": "configs/response_filters.yaml", "input_rouge_threshold": 0.7, "language": "en",
    "min_readability": 30,
}  # fmt: skip
VARIABLES = {
    "letter": "A",
    "fact": "paris",
    "counterfact": "rome",
    "language": "python",
    "plain_format": "y",
    "source": "y",
}
TEMPLATES = [("@", "", "It is so."), ("Do it now please.", "@", "x @ y")]
"""Texts of a record (instruction, input, output) in which the hostile text replaces @."""
CONTEXT = "BEGININPUT\nBEGINCONTEXT\nurl: a\nENDCONTEXT\n{}\nENDINPUT"
FURTHER_TEMPLATES = {
    "multiple_choice": [("Q?\nA) x\nB) y @", "", "A"), ("Q?\nA) x\nB) y", "", "x\n@y"), ("Q? @\nA) x\nB) y", "", "A @")],
    "fill_in_the_blank": [("a ____ b x y", "", "@"), ("@ ____ x y", "", "@ z"), ("a b ____", "", "a b @\nx")],
    "counterfactual": [("Read this now please dear friend. @ ok", "", "In Rome"), ("a", "one two six river lake sea", "@")],
    "theory_of_mind": [("Read this.\n@x", "", "In Rome"), ("Ann went home. Bob slept. @ Where is Ann?", "", "@")],
    "closed_context": [("What is it?", CONTEXT.format("@ hello hello"), "@"), ("What?", CONTEXT.format("@@@"), "Sources:\n@")],
    "needless_context": [("Tell it", "@ z z z z", "@")],
    "python": [("Add it up in Python", "", "x = @"), ("Add it up", "", "```python\n@\n```"), ("Python", "", "def f(@)\n x")],
    "unanswered": [("Write a function @ that adds", "", "@"), ("Write it, @ ok", "", "x"), ("Write a function", "", "f(@)")],
    "requests": [("The cat is @.", "", "x"), ("It @ is.", "", "x")],
    "copied_input": [("Tell it now", "@", "@ x")],
    "cot": [("Do it", "", "word " * 20 + "\nso @"), ("Do it", "", "word " * 20 + "\nAnswer: @\nAnswer: @")],
    "riddle": [("What am I?", "", "x\n@y"), ("What am I?", "", "the answer is @ x")],
    "plain_code": [("PLAINFORMAT", "", "@"), ("PLAINFORMAT", "", "```python\n@\n```")],
    "constraints": [("starts with 'a', contains the letter 'b', exactly five words", "", "@"), ("@ 'a' @", "", "@")],
    "writing": [("Write a poem of five words @", "", "word " * 60)],
    "arithmetic": [("What is @?", "", "@"), ("What is 1+1?", "", "1 = @"), ("Do it", "", "x @ = 3 + 4 = 7")],
}  # fmt: skip
"""Further texts for a rule that reads some parts of a record only if the rest of it is valid."""


def filter_of(name: str) -> Callable[[Record], object]:
    given = {option: OPTIONS[option] for option in SWITCHES.get(name, ())}
    filters = build_filters(HEADER, keywords=["default"], rules=[name], switches=given)
    return lambda record: first_reason(filters, record)


def validator_of(name: str) -> Callable[[Record], object]:
    validators = build_validators([(name, {})])
    return lambda record: validate(validators, record, VARIABLES)


def modules_of(name: str) -> list[ModuleType]:
    """Return the modules whose patterns a rule uses: those of a validator, or of `refusals`; none for another filter."""
    from self_instruct.rules.validators import _MAKERS

    if name not in _MAKERS:
        return [sys.modules["self_instruct.rules.filters.refusals"]] if name == "refusals" else []
    own = sys.modules[_MAKERS[name].__module__]
    imported = {getattr(item, "__module__", "") for item in vars(own).values()}
    return [own, *(sys.modules[at] for at in sorted(imported) if at.startswith("self_instruct.rules.validators."))]


@pytest.mark.parametrize(
    ("seconds", "growth"),
    [
        (lambda size, call: size**2 / 1e8, 16),
        (lambda size, call: size / 1e5, None),
        (lambda size, call: 1.0 if call == 0 else size / 1e5, None),
        (lambda size, call: size**2 / 1e10, None),
    ],
    ids=["quadratic", "linear", "linear with a pause", "too short to compare"],
)
def test_growth_is_found_by_the_times_of_two_sizes(seconds: Callable[[int, int], float], growth: float | None) -> None:
    """The clock is a counter that the work moves on, so that the speed of the machine does not matter."""
    now, calls = [0.0], itertools.count()

    def work(size: int) -> None:
        now[0] += seconds(size, next(calls))

    found = grows_too_fast(work, clock=lambda: now[0])
    assert found == (growth if growth is None else pytest.approx(growth))


@pytest.mark.parametrize("name", [*RULES, *VALIDATORS])
def test_the_time_of_a_rule_is_linear_in_the_length_of_a_text(name: str) -> None:
    rule = filter_of(name) if name in RULES else validator_of(name)
    rule(Record("x", "a b", "a b", "a b"))  # load and compile everything before measuring
    for unit in units(modules_of(name)):
        for template in TEMPLATES + FURTHER_TEMPLATES.get(name, []):

            def work(size: int, unit: str = unit, template: tuple[str, str, str] = template) -> None:
                rule(Record("x", *(text.replace("@", repeated(unit, size)) for text in template)))

            growth = grows_too_fast(work)
            assert growth is None, f"{name} takes {growth:.0f} times as long for four times {unit!r} in {template}"


ODD = [
    "fıve-word", "ſix-word", "a fıve-letter word", "exactly ſeven words", "٣ + ٤ = 8", "²+1 = 3", "٣٤ words", "ı) a j) b",
    "İ", "ß", "5 to " + "9" * 5000 + " words", "Answer: " + "9" * 5000, "9**9**9", "9**64*9**64 = 1e999",
    "1 + 1 = 3." + "0" * 4000, "9" * 400 + " + 1 = 3", "\x00", "\ud800", "# coding: rot13\nx", "x = '\udfff'",
]  # fmt: skip
"""Numbers and letters of other scripts, numbers without bounds, and what is no text."""


@pytest.mark.parametrize("name", [*RULES, *VALIDATORS])
def test_no_rule_fails_on_odd_numbers_letters_and_characters(name: str) -> None:
    rule = filter_of(name) if name in RULES else validator_of(name)
    for text in ODD:
        for template in [*TEMPLATES, ("Write a story of @.", "@", "@"), *FURTHER_TEMPLATES.get(name, [])]:
            found = rule(Record("x", *(part.replace("@", text) for part in template)))
            assert not str(found).startswith("rule_failed"), (name, text[:40], template, found)
