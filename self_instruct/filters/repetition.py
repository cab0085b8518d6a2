"""Answers in which the model ran in circles."""

from self_instruct.records import Record

LINES_IN_A_ROW = 5
SHORT_LINES_IN_A_ROW = 20
SHORT_LINE = 3
LOOP_WORDS = 5
LOOP_SHARE = 0.5
LOOP_TIMES = 3


def drop_loop(record: Record) -> str | None:
    """`loops`: in the instruction or the output, one line stands five times in a row with the same indentation (twenty
    times if it has fewer than three words, as brackets and numbers do), or five-word sequences that come three times or
    more make up over half of the text. The bounds are ours.
    """
    return "loops" if _loops(record.task) or _loops(record.output) else None


def _loops(text: str) -> bool:
    run, previous = 0, ""
    for line in map(str.rstrip, text.splitlines()):
        run = run + 1 if line and line == previous else 1
        previous = line
        if run >= (LINES_IN_A_ROW if len(line.split()) >= SHORT_LINE else SHORT_LINES_IN_A_ROW):
            return True
    return _repeats(text.split())


def _repeats(words: list[str]) -> bool:
    counts: dict[tuple[str, ...], int] = {}
    last: dict[tuple[str, ...], int] = {}
    for at in range(len(words) - LOOP_WORDS + 1):
        sequence = tuple(words[at : at + LOOP_WORDS])
        if at >= last.get(sequence, -LOOP_WORDS) + LOOP_WORDS:  # "0 0 0 0 0 0" is not a repetition of itself
            counts[sequence], last[sequence] = counts.get(sequence, 0) + 1, at
    # Words covered by sequences that come three times or more, as a share of all words.
    covered = bytearray(len(words))
    for at in range(len(words) - LOOP_WORDS + 1):
        if counts[tuple(words[at : at + LOOP_WORDS])] >= LOOP_TIMES:
            covered[at : at + LOOP_WORDS] = b"\1" * LOOP_WORDS
    return sum(covered) > LOOP_SHARE * len(words)
