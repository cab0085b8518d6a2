"""A rule that raises an exception."""

from self_instruct.records import Record
from self_instruct.rules.failures import guarded
from self_instruct.rules.filters import first_objection


def fails(record: Record) -> str | None:
    raise ValueError(f"not a number:\n{record.instruction}")


def test_an_exception_in_a_rule_is_a_drop_that_names_the_rule() -> None:
    assert first_objection([guarded("mine", fails)], Record("x", "a" * 1000, "", "")) == (
        f"rule_failed: mine, ValueError: not a number: {'a' * 186}"
    )


def test_a_rule_that_works_is_unchanged() -> None:
    assert guarded("mine", str.upper)("a") == "A"
