"""Reject texts in which the model repeats itself."""

from collections import Counter
from collections.abc import Callable
from itertools import accumulate

from self_instruct.records import Record

LINES_IN_A_ROW = 5
SHORT_LINES_IN_A_ROW = 20
SHORT_LINE_WORDS = 3
LOOP_WORDS = 5
LOOP_CHARACTERS = 20
LOOP_SHARE = 0.5
LOOP_TIMES = 3


def drop_loop(tokenizer: Callable[[str], list[str]] | None = None) -> Callable[[Record], str | None]:
    """Reject with `loops` if the task or the output repeats a line many times or consists mostly of repeated word sequences.

    The limits are our own. A line may not occur five times in a row with the same indentation, or twenty times if it has fewer
    than three words, such as brackets and numbers. Sequences of five words that occur at least three times may not make up over
    half of the text. With a `tokenizer`, whose words may be single characters, a sequence must also have at least twenty
    characters, because in a script without spaces any five characters may recur.
    """
    words_of, min_characters = (tokenizer, LOOP_CHARACTERS) if tokenizer else (str.split, 0)

    def loops(text: str) -> bool:
        return _repeats_lines(text, words_of) or _mostly_repeats(words_of(text), min_characters)

    return lambda record: "loops" if loops(record.task) or loops(record.output) else None


def _repeats_lines(text: str, words_of: Callable[[str], list[str]]) -> bool:
    run, previous = 0, ""
    for line in map(str.rstrip, text.splitlines()):
        run = run + 1 if line and line == previous else 1
        previous = line
        if run >= LINES_IN_A_ROW and (run >= SHORT_LINES_IN_A_ROW or len(words_of(line)) >= SHORT_LINE_WORDS):
            return True
    return False


def _mostly_repeats(words: list[str], min_characters: int) -> bool:
    """Return whether repeated sequences of five words, with at least `min_characters`, make up over half of a text."""
    if len(words) < LOOP_TIMES * LOOP_WORDS:
        return False
    # A word of a sequence that occurs three times occurs three times; in most texts few words do. Where a word occurs at
    # least three times, at least two of three are repetitions.
    if (len(words) - len(set(words))) * LOOP_TIMES <= LOOP_SHARE * len(words) * (LOOP_TIMES - 1):
        return False
    if sum(number for number in Counter(words).values() if number >= LOOP_TIMES) <= LOOP_SHARE * len(words):
        return False
    ends = _sequence_ends(words, min_characters)
    counts: dict[tuple[str, ...], int] = {}
    last: dict[tuple[str, ...], int] = {}
    for at, end in enumerate(ends):
        sequence = tuple(words[at:end])
        if at >= last.get(sequence, 0):  # overlapping occurrences do not count: "0 0 0 0 0 0"
            counts[sequence], last[sequence] = counts.get(sequence, 0) + 1, end
    # Mark the words that belong to a sequence that occurs at least three times.
    covered = bytearray(len(words))
    for at, end in enumerate(ends):
        if counts[tuple(words[at:end])] >= LOOP_TIMES:
            covered[at:end] = b"\1" * (end - at)
    return sum(covered) > LOOP_SHARE * len(words)


def _sequence_ends(words: list[str], min_characters: int) -> list[int]:
    """Return, for each first word of a sequence, the index after its last word."""
    begins = [0, *accumulate(map(len, words))]
    ends: list[int] = []
    end = 0
    for at in range(len(words)):
        end = max(end, at + LOOP_WORDS)
        while end <= len(words) and begins[end] - begins[at] < min_characters:
            end += 1
        if end > len(words):
            break
        ends.append(end)
    return ends
