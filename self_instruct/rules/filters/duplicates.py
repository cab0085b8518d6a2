"""Reject exact duplicates.

ROUGE-L rejects most of them too, but its default tokenizer sees only words of a-z and 0-9. This filter compares all characters.
"""

from collections.abc import Callable

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
