"""Answers in which the model ran in circles."""

from self_instruct.records import Record

LINES_IN_A_ROW = 5
LOOP_WORDS = 5
LOOP_SHARE = 0.5


def drop_loop(record: Record) -> str | None:
    """`loops`: in the instruction or the output, one line stands five times in a row, or some five-word sequence makes
    up more than half of the text and comes three times or more. The bounds are ours: code and tables repeat themselves
    without looping, but not so.
    """
    return "loops" if _loops(record.task) or _loops(record.output) else None


def _loops(text: str) -> bool:
    run, previous = 0, None
    for line in map(str.strip, text.splitlines()):
        run = run + 1 if line and line == previous else 1
        previous = line
        if run >= LINES_IN_A_ROW:
            return True
    return _repeats(text.split())


def _repeats(words: list[str]) -> bool:
    counts: dict[tuple[str, ...], int] = {}
    for at in range(len(words) - LOOP_WORDS + 1):
        sequence = tuple(words[at : at + LOOP_WORDS])
        counts[sequence] = counts.get(sequence, 0) + 1
    # Words covered by sequences that come three times or more, as a share of all words.
    covered = bytearray(len(words))
    for at in range(len(words) - LOOP_WORDS + 1):
        if counts[tuple(words[at : at + LOOP_WORDS])] >= 3:
            covered[at : at + LOOP_WORDS] = b"\1" * LOOP_WORDS
    return sum(covered) > LOOP_SHARE * len(words)
