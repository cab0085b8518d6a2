"""All validators: their names and parameters, mistakes in them, and several validators in sequence."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import self_instruct.rules.validators as package
from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.rules.validators import VALIDATORS, build_validators, closed_context_blocks, validate


def test_every_name_can_be_built_and_every_reason_in_the_source_is_declared() -> None:
    assert len(build_validators([(name, {}) for name in VALIDATORS])) == len(VALIDATORS)
    files = set(Path(package.__file__).parent.glob("*.py")) - {Path(closed_context_blocks.__file__)}
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    given = set(re.findall(r'(?:return|else|or) f?"([a-z]+(?:_[a-z]+)+)\b', source))
    assert given - {reason for reasons in VALIDATORS.values() for reason in reasons} == set()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (("multiple_choise", {}), "did you mean multiple_choice"),
        (("zzz", {}), "the validators are multiple_choice"),
        (("closed_context", {"min_suport": 0.5}), "did you mean min_support"),
        (("riddle", {"words": 3}), "it has no parameters"),
        (("closed_context", {"min_support": "0.5"}), "must be a number"),
        (("closed_context", {"min_support": 1.5}), "between 0 and 1"),
        (("closed_context", {"min_support": True}), "must be a number"),
        (("closed_context", {"min_support": float("nan")}), "between 0 and 1"),
        (("multiple_choice", {"options": 4.0}), "must be a whole number or null"),
        (("multiple_choice", {"balance": 0}), "at least 1"),
        (("plain_code", {"always": "yes"}), "must be true or false"),
        (("writing", {"tolerance": 1.0}), "below 1"),
        (("counterfactual", {"min_support": -1}), "between 0 and 1"),
        (("cot", {1: 2}), "unknown parameter"),
    ],
)
def test_a_mistake_is_reported_with_the_possible_choices(spec: tuple[str, dict], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        build_validators([spec])


def test_a_whole_number_is_a_number_and_null_is_allowed_for_optional_parameters() -> None:
    assert len(build_validators([("closed_context", {"min_support": 1}), ("multiple_choice", {"balance": None})])) == 2


def test_validators_see_earlier_corrections_and_the_first_reason_counts() -> None:
    record = Record("x", "Print 5 * 5.", "", "```\nprint(5 * 5)  # 5 * 5 = 26\n```")
    code, sums = ("plain_code", {"always": True}), ("arithmetic", {})
    assert validate(build_validators([code]), record, {}) == Record(
        "x", "Print 5 * 5.", "", "print(5 * 5)  # 5 * 5 = 26"
    )
    assert str(validate(build_validators([code, sums]), record, {})).startswith("wrong_sum")
    # An equation within a fence is not checked; `plain_code` removes the fence.
    assert validate(build_validators([sums]), record, {}) == record
    assert validate([], record, {}) == record


_TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(["A) x\n", "B) y ", "C. ", "____", "```", "1 + 1 = 3", "starts with 'a'", "?",
    "BEGININPUT\n", " is ",
                              "ENDCONTEXT\n", "haiku", "Answer: ", "(", "9" * 50, "%", "\n", "\ud800", "anagram of 'x'"]),
             max_size=12).map("".join),
)  # fmt: skip


@given(
    st.lists(st.tuples(_TEXT, _TEXT, _TEXT), max_size=4),
    st.dictionaries(st.sampled_from(["letter", "language", "source", "fact"]), _TEXT),
)
@settings(deadline=None, derandomize=True, max_examples=25)
def test_validators_can_check_any_text_and_repeat_their_decisions(
    rows: list[tuple[str, str, str]], variables: dict[str, str]
) -> None:
    records = [Record(str(at), *row) for at, row in enumerate(rows)]
    for name, reasons in VALIDATORS.items():
        once, again = build_validators([(name, {})] * 2)
        found = [once(record, variables) for record in records]
        assert found == [again(record, variables) for record in records]
        for record, outcome in zip(records, found, strict=True):
            if isinstance(outcome, str):
                assert outcome.partition(":")[0] in reasons
            else:
                assert outcome.id == record.id
