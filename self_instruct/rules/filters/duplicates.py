"""Reject exact duplicates of records and of long outputs.

ROUGE-L also rejects most duplicate records, but its default tokenizer sees only words of a-z and 0-9, while `drop_duplicates`
compares all characters.
"""

import re
from collections.abc import Callable, Iterable

from self_instruct.records import Record


def drop_duplicates() -> Callable[[Record], str | None]:
    """Reject with `duplicate` if all texts and turns equal those of an earlier record; the detail is the id of the first.

    The earlier record counts even if another filter rejected it, because that filter would reject the copy too.
    """
    first: dict[tuple[str, ...], str] = {}

    def rule(record: Record) -> str | None:
        earlier = first.setdefault((record.instruction, record.input, record.output, record.conversation), record.id)
        return None if earlier == record.id else f"duplicate: {earlier}"

    return rule


MIN_CHARACTERS = 25  # of an output of several lines
MIN_CHARACTERS_OF_A_LINE = 80  # of an output of one line, which is often a standard sentence
MAX_WORDS_OF_TASK = 0.75  # share of the output's words


def drop_copied_output(seeds: Iterable[Record] = ()) -> Callable[[Record], str | None]:
    """Reject with `copies_output` if the output equals that of a seed task or an earlier record with another task; the detail
    is the id of the first.

    White space, case, code fences and a final full stop are ignored. Short outputs pass, because they may be the right answer
    to many tasks. So do outputs whose words are mostly in their own task, such as corrected code. Records with the same task
    are left to the other rules and to novelty.
    """
    first: dict[str, tuple[str, str]] = {}

    def rule(record: Record) -> str | None:
        output, task = _bare(record.output), _bare(record.task)
        shortest = MIN_CHARACTERS if "\n" in record.output.strip() else MIN_CHARACTERS_OF_A_LINE
        if len(output) < shortest or _is_from(record.output, record.task):
            return None
        name, earlier = first.setdefault(output, (record.id, task))
        return f"copies_output: {name}" if name != record.id and earlier != task else None

    for seed in seeds:
        rule(seed)
    return rule


def _bare(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith(("```", "~~~")))
    return "".join("".join(lines).split()).casefold().rstrip(".!")


def _is_from(output: str, task: str) -> bool:
    words, given = re.findall(r"\w+", output.casefold()), set(re.findall(r"\w+", task.casefold()))
    return sum(word in given for word in words) >= MAX_WORDS_OF_TASK * len(words)
