"""Check writing tasks: the output has the length and form that the task asks for."""

import re
from collections.abc import Iterator

from self_instruct.records import Record
from self_instruct.rules.validators.constraints import COUNT, number
from self_instruct.rules.validators.contract import Validator, Variables

_LINES = {"haiku": 3, "tanka": 5, "limerick": 5, "sonnet": 14, "couplet": 2, "quatrain": 4}
_BOUND = (
    r"(?P<bound>at least|no (?:fewer|less) than|minimum of|at most|no more than|up to|maximum of|(?:fewer|less) than|under"
    r"|(?:in )?exactly)"
)
_ASKED = re.compile(
    rf"(?<![\w-])(?:{_BOUND}\s*)?{COUNT}(?:\s*(?:to|-|–)\s*(?P<upper>\d{{1,5}}))?[- ](?P<unit>word|line|paragraph)s?\b"
    r"(?!\s+(?:per|each|from|that|of))",
    re.IGNORECASE,
)


def writing(min_words: int = 20, tolerance: float = 0.25) -> Validator:
    """Reject with `no_text`, `wrong_word_count`, `wrong_lines` or `wrong_paragraphs`.

    `no_text` means fewer than `min_words` words, if the task asks for no length. The number of words may differ from the
    requested one by the share `tolerance` (a tenth for "exactly", "at least", "at most" and ranges). The numbers of lines and
    paragraphs are checked if the task states them; a haiku, a sonnet and the like have a fixed number of lines.
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance is {tolerance:g}, but must be at least 0 and below 1")

    def validator(record: Record, variables: Variables) -> Record | str:
        counted = {
            "words": len(record.output.split()),
            "lines": _lines(record.output),
            "paragraphs": _paragraphs(record.output),
        }
        bounds = list(_bounds(record.task, tolerance))
        if counted["words"] == 0 or (counted["words"] < min_words and not bounds):
            return f"no_text: {counted['words']} words"
        for unit, low, high in bounds:
            if not low <= counted[unit] <= high:
                reason = "wrong_word_count" if unit == "words" else f"wrong_{unit}"
                wanted = (
                    f"{low:g}"
                    if low == high
                    else f"{low:g} to {high:g}"
                    if high < float("inf")
                    else f"at least {low:g}"
                )
                return f"{reason}: {counted[unit]} of {wanted}"
        return record

    return validator


def _bounds(task: str, tolerance: float) -> Iterator[tuple[str, float, float]]:
    """Yield each requested length: its unit (words, lines or paragraphs), minimum and maximum."""
    for found in _ASKED.finditer(task):
        size, unit, bound = number(found["count"]), f"{found['unit'].lower()}s", (found["bound"] or "").lower()
        slack = size * 0.1 if unit == "words" else 0
        if found["upper"]:
            yield unit, size - slack, int(found["upper"]) * 1.1
        elif bound.startswith(("at least", "no fewer", "no less", "minimum")):
            yield unit, size - slack, float("inf")
        elif bound.startswith(("at most", "no more", "up to", "maximum", "fewer", "less", "under")):
            yield unit, 0, size + slack
        elif bound or unit != "words":
            yield unit, size - slack, size + slack
        else:
            yield unit, size * (1 - tolerance), size * (1 + tolerance)
    for form, lines in _LINES.items():
        if re.search(
            rf"\b(?:write|compose|create|pen|craft)\b[^.?!\n]{{0,30}}\ban?\s+(?:\w+\s+){{0,2}}{form}\b", task, re.I
        ):
            yield "lines", lines, lines + 1  # one more line for a title


def _lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


def _paragraphs(text: str) -> int:
    return len([part for part in re.split(r"\n\s*\n", text.strip()) if part.strip()])
