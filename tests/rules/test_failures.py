"""Rules that raise an exception or return a wrong type."""

from types import NoneType

import pytest

from self_instruct.records import Record
from self_instruct.rules.failures import guarded
from self_instruct.rules.filters import first_reason

RECORD = Record("x", "a", "", "b")


def fails(record: Record) -> str | None:
    raise ValueError(f"not a number:\n{record.instruction}")


def test_a_record_for_which_a_rule_raises_an_exception_is_dropped_with_the_name_of_the_rule() -> None:
    assert first_reason([guarded("mine", fails, NoneType)], Record("x", "a" * 1000, "", "")) == (
        f"rule_failed: mine, ValueError: not a number: {'a' * 186}"
    )


def test_the_result_of_a_working_rule_is_unchanged() -> None:
    assert guarded("mine", str.upper, NoneType)("a") == "A"
    assert guarded("mine", lambda record: None, NoneType)(RECORD) is None
    assert guarded("mine", lambda record: record, Record)(RECORD) is RECORD


@pytest.mark.parametrize(
    ("result", "passed", "message"),
    [
        (True, NoneType, "returned True instead of a reason or None"),
        (False, NoneType, "returned False instead of a reason or None"),
        ("", NoneType, "returned '' instead of a reason or None"),
        (None, Record, "returned None instead of a reason or Record"),
    ],
)
def test_a_wrong_result_drops_the_record(result: object, passed: type, message: str) -> None:
    assert guarded("mine", lambda record: result, passed)(RECORD) == f"rule_failed: mine, TypeError: {message}"
