"""Arithmetic expressions as people write them, compared with the results of Python."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.rules.validators.expressions import ExpressionError, evaluate, tokens_of


def value(text: str) -> Fraction:
    tokens = tokens_of(text)
    assert not text[tokens[-1].end :].strip()
    return evaluate(tokens).exact


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("2 ^ 3", 8), ("2 ** 3", 8), ("-2 ^ 2", -4), ("2 ^ -1", Fraction(1, 2)),
     ("15% of 80", 12),
     ("3/4 of 20", 15), ("1,234.5 × 2", 2469), ("$5 − $3", 2), ("6 ÷ 4", Fraction(3, 2)), ("50%", Fraction(1, 2)),
     (".5 + .25", Fraction(3, 4)),
     ("-3 - -4", 1), ("(1 + 1)%", Fraction(1, 50)), ("3 x 4", 12), ("3x4", 12), ("0.1 + 0.2", Fraction(3, 10)),
     ("12 / 4 / 3", 1)],
)  # fmt: skip
def test_expressions_are_evaluated_exactly(text: str, expected: Fraction | int) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "+", "1 +", "1 2", "(1", "1)", "1 / 0", "1 / (2 - 2)", "2 ^ 65", "2 ^ 0.5", "0 ^ -1", "0 ^ 0", "9" * 41,
    "(" * 60 + "1" + ")" * 60,
     "1 + " * 300 + "1", "5 of 3", "((9^64)^64)^64", "% 3", "()"],
)  # fmt: skip
def test_invalid_or_too_large_expressions_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(tokens_of(text))


def test_only_a_single_number_has_decimals() -> None:
    shown = {text: evaluate(tokens_of(text)).decimals for text in ("3", "-3.25", "12.5%", "1 + 1", "1/2")}
    assert shown == {"3": 0, "-3.25": 2, "12.5%": 1, "1 + 1": None, "1/2": None}


_EXPRESSION = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(" ".join),
        inner.map("({})".format),
        st.tuples(inner, st.integers(1, 9)).map(lambda pair: f"({pair[0]}) / {pair[1]}"),
    ),
    max_leaves=12,
)


@given(_EXPRESSION)
@settings(deadline=None, derandomize=True, max_examples=50)
def test_python_evaluates_expressions_to_the_same_value(text: str) -> None:
    tokens = tokens_of(text)
    code = " ".join(f"Fraction({token.text})" if token.is_number else token.text for token in tokens)
    assert evaluate(tokens).exact == eval(code, {"Fraction": Fraction})
