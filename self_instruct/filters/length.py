"""How long an instruction may be, in words separated by white space."""

from collections.abc import Callable

from self_instruct.records import Record


def drop_length(minimum: int, maximum: int) -> Callable[[Record], str | None]:
    """`too_short` below `minimum` words, `too_long` above `maximum`; the papers' rule is 4 to 150 (wang2022self)."""

    def rule(record: Record) -> str | None:
        words = len(record.instruction.split())
        if words < minimum:
            return f"too_short: {words} words"
        return f"too_long: {words} words" if words > maximum else None

    return rule
