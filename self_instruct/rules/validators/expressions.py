"""Parse arithmetic as people write it (numbers, + - × ÷ ^, brackets, fractions, percent) and evaluate it exactly.

    sum     := product (("+" | "-") product)*
    product := power (("*" | "/" | "of") power)*           "of" after a percentage or a fraction
    power   := signed ("^" signed)?
    signed  := "-"? number "%"? | "-"? "(" sum ")" "%"?

An "x" before a number or a bracket is a multiplication sign; in "3x - 7" it is a variable.

The text is never executed. Expressions that are too long, too deeply nested or too large are not evaluated.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

MAX_TOKENS = 200  # tokens
_MAX_DEPTH = 50
_MAX_DIGITS = 40
_MAX_POWER = 64
_MAX_BITS = 4096
_TOKEN = re.compile(
    r"\s*+(?:(?P<number>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)|(?P<power>\*\*|\^)"
    r"|(?P<sign>[-+*/()%×÷·∙−–﹣－])|(?P<money>[$€£])|(?P<word>of\b|x(?=\s*[$€£]?(?:[\d(]|\.\d))))"
)
_SYNONYMS = {"×": "*", "·": "*", "∙": "*", "x": "*", "÷": "/", "−": "-", "–": "-", "﹣": "-", "－": "-", "**": "^"}


@dataclass(frozen=True)
class Value:
    """The value of an expression. `decimals` is the number of decimals if it is a single number, None if it is computed."""

    exact: Fraction
    decimals: int | None = None
    percent: bool = False


class ExpressionError(ValueError):
    """The text is not an expression, or it is too large to evaluate."""


@dataclass(frozen=True)
class Token:
    """A number or a symbol of the grammar, with its start and end in the text."""

    text: str
    start: int
    end: int

    @property
    def is_number(self) -> bool:
        """Return whether the token is a number."""
        return self.text[0].isdigit() or self.text[0] == "."


def tokens_of(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """Return the tokens of `text[start:end]` up to the first text that is not a token. Currency signs are skipped."""
    found: list[Token] = []
    while (match := _TOKEN.match(text, start, len(text) if end is None else end)) and len(found) <= MAX_TOKENS:
        kind = str(match.lastgroup)
        if kind != "money":
            shown = match[kind]
            found.append(Token(_SYNONYMS.get(shown, shown).replace(",", ""), match.start(kind), match.end()))
        start = match.end()
    return found


def evaluate(tokens: list[Token]) -> Value:
    """Return the value of an expression.

    Raises ExpressionError if it is invalid, divides by zero, or is too large to evaluate.
    """
    if len(tokens) > MAX_TOKENS:
        raise ExpressionError("too long")
    parser = _Parser([token.text for token in tokens])
    value = parser.sum(0)
    if parser.at != len(tokens):
        raise ExpressionError("text after the expression")
    percent = bool(tokens) and tokens[-1].text == "%"
    plain = [token for token in tokens if token.text not in "-%"]
    if len(plain) == 1 and plain[0].is_number:
        return Value(value, len(plain[0].text.partition(".")[2]), percent)
    return Value(value, None, percent)


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self.at = tokens, 0

    def sum(self, depth: int) -> Fraction:
        value = self._product(depth)
        while (sign := self._accept("+", "-")) is not None:
            other = self._product(depth)
            value = _bounded(value + other if sign == "+" else value - other)
        return value

    def _product(self, depth: int) -> Fraction:
        value = self._power(depth)
        while (sign := self._accept("*", "/", "of")) is not None:
            if sign == "of" and self._tokens[self.at - 2] != "%" and "/" not in self._tokens[: self.at - 1]:
                raise ExpressionError("'of' without a percentage or fraction")
            other = self._power(depth)
            if sign == "/" and other == 0:
                raise ExpressionError("divided by zero")
            value = _bounded(value / other if sign == "/" else value * other)
        return value

    def _power(self, depth: int) -> Fraction:
        negative = self._accept("-") is not None
        value = self._single(depth)
        if self._accept("^") is not None:
            exponent = -self._single(depth) if self._accept("-") else self._single(depth)
            if exponent.denominator != 1 or abs(exponent) > _MAX_POWER or (value == 0 and exponent <= 0):
                raise ExpressionError("unsupported power")
            if max(value.numerator.bit_length(), value.denominator.bit_length()) > 256:
                raise ExpressionError("too large")
            value = _bounded(value ** int(exponent))
        return -value if negative else value

    def _single(self, depth: int) -> Fraction:
        if depth > _MAX_DEPTH or self.at >= len(self._tokens):
            raise ExpressionError("too deeply nested, or incomplete")
        text = self._tokens[self.at]
        self.at += 1
        if text == "(":
            value = self.sum(depth + 1)
            if self._accept(")") is None:
                raise ExpressionError("a bracket is not closed")
        elif text[0].isdigit() or text[0] == ".":
            if len(text) > _MAX_DIGITS:
                raise ExpressionError("too large")
            value = Fraction(text if text[0] != "." else f"0{text}")
        else:
            raise ExpressionError(f"{text} where a number is expected")
        return value / 100 if self._accept("%") is not None else value

    def _accept(self, *wanted: str) -> str | None:
        if self.at < len(self._tokens) and self._tokens[self.at] in wanted:
            self.at += 1
            return self._tokens[self.at - 1]
        return None


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise ExpressionError("too large")
    return value
