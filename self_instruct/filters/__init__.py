"""Rules that a record must pass, whatever else is in the pool. Each is a function `Record -> reason | None`.

A reason is one word, perhaps with what was seen: `too_long` or `too_long: 212 words`.

Adding a rule is a function in one of these files, a line in `build_filters`, and a test.
"""

from collections.abc import Callable, Sequence

from self_instruct.filters.keywords import drop_keywords
from self_instruct.filters.length import drop_length
from self_instruct.filters.openings import drop_non_ascii, drop_program, drop_punctuation
from self_instruct.filters.output import drop_echo, drop_empty, drop_output_repeats_task
from self_instruct.filters.repetition import drop_loop
from self_instruct.records import Record

Filter = Callable[[Record], str | None]


def build_filters(
    header: str,
    min_instruction_words: int = 4,
    max_instruction_words: int = 150,
    keywords: Sequence[str] = (),
    keep_programming: bool = False,
) -> list[Filter]:
    """The rules of a run in the order in which they are asked; the first that objects names the reason."""
    filters: list[Filter] = [drop_empty, drop_length(min_instruction_words, max_instruction_words)]
    if keywords:
        filters.append(drop_keywords(keywords))
    if not keep_programming:
        filters.append(drop_program)
    return [*filters, drop_punctuation, drop_non_ascii, drop_output_repeats_task, drop_echo(header), drop_loop]


def first_objection(filters: Sequence[Filter], record: Record) -> str | None:
    """The reason of the first rule that a record fails, or None."""
    return next((reason for rule in filters if (reason := rule(record)) is not None), None)
