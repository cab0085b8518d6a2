"""The same record over again. ROUGE-L drops nearly all of these; it sees only words of a-z and 0-9, this sees every sign."""

from collections.abc import Callable

from self_instruct.records import Record


def drop_duplicates() -> Callable[[Record], str | None]:
    """`duplicate` with the id of the first when instruction, input and output are those of a record asked about before.

    It does not matter what became of the first: what dropped it would drop its copy.
    """
    first: dict[tuple[str, str, str], str] = {}

    def rule(record: Record) -> str | None:
        earlier = first.setdefault((record.instruction, record.input, record.output), record.id)
        return None if earlier == record.id else f"duplicate: {earlier}"

    return rule
