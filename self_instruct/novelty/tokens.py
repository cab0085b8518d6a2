"""The two tokenizers of ROUGE-L, `rouge` and `unicode`.

`rouge` is the tokenizer of `rouge_score` without stemming: lower case, and only runs of a-z and 0-9, so a text in Chinese,
Greek or Arabic has no words except its numbers. `unicode` finds words of any script, and agrees with `rouge` on ASCII text.
"""

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache

from rouge_score.tokenize import NON_ALPHANUM_RE

Tokenizer = Callable[[str], list[str]]

# Scripts that write no spaces between words, as ranges of a character class: a token is one character and its marks.
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Tibetan, Myanmar, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # iteration marks, kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)


_OPENING = 200  # characters that are read for the opening of a text
_ASCII_WORD = re.compile("[A-Za-z0-9]")  # words for both tokenizers
_SPACED = bytes(ord(" ") if NON_ALPHANUM_RE.match(chr(sign)) else sign for sign in range(256))


def rouge_tokens(text: str) -> list[str]:
    """Return the tokens of `rouge_score`, without stemming. A table of the bytes that its pattern replaces is several times as
    fast as the pattern.
    """
    return text.lower().encode("ascii", "replace").translate(_SPACED).decode("ascii").split()


def unicode_tokens(text: str) -> list[str]:
    """Return lower-case words of any script, composed (NFC), with their marks; single characters in scripts without spaces."""
    if text.isascii():
        return rouge_tokens(text)
    return _pattern().findall(unicodedata.normalize("NFC", text.lower()))


def opening(text: str) -> tuple[str, ...]:
    """Return the first two words of a text, in lower case."""
    return tuple(unicode_tokens(text[:_OPENING])[:2])


TOKENIZERS: dict[str, Tokenizer] = {"rouge": rouge_tokens, "unicode": unicode_tokens}


def without_tokens(texts: Iterable[str], name: str) -> int:
    """Return how many texts have words, but none that the tokenizer of that name finds: to ROUGE-L each of them is new."""
    tokens = TOKENIZERS[name]
    return sum(not _ASCII_WORD.search(text) and not tokens(text) and bool(unicode_tokens(text)) for text in texts)


def untokenized_warning(number: int, total: int) -> str:
    """Return the warning about texts `without_tokens`."""
    return (
        f"{number:,} of {total:,} texts have no word that ROUGE-L compares (--rouge_tokenizer rouge finds only a-z and 0-9), "
        "so none of them is ever too similar to another; use --rouge_tokenizer unicode"
    )


@cache
def _pattern() -> re.Pattern[str]:
    marks = _ranges([point for point in range(sys.maxunicode + 1) if unicodedata.category(chr(point))[0] == "M"])
    # Thai and Tibetan vowels are marks too: they belong to the character before them.
    return re.compile(
        rf"(?![{marks}])[{_UNSPACED}](?<=\w)[{marks}]*|[^\W_{_UNSPACED}](?:[^\W_{_UNSPACED}]|[{marks}])*"
    )


def _ranges(points: list[int]) -> str:
    """Return ascending code points as the inside of a character class."""
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
