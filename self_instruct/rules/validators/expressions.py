"""Arithmetic as people write it: numbers, + - × ÷ ^, brackets, fractions, percent; evaluated exactly, as fractions.

    sum     := product (("+" | "-") product)*
    product := power (("*" | "/" | "of") power)*           "of" after a percentage or a fraction
    power   := signed ("^" signed)?
    signed  := "-"? number "%"? | "-"? "(" sum ")" "%"?

An "x" before a number or a bracket is a multiplication sign; in "3x - 7" it is a variable.

Nothing is executed. A text that is too long, too deep or too large to evaluate is not an expression.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

LONGEST = 200  # tokens
_DEEPEST = 50
_DIGITS = 40
_HIGHEST_POWER = 64
_MOST_BITS = 4096
_TOKEN = re.compile(
    r"\s*+(?:(?P<number>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)|(?P<power>\*\*|\^)"
    r"|(?P<sign>[-+*/()%×÷·∙−–﹣－])|(?P<money>[$€£])|(?P<word>of\b|x(?=\s*[$€£]?(?:[\d(]|\.\d))))"
)
_SAME = {"×": "*", "·": "*", "∙": "*", "x": "*", "÷": "/", "−": "-", "–": "-", "﹣": "-", "－": "-", "**": "^"}


@dataclass(frozen=True)
class Value:
    """The value of an expression. `decimals` is the number of decimals of a single number, None for a computed value."""

    exact: Fraction
    decimals: int | None = None
    percent: bool = False


class NoExpression(ValueError):
    """The text is not an expression, or is not evaluated."""


@dataclass(frozen=True)
class Token:
    """A number or a symbol of the grammar, with its start and end in the text."""

    text: str
    start: int
    end: int

    @property
    def is_number(self) -> bool:
        """Return whether it is a number."""
        return self.text[0].isdigit() or self.text[0] == "."


def tokens_of(text: str, start: int = 0, end: int | None = None) -> list[Token]:
    """Return the tokens of a text between two positions, up to the first text that is not one. Currency signs are skipped."""
    found: list[Token] = []
    while (match := _TOKEN.match(text, start, len(text) if end is None else end)) and len(found) <= LONGEST:
        kind = str(match.lastgroup)
        if kind != "money":
            shown = match[kind]
            found.append(Token(_SAME.get(shown, shown).replace(",", ""), match.start(kind), match.end()))
        start = match.end()
    return found


def evaluate(tokens: list[Token]) -> Value:
    """Return the value of an expression. Raises NoExpression if it is invalid, divides by zero, or is too large to evaluate."""
    if len(tokens) > LONGEST:
        raise NoExpression("too long")
    parser = _Parser([token.text for token in tokens])
    value = parser.sum(0)
    if parser.at != len(tokens):
        raise NoExpression("something is left over")
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
        while (sign := self._taken("+", "-")) is not None:
            other = self._product(depth)
            value = _bounded(value + other if sign == "+" else value - other)
        return value

    def _product(self, depth: int) -> Fraction:
        value = self._power(depth)
        while (sign := self._taken("*", "/", "of")) is not None:
            if sign == "of" and self._tokens[self.at - 2] != "%" and "/" not in self._tokens[: self.at - 1]:
                raise NoExpression("of what is no share")
            other = self._power(depth)
            if sign == "/" and other == 0:
                raise NoExpression("divided by zero")
            value = _bounded(value / other if sign == "/" else value * other)
        return value

    def _power(self, depth: int) -> Fraction:
        negative = self._taken("-") is not None
        value = self._single(depth)
        if self._taken("^") is not None:
            exponent = -self._single(depth) if self._taken("-") else self._single(depth)
            if exponent.denominator != 1 or abs(exponent) > _HIGHEST_POWER or (value == 0 and exponent <= 0):
                raise NoExpression("a power that is not evaluated")
            if max(value.numerator.bit_length(), value.denominator.bit_length()) > 256:
                raise NoExpression("too large")
            value = _bounded(value ** int(exponent))
        return -value if negative else value

    def _single(self, depth: int) -> Fraction:
        if depth > _DEEPEST or self.at >= len(self._tokens):
            raise NoExpression("too deep, or cut off")
        text = self._tokens[self.at]
        self.at += 1
        if text == "(":
            value = self.sum(depth + 1)
            if self._taken(")") is None:
                raise NoExpression("a bracket is not closed")
        elif text[0].isdigit() or text[0] == ".":
            if len(text) > _DIGITS:
                raise NoExpression("too large")
            value = Fraction(text if text[0] != "." else f"0{text}")
        else:
            raise NoExpression(f"{text} where a number is expected")
        return value / 100 if self._taken("%") is not None else value

    def _taken(self, *wanted: str) -> str | None:
        if self.at < len(self._tokens) and self._tokens[self.at] in wanted:
            self.at += 1
            return self._tokens[self.at - 1]
        return None


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise NoExpression("too large")
    return value
