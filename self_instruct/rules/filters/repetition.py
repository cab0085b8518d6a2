"""Texts in which the model repeats itself."""

from collections.abc import Callable
from itertools import accumulate

from self_instruct.records import Record

LINES_IN_A_ROW = 5
SHORT_LINES_IN_A_ROW = 20
SHORT_LINE = 3
LOOP_WORDS = 5
LOOP_SIGNS = 20
LOOP_SHARE = 0.5
LOOP_TIMES = 3


def drop_loop(tokenizer: Callable[[str], list[str]] | None = None) -> Callable[[Record], str | None]:
    """Reject with `loops` if the instruction or the output repeats one line five times in a row with the same indentation
    (twenty times if it has fewer than three words, such as brackets and numbers), or if five-word sequences that occur three
    times or more make up over half of the text. The limits are our own.

    With a tokenizer, whose words may be single characters, a sequence must also have twenty characters: five characters in a
    row recur in any text of a script without spaces.
    """
    words_of, signs = (tokenizer, LOOP_SIGNS) if tokenizer else (str.split, 0)

    def loops(text: str) -> bool:
        return _repeats_lines(text, words_of) or _repeats(words_of(text), signs)

    return lambda record: "loops" if loops(record.task) or loops(record.output) else None


def _repeats_lines(text: str, words_of: Callable[[str], list[str]]) -> bool:
    run, previous = 0, ""
    for line in map(str.rstrip, text.splitlines()):
        run = run + 1 if line and line == previous else 1
        previous = line
        if run >= LINES_IN_A_ROW and (run >= SHORT_LINES_IN_A_ROW or len(words_of(line)) >= SHORT_LINE):
            return True
    return False


def _repeats(words: list[str], signs: int) -> bool:
    """Return whether recurring sequences of five words, with at least that many characters, make up most of a text."""
    ends = _ends(words, signs)
    counts: dict[tuple[str, ...], int] = {}
    last: dict[tuple[str, ...], int] = {}
    for at, end in enumerate(ends):
        sequence = tuple(words[at:end])
        if at >= last.get(sequence, 0):  # "0 0 0 0 0 0" is not a repetition of itself
            counts[sequence], last[sequence] = counts.get(sequence, 0) + 1, end
    # Share of words that are covered by sequences that occur three times or more.
    covered = bytearray(len(words))
    for at, end in enumerate(ends):
        if counts[tuple(words[at:end])] >= LOOP_TIMES:
            covered[at:end] = b"\1" * (end - at)
    return sum(covered) > LOOP_SHARE * len(words)


def _ends(words: list[str], signs: int) -> list[int]:
    """Yield the end of the sequence that begins with each word, if there is one."""
    begins = [0, *accumulate(map(len, words))]
    ends: list[int] = []
    end = 0
    for at in range(len(words)):
        end = max(end, at + LOOP_WORDS)
        while end <= len(words) and begins[end] - begins[at] < signs:
            end += 1
        if end > len(words):
            break
        ends.append(end)
    return ends
