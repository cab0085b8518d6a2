"""Check fill-in-the-blank tasks: there is one gap, and the answer is not in the text already."""

import re

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, content_words, occurs_in, stated_answer
from self_instruct.rules.validators.contract import Validator, Variables

_BLANK = re.compile(
    r"(?:\\?_){2,}(?:[ \t]+(?:\\?_){2,})*|(?<![.\w])\.{5,}(?!\w)|…{2,}|[\[(<{]\s*(?:blank|gap|\.\.\.|…)\s*[\])>}]",
    re.I,
)


def fill_in_the_blank(max_answer_words: int = 12, word_bank: bool = False) -> Validator:
    """Reject with `no_blank` or `many_blanks` (unless there is one gap), `no_answer`, `answer_too_long`, or `answer_in_text`.

    A gap is written ____ or [blank]; adjacent gaps, for an answer of several words, count as one. If the output repeats the
    whole sentence, the answer is the words in the gap. `answer_in_text` means that the task contains the answer; a `word_bank`
    to choose from allows this.
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
        if not word_bank and content_words(answer) and occurs_in(answer, record.task):
            return f"answer_in_text: {bare(answer)}"
        return record

    return validator


def _filled(task: str, gap: re.Match[str], output: str) -> str | None:
    """Return the words in the gap, in lower case, if the output repeats the sentence with the gap, else None."""
    before = task[: gap.start()].rpartition("\n")[2]
    after = task[gap.end() :].partition("\n")[0]
    if len((before + after).split()) < 2:
        return None
    begins, ends = (_folded(part) for part in (_sentence(before, -1), _sentence(after, 0)))
    for line in map(_folded, output.splitlines()):
        start = line.find(begins) + len(begins)
        if start >= len(begins) and line.endswith(ends) and (words := line[start : len(line) - len(ends)].strip()):
            return words
    return None


def _sentence(text: str, part: int) -> str:
    return re.split(r"(?<=[.!?:])\s+", text)[part]


def _folded(text: str) -> str:
    return " ".join(text.lower().split())
