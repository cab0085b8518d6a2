"""Check every equation that an answer states, and the result of a task that is only an arithmetic expression.

Only equations between numbers are checked, such as "12 × 3 = 36" or "15% of 80 is 12". Equations with a variable, a unit within
the expression or another text cannot be checked, and pass. "2 is 2 * 2" passes too: "is" after a single number explains the
number instead of stating a result.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from self_instruct.records import Record
from self_instruct.rules.validators.answers import stated_answer
from self_instruct.rules.validators.contract import Validator, Variables
from self_instruct.rules.validators.expressions import MAX_TOKENS, ExpressionError, Token, Value, evaluate, tokens_of

_EQUALS = re.compile(r"(?<![-+*/%!<>=:~|&^])=(?!=)|≈|\bis(?: equal to)?\b|\bequals\b|\bmakes\b")
_MAX_LINE = 4000
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_BOLD = re.compile(r"(?<!\S)(?:\*\*|__)(?=\S)|(?<=\S)(?:\*\*|__)(?=[\s.,;:!?]|$)", re.MULTILINE)
_SYMBOLS = [
    (re.compile(r"(?<=[\d)%])\s+(?:plus|added to)\s+(?=[\d(])", re.I), " + "),
    (re.compile(r"(?<=[\d)%])\s+minus\s+(?=[\d(])", re.I), " - "),
    (re.compile(r"(?<=[\d)%])\s+(?:times|multiplied by)\s+(?=[\d(])", re.I), " * "),
    (re.compile(r"(?<=[\d)%])\s+(?:divided by|over)\s+(?=[\d(])", re.I), " / "),
    (re.compile(r"(?<=\d)\s*percent\b", re.I), "%"),
    (re.compile(r"\\(?:times|cdot)\b"), "×"),
    (re.compile(r"\\div\b"), "÷"),
    (re.compile(r"\\[dt]?frac\{([\d.]+)\}\{([\d.]+)\}"), r"(\1)/(\2)"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\\[()\[\],;!]"), " "),
]  # fmt: skip
_ASKED = re.compile(
    r"^(?:please\s+)?(?:what(?:'s| is)|calculate|compute|evaluate|work out|find|solve|simplify|add up|how much is)\s*:?\s+"
    r"(?:the\s+(?:value|result|sum|product|difference|quotient)\s+of\s+)?(?P<sum>[^=?\n]+?)\s*(?:=\s*)?(?:\?|\.)?\s*$",
    re.IGNORECASE,
)
_OPERATORS = ("+", "-", "*", "/", "^", "of")
_LABEL = re.compile(r"^\s*\d{1,3}[.)]\s+")
_NOT_EXACT = ("remainder", "r ", "rest", "mod", "≈")
_NOT_EXACT_NEXT = re.compile(rf"\s*+(?:{'|'.join(_NOT_EXACT)})", re.IGNORECASE)
_NUMBER_OR_BRACKET = re.compile(r"[\d(.$€£-]")
_MAX_WORD = 20
_OPERATOR_WORDS = frozenset(
    "log ln lg exp sin cos tan sqrt root mod modulo gcd lcm min max of half double twice triple plus minus times".split()
)
_ABOUT = re.compile(r"\s*(?:(?:about|around|approximately|roughly|nearly)\s+)?")
_CONTINUES = re.compile(
    r"[\w^²³!√/:\\{]|\s+[A-Za-z]\b(?!\s*[.,;])|[.,]\d|\s*[+*×^]"
    r"|\s*(?:hundred|thousand|million|billion|trillion|dozen|squared|cubed|factorial|cents?|k)\b",
    re.IGNORECASE,
)


def arithmetic() -> Validator:
    """Reject with `wrong_sum` if the output states a false equation, or `wrong_result` if it answers an expression wrongly.

    A result with decimals may be rounded or truncated. A result without decimals must be exact, unless the text calls it
    approximate ("about") or adds a remainder.
    """

    def validator(record: Record, variables: Variables) -> Record | str:
        for line in _FENCED.sub("\n", record.output).splitlines():
            if len(line) <= _MAX_LINE and (wrong := wrong_sum(_plain(line))) is not None:
                return f"wrong_sum: {wrong}"
        wrong = _wrong_result(record)
        return f"wrong_result: {wrong}" if wrong else record

    return validator


def wrong_sum(line: str) -> str | None:
    """Return the first false equation of a line and its correct result, or None."""
    line = _LABEL.sub("", line)
    for left, right, approximate in _equations(line):
        if (
            not any(token.text in _OPERATORS for token in (*left, *right))
            or _adds_percentage(left)
            or _adds_percentage(right)
        ):
            continue  # "3 is 5" can mean many things, and "100 - 20%" usually means 80
        try:
            first, second = evaluate(left), evaluate(right)
        except ExpressionError:
            continue
        if not _agree(first, second, approximate):
            return f"{line[left[0].start : right[-1].end].strip()[:120]}; it is {_formatted(first.exact)}"
    return None


def _equations(line: str) -> Iterator[tuple[list[Token], list[Token], bool]]:
    """Yield the left and right side of each equation between numbers, and whether the result is approximate."""
    signs = list(_EQUALS.finditer(line))
    starts = [0, *(sign.end() for sign in signs)]
    ends = [*(sign.start() for sign in signs[1:]), len(line)]
    for sign, start, end in zip(signs, starts, ends, strict=False):
        left = _side_before(line, start, sign.start())
        right = _side_after(line, sign.end(), end) if left else None
        if left and right:
            nearby = line[max(0, left[0].start - 12) : left[0].start] + line[sign.end() : right[0].start]
            if sign.group() == "is" and sum(token.text not in "-%" for token in left) == 1:
                continue
            loose = (
                "≈" in sign.group()
                or re.search(r"\b(?:about|around|approximately|roughly|nearly)\b", nearby) is not None
            )
            if not _NOT_EXACT_NEXT.match(line, right[-1].end):
                yield left, right, loose


def _side_before(line: str, start: int, end: int) -> list[Token] | None:
    """Return the longest expression after `start` that ends at `end`, or None if text before it may belong to it."""
    begin = start
    while begin < end:
        tokens = tokens_of(line, begin, end)
        if tokens and not line[tokens[-1].end : end].strip():
            break
        # Continue at the next position where a number or a bracket may begin.
        reached = tokens[-1].end if tokens else begin
        found = _NUMBER_OR_BRACKET.search(line, reached + (not tokens), end)
        begin = found.start() if found else end
    else:
        return None
    first = tokens[0]
    before = line[start : first.start].rstrip("$€£ \t")
    glued = before and before == line[start : first.start].rstrip("$€£")
    word = re.search(rf"[^\W\d_]{{1,{_MAX_WORD}}}$", before[-_MAX_WORD:])
    if first.text in ("+", "*", "/", "^", ")", "%", "of") or (first.text == "-" and _spaced(line, first)):
        return None
    if glued and re.search(r"[\w.:)\]/^²³√!°%]$", before):
        return None
    # "2x + 3" and "y 3": a single letter is a variable; "a" and "I" are words.
    if word and ((len(word.group()) == 1 and word.group() not in "aAI") or word.group().lower() in _OPERATOR_WORDS):
        return None
    if re.search(r"[-+*/^×÷·]$", before):
        return None
    return tokens


def _side_after(line: str, start: int, end: int) -> list[Token] | None:
    """Return the expression at `start`, or None if text between it and `end` may belong to it."""
    begin = _ABOUT.match(line, start, end)
    tokens = tokens_of(line, begin.end() if begin else start, end)
    # A dash or "of" before words is not part of the expression: "= 7 - that's all".
    while (
        tokens
        and tokens[-1].text in ("-", "of")
        and line[tokens[-1].start - 1 : tokens[-1].start] == " "
        and _spaced(line, tokens[-1])
    ):
        tokens = tokens[:-1]
    if not tokens or tokens[-1].text in ("+", "-", "*", "/", "^", "(") or len(tokens) > MAX_TOKENS:
        return None
    return None if _CONTINUES.match(line[tokens[-1].end : end]) else tokens


def _spaced(line: str, token: Token) -> bool:
    return line[token.end : token.end + 1].isspace()


def _agree(first: Value, second: Value, approximate: bool) -> bool:
    shown = second if second.decimals is not None else first
    exact = first if shown is second else second
    if exact.exact == shown.exact or (shown.percent and not exact.percent and exact.exact == shown.exact * 100):
        return True
    difference = abs(exact.exact - shown.exact)
    unit = Fraction(1, 10 ** ((shown.decimals or 0) + (2 if shown.percent else 0)))
    if approximate:
        return difference <= max(abs(exact.exact) / 20, unit / 2)
    rounded, truncated = difference <= unit / 2, difference < unit and abs(shown.exact) < abs(exact.exact)
    return bool(shown.decimals) and (rounded or truncated)


def _adds_percentage(tokens: list[Token]) -> bool:
    """Return whether the expression adds or subtracts a percentage."""
    texts = [token.text for token in tokens]
    return any(sign in "+-" and end == "%" for sign, end in zip(texts[1:], texts[3:], strict=False))


def _wrong_result(record: Record) -> str | None:
    """Return the correct result of the task's expression if the answer has only other numbers, else None."""
    last = record.task.rstrip().rpartition("\n")[2]
    asked = _ASKED.match(" ".join(_plain(last[:_MAX_LINE]).split()))
    expected = _result(asked["sum"]) if asked else None
    answer = _plain(stated_answer(record.output)[:_MAX_LINE])
    if asked is None or expected is None or any(word in answer.lower() for word in _NOT_EXACT):
        return None
    about = re.search(r"\b(?:about|around|approximately|roughly)\b", answer) is not None
    numbers = list(_numbers(answer))
    if not numbers or any(_agree(expected, value, about) for value in numbers):
        return None
    return f"{asked['sum'].strip()[:80]} is {_formatted(expected.exact)}, not {answer.strip()[:80]}"


def _result(text: str) -> Value | None:
    """Return the value of a text that is only an expression, or None for a single number or any other text."""
    tokens = tokens_of(text)
    if not tokens or text[tokens[-1].end :].strip() or text[: tokens[0].start].strip("$€£ "):
        return None
    try:
        value = evaluate(tokens)
    except ExpressionError:
        return None
    return value if value.decimals is None else None


def _numbers(text: str) -> Iterator[Value]:
    for found in re.finditer(r"(?<![\w.])[-−–﹣－]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s*/\s*\d+)?\s*%?", text):
        try:
            yield evaluate(tokens_of(found.group().replace("$", "")))
        except ExpressionError:
            continue


def _plain(text: str) -> str:
    """Return the text without bold markup, with operators in words or TeX replaced by symbols."""
    text = _BOLD.sub(" ", text)
    for pattern, sign in _SYMBOLS:
        text = pattern.sub(sign, text)
    return text


def _formatted(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.6g}" if abs(value) < 10**300 else str(value)
