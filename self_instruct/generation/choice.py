"""Choose one of several answers to a task: by agreement on a short final answer, or by scores that a review gives them.

The best answer becomes the output. The best and the worst are marked as a pair for preference training if their scores differ.
`describe` writes a choice into the provenance of its record, and `several_answers` reads it.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, stated_answer

MAJORITY, FIRST, TESTS = "majority", "first", "tests"
CHOSEN, REJECTED = "chosen", "rejected"
_MAX_WORDS, _MAX_CHARACTERS = 12, 100
_BOX = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]{0,100}\}){1,100})\}")
_NUMBER = re.compile(r"[\s*_`(=]*(?P<sign>[-−])?[$€£\\]*(?P<digits>\d+(?:,\d{3})*(?:\.\d+)?)[%.)*_`$\\\s]*")


class Several(NamedTuple):
    """A record with several answers, given as (request, output), its row, and how the run chose among them."""

    record: Record
    row: dict[str, Any]
    answers: list[tuple[int, str]]
    by: str

    @property
    def is_open(self) -> bool:
        """Whether scores may change the choice, because neither a majority nor tests of the run made it."""
        return self.by not in (MAJORITY, TESTS)


def final_answer(output: str) -> str | None:
    """Return the short final answer of an output in a form to compare, or None if it has none.

    It is the text in the last \\boxed{}, the text after "Answer:" or "the answer is", or the whole output if that is one short
    line without code. Numbers are compared by value.
    """
    if "```" in output:
        return None
    boxes = _BOX.findall(output)
    text = (boxes[-1] if boxes else stated_answer(output)).strip()
    if not text or "\n" in text or len(text) > _MAX_CHARACTERS or len(text.split()) > _MAX_WORDS:
        return None
    number = _NUMBER.fullmatch(text)
    if number:
        value = Decimal(number["digits"].replace(",", ""))
        return f"{(-value if number['sign'] else value).normalize() + 0:f}"
    return ("".join(text.split()) if boxes else bare(text)) or None


def votes(outputs: Sequence[str]) -> list[float] | None:
    """Return for each output how many outputs have its final answer, 0 if it has none. Return None if at most half of several
    outputs have one: the task then does not ask for a short answer.
    """
    answers = [final_answer(output) for output in outputs]
    counts = Counter(answer for answer in answers if answer is not None)
    if len(outputs) < 2 or 2 * counts.total() <= len(outputs):
        return None
    return [float(counts[answer]) if answer is not None else 0.0 for answer in answers]


def by_agreement(answers: Sequence[tuple[int, str]]) -> tuple[int, dict[str, Any]]:
    """Choose among answers, given as (request, output). Return the position of the choice, and its description.

    The first answer is chosen where no two agree, and no pair is marked then.
    """
    found = votes([output for _, output in answers])
    agree = int(max(found)) if found else None
    if found is None or agree == 1:
        return 0, describe(FIRST, answers, None, agree)
    best = best_of(found)
    return best, describe(MAJORITY, answers, found, agree)


def by_tests(answers: Sequence[tuple[int, str]], passed: Sequence[bool]) -> tuple[int, dict[str, Any]]:
    """Choose the first answer that has passed its tests. Return the position of the choice, and its description."""
    scores = [float(one) for one in passed]
    return best_of(scores), describe(TESTS, answers, scores)


def best_of(scores: Sequence[float | None]) -> int:
    """Return the position of the first of the highest scores; an answer without a score ranks last."""
    return max(range(len(scores)), key=lambda at: _rank(scores[at]))


def describe(
    by: str, answers: Sequence[tuple[int, str]], scores: Sequence[float | None] | None, agree: int | None = None
) -> dict[str, Any]:
    """Return the provenance of a choice: how it was made, how many answers `agree` of how many, and the answers.

    Without scores, no answer is marked.
    """
    given = scores or [None] * len(answers)
    marks: dict[int, str] = {}
    if scores is not None:
        best, known = best_of(scores), [at for at, score in enumerate(scores) if score is not None]
        worst = min(known, key=lambda at: _rank(scores[at]), default=best)
        if _rank(scores[worst]) < _rank(scores[best]) and answers[worst][1] != answers[best][1]:
            marks = {best: CHOSEN, worst: REJECTED}
    rows = [
        {"request": request, "output": output, "score": given[at], "mark": marks.get(at)}
        for at, (request, output) in enumerate(answers)
    ]
    return {"by": by, "agree": agree, "of": None if agree is None else len(answers), "answers": rows}


def several_answers(record: Record, row: Mapping[str, Any]) -> Several | None:
    """Return a record's answers, or None if it has no two. Raises UserError if its provenance is damaged."""
    provenance = row.get("provenance")
    choice = provenance.get("choice") if isinstance(provenance, dict) else None
    if choice is None:
        return None
    answers: Any = choice.get("answers") if isinstance(choice, dict) else None
    whole = isinstance(answers, list) and all(
        isinstance(item, dict) and type(item.get("request")) is int and isinstance(item.get("output"), str)
        for item in answers
    )
    if not whole or not isinstance(choice.get("by"), str):
        raise UserError(f"record {record.id}: its answers are damaged; launch the run again to restore the dataset")
    pairs = [(item["request"], item["output"]) for item in answers]
    return Several(record, dict(row), pairs, choice["by"]) if len(pairs) > 1 else None


def _rank(score: float | None) -> float:
    return float("-inf") if score is None else score
