"""Exact duplicates. ROUGE-L drops nearly all of them, but compares only words of a-z and 0-9; this compares every character."""

from collections.abc import Callable

from self_instruct.records import Record


def drop_duplicates() -> Callable[[Record], str | None]:
    """Reject with `duplicate` and the id of the first record if all texts and turns equal those of an earlier record.

    The earlier record need not have been kept: the rule that dropped it would also drop its copy.
    """
    first: dict[tuple[str, ...], str] = {}

    def rule(record: Record) -> str | None:
        earlier = first.setdefault((record.instruction, record.input, record.output, record.conversation), record.id)
        return None if earlier == record.id else f"duplicate: {earlier}"

    return rule
