"""How long an instruction may be, in words or in characters."""

from collections.abc import Callable

from self_instruct.records import Record


def drop_length(
    minimum: int, maximum: int, words_of: Callable[[str], list[str]] = str.split
) -> Callable[[Record], str | None]:
    """`too_short` below `minimum` words, `too_long` above `maximum`; the papers' rule is 4 to 150 (wang2022self), counted
    between white space.
    """

    def rule(record: Record) -> str | None:
        words = len(words_of(record.instruction))
        if words < minimum:
            return f"too_short: {words} words"
        return f"too_long: {words} words" if words > maximum else None

    return rule


def drop_characters(minimum: int | None, maximum: int | None) -> Callable[[Record], str | None]:
    """`too_few_characters` below the minimum, `too_many_characters` above the maximum, white space around it not counted; None
    asks for none.
    """

    def rule(record: Record) -> str | None:
        characters = len(record.instruction.strip())
        if minimum is not None and characters < minimum:
            return f"too_few_characters: {characters}"
        return f"too_many_characters: {characters}" if maximum is not None and characters > maximum else None

    return rule
