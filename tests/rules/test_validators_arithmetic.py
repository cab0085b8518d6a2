"""Equations in an output that are true, false, or impossible to check."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.records import Record
from self_instruct.rules.validators.arithmetic import arithmetic

RIGHT = [
    "3 + 4 = 7", "12 × 3 = 36", "15% of 80 is 12", "1/2 + 1/3 = 5/6", "10 / 3 = 3.33", "2 / 3 = 0.66", "2 / 3 = 0.67",
    "0.1 + 0.2 = 0.3",
    "3/4 = 75%", "1,000 * 2 = 2,000", "17 / 5 = 3 remainder 2", "$5 + $3 = $8.", "**3 + 4 = 7**", "2 ** 3 = 8",
    "2^10 = 1024", "5 plus 3 is 8",
    "10 / 4 ≈ 3", "5 - 3 = 2", "-3 + 5 = 2", "So the total is 3 + 4 = 7 - that's all", "There are 24 / 6 = 4 groups",
    "(3 + 4) * 2 = 14",
    r"\frac{1}{2} + \frac{1}{4} = \frac{3}{4}", "3 x 4 = 12", "20% of $50 = $10", "1/3 = 33.3%", "100 / 8 = 12.5 cm",
    "5 + 3 = 8, 8 + 2 = 10",
    "12 + 3 = 15 = 5 * 3", "8.25% of 1,200.00 = 99.00", "3 + 4 = 7.0", "1. 3 + 4 = 7", "10^-2 = 0.01",
    "The sum 10 / 3 is about 3",
]  # fmt: skip
UNCHECKED = [
    "5! = 120", "2x + 3 = 7", "x = 3 + 4 = 7", "f(2) + 3 = 9", "x² + 1 = 5", "3 apples + 4 apples = 8 apples",
    "y = 2x + 1", "1 + 1 == 3",
    "1 + 1 != 3", "The sum of 3 and 4 is 8", "a - 3 = 2", "= 20 + y", "12 is 5", "The ratio 3:4 = 6:9", "x + 5 = 10",
    "x = 10 - 5",
    "v = 60 km / 2 h = 30 km/h", "half of 10 = 5", "2(3 + 4) = 14", "100 - 20% = 80", "1 km = 1000 m",
    "1 hour = 60 minutes", "3² + 4² = 25",
    "∠A + 30 = 90", "2024-01-05 = Friday", "log 100 + 1 = 3", "sqrt(16) + 1 = 5", "5 mod 3 = 2", "7 % 3 = 1",
    "3 * 1000000 = 3 million",
    "x * 3 = 9", "2 + y = 5", "1 / 0 = 7", "total += 1 = 5", "1 + 1 = 2x", "1.2.3 + 1 = 4", "i = i + 1 = 9",
    "5 * 60 = 300 seconds = 5 minutes", "2 is 2*2", "10 is 10-4", "50% is 1/3", "3x - 7 = 11", "3x -7 = 11", "3 x - 7 = 11",
    "11 = 3x - 7",
]  # fmt: skip
WRONG = [
    ("3 + 4 = 8", "7"), ("12 × 3 = 35", "36"), ("15% of 80 is 13", "12"), ("1/2 + 1/3 = 2/5", "0.833333"),
    ("10 / 3 = 3.4", "3.33333"),
    ("0.1 + 0.2 = 0.4", "0.3"), ("7 / 2 = 3", "3.5"), ("So 3 + 4 = 8.", "7"), ("$5 + $3 = $9.", "8"), ("**3 + 4 = 8**",
    "7"), ("5 plus 3 is 9", "8"),
    ("There are 24 / 6 = 5 groups", "4"), ("(3 + 4) * 2 = 11", "14"), ("20% of $50 = $12", "10"),
    ("5 + 3 = 8, 8 + 2 = 11", "10"),
    ("12 + 3 = 15 = 5 * 4", "15"), (r"$$3 \times 4 = 13$$", "12"), ("2^10 = 1000", "1024"), ("1) 3 + 4 = 8", "7"),
    ("10 / 4 ≈ 5", "2.5"),
    ("Fine.\nStep 2: 3 + 4 = 8\n", "7"), ("x = 3 + 4 = 8", "7"), ("1/3 = 34.3%", "0.333333"), ("2 / 3 = 0.68", "0.666667"),
    ("3x4 = 13", "12"), ("3 x $4 = $13", "12"), ("2 equals 2 * 2", "2"), ("2 * 2 is 5", "4"), ("2 is equal to 2 * 2", "2"),
]  # fmt: skip


def judged(output: str, task: str = "Solve it.") -> str | None:
    found = arithmetic()(Record("x", task, "", output), {})
    return found if isinstance(found, str) else None


@pytest.mark.parametrize("output", RIGHT)
def test_a_true_equation_passes(output: str) -> None:
    assert judged(output) is None


@pytest.mark.parametrize("output", UNCHECKED)
def test_uncheckable_texts_pass(output: str) -> None:
    assert judged(output) is None


@pytest.mark.parametrize(("output", "right"), WRONG)
def test_a_false_equation_is_rejected_with_the_right_result(output: str, right: str) -> None:
    reason = judged(output) or ""
    assert reason.startswith("wrong_sum: ") and reason.endswith(f"; it is {right}")


def test_equations_in_code_are_not_checked() -> None:
    assert judged("```python\nassert 1 + 1 = 3\n```\n1 + 1 = 2") is None
    assert judged("```python\nx\n```\n1 + 1 = 3") is not None


@pytest.mark.parametrize(
    ("task", "answer", "right"),
    [("What is 17 * 23?", "391", True), ("What is 17 * 23?", "392", False), ("What is 17 * 23?", "17 * 23 gives 391.", True),
     ("What is 15% of 80?", "The answer is 13.", False), ("Calculate: 10 / 3", "3.33", True), ("What is 2 + 2 in base 3?",
     "11", True),
     ("What is the sum of 3 + 4?", "8", False), ("Compute 7 / 2.", "3 remainder 1", True), ("Compute 1/2 + 1/4", "3/4", True),
     ("Compute 1/2 + 1/4", "0.6", False), ("What is 3?", "5", True), ("What is 2 + 2?", "Four", True), ("Add 2 + 2.", "5",
     True),
     ("Evaluate 2 * (3 + 4) =", "-14", False), ("Evaluate 2 * (3 - 10)", "-14", True)],
)  # fmt: skip
def test_the_result_of_a_task_that_is_an_expression_is_checked(task: str, answer: str, right: bool) -> None:
    assert (judged(answer, task) is None) == right
    assert right or (judged(answer, task) or "").startswith("wrong_result")


@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from("+-*"), st.integers(-3, 3))
@settings(deadline=None, derandomize=True)
def test_an_equation_passes_exactly_if_its_result_is_correct(first: int, second: int, sign: str, error: int) -> None:
    result = {"+": first + second, "-": first - second, "*": first * second}[sign]
    assert (judged(f"We have {first} {sign} {second} = {result + error}.") is None) == (error == 0)


def test_a_huge_line_is_not_checked() -> None:
    assert judged("1 + 1 = 3 " * 100_000) is None


@pytest.mark.parametrize("minus", ["-", "\u2212", "\u2013", "\ufe63", "\uff0d"])
def test_a_typographic_minus_is_a_minus(minus: str) -> None:
    check = arithmetic()
    for output in (f"{minus}5", f"2 {minus} 7 = {minus}5", f"The answer is {minus}5."):
        assert isinstance(check(Record("x", "What is 2 - 7?", "", output), {}), Record), output
    assert check(Record("x", "What is 7 - 2?", "", f"{minus}5"), {}) == f"wrong_result: 7 - 2 is 5, not {minus}5"
