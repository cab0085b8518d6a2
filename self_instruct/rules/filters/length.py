"""Limits on the length of an instruction, in words or characters."""

from collections.abc import Callable

from self_instruct.records import Record


def drop_length(
    minimum: int, maximum: int, words_of: Callable[[str], list[str]] = str.split
) -> Callable[[Record], str | None]:
    """Reject with `too_short` below `minimum` words and `too_long` above `maximum`.

    Self-Instruct uses 4 to 150 words, separated by white space (wang2022self); `words_of` splits a text into words.
    """

    def rule(record: Record) -> str | None:
        words = len(words_of(record.instruction))
        if words < minimum:
            return f"too_short: {words} words"
        return f"too_long: {words} words" if words > maximum else None

    return rule


def drop_characters(minimum: int | None, maximum: int | None) -> Callable[[Record], str | None]:
    """Reject with `too_few_characters` below the minimum and `too_many_characters` above the maximum; None means no limit.

    White space before and after the instruction does not count.
    """

    def rule(record: Record) -> str | None:
        characters = len(record.instruction.strip())
        if minimum is not None and characters < minimum:
            return f"too_few_characters: {characters}"
        return f"too_many_characters: {characters}" if maximum is not None and characters > maximum else None

    return rule
