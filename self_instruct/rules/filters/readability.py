"""Reject outputs whose English prose is hard to read.

The measure is the Flesch reading ease: 100 is very easy, below 30 is very hard.
"""

import re
from collections.abc import Callable

from self_instruct.records import Record

_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_FEWEST_WORDS = 20


def drop_unreadable(minimum: float | None) -> Callable[[Record], str | None]:
    """Reject with `hard_to_read` if the reading ease of the output's prose is below the minimum; None accepts all.

    Outputs with fewer than 20 words of prose pass.
    """

    def rule(record: Record) -> str | None:
        ease = reading_ease(record.output) if minimum is not None else None
        return f"hard_to_read: {ease:.1f}" if ease is not None and minimum is not None and ease < minimum else None

    return rule


def reading_ease(text: str) -> float | None:
    """Return 206.835 - 1.015 words/sentences - 84.6 syllables/words (flesch1948new) of a text without its code.

    Return None if there are fewer than 20 words.
    """
    prose = _CODE.sub("\n", text)
    words = re.findall(r"[A-Za-z]+(?:['’][A-Za-z]+)?", prose)
    if len(words) < _FEWEST_WORDS:
        return None
    sentences = sum(re.search("[A-Za-z]", part) is not None for part in re.split(r"[.!?\n]", prose))
    return 206.835 - 1.015 * len(words) / sentences - 84.6 * sum(map(_syllables, words)) / len(words)


def _syllables(word: str) -> int:
    """Count the groups of vowels in a word, except a silent e at its end."""
    lower = word.lower()
    groups = len(re.findall(r"[aeiouy]+", lower))
    silent = re.search(r"[^aeiouyl]e$|[aeiouy]le$|[^aeiouyscxzgh]es$|[^aeiouytd]ed$", lower) is not None
    return max(1, groups - (silent and groups > 1))
