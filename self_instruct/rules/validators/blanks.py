"""Fill in the blank: one gap, and what belongs into it."""

import re

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, content_words, stands_in, stated_answer
from self_instruct.rules.validators.contract import Validator, Variables

_BLANK = re.compile(
    r"(?:\\?_){2,}(?:[ \t]+(?:\\?_){2,})*|(?<![.\w])\.{5,}(?!\w)|…{2,}|[\[(<{]\s*(?:blank|gap|\.\.\.|…)\s*[\])>}]",
    re.I,
)


def fill_in_the_blank(max_answer_words: int = 12, word_bank: bool = False) -> Validator:
    """`no_blank` and `many_blanks` unless the task has exactly one gap; `no_answer`; `answer_too_long`; `answer_in_text` when
    the answer can be read off the task, unless it may have a `word_bank` to choose from.

    A gap is written ____ or [blank]; gaps side by side, for an answer of several words, are one. An output that gives the whole
    sentence anew is judged by what it puts in the gap.
    """

    def validator(record: Record, variables: Variables) -> Record | str:
        gaps = list(_BLANK.finditer(record.task))
        if len(gaps) != 1:
            return f"many_blanks: {len(gaps)}" if gaps else "no_blank"
        answer = _filled(record.task, gaps[0], record.output) or stated_answer(record.output)
        if not bare(answer) or _BLANK.search(answer):
            return "no_answer"
        if len(answer.split()) > max_answer_words:
            return f"answer_too_long: {len(answer.split())} words"
        if not word_bank and content_words(answer) and stands_in(answer, record.task):
            return f"answer_in_text: {bare(answer)}"
        return record

    return validator


def _filled(task: str, gap: re.Match[str], output: str) -> str | None:
    """What an output that repeats the line of the gap puts into it."""
    before = task[: gap.start()].rpartition("\n")[2]
    after = task[gap.end() :].partition("\n")[0]
    if len((before + after).split()) < 2:
        return None
    parts = [r"\s+".join(map(re.escape, part.split())) for part in (_sentence(before, -1), _sentence(after, 0))]
    found = re.search(rf"{parts[0]}\s*(?P<it>[^\n]+?)\s*{parts[1]}\s*$", output.strip(), re.IGNORECASE | re.MULTILINE)
    return found["it"] if found else None


def _sentence(text: str, part: int) -> str:
    return re.split(r"(?<=[.!?:])\s+", text)[part]
