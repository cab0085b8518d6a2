"""Reject instructions in other languages, identified by py3langid (naive Bayes over byte sequences).

The result is the same on every machine.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from self_instruct.errors import UserError, install
from self_instruct.records import Record

ODDS = 20.0
"""How many times likelier another language must be for a rejection.

Measured: at most 9.5 for 182 English seeds and 18 English tasks of two to five words; at least 27 for 17 equally short tasks in
13 other languages."""

_SCRIPTS = {
    "ARABIC": "ar fa ps ug ur", "ARMENIAN": "hy", "BENGALI": "as bn", "CJK": "ja ko zh",
    "CYRILLIC": "be bg kk ky mk mn ru sr uk",
    "DEVANAGARI": "hi mr ne", "ETHIOPIC": "am", "GEORGIAN": "ka", "GREEK": "el", "GUJARATI": "gu", "GURMUKHI": "pa",
    "HANGUL": "ko", "HEBREW": "he", "HIRAGANA": "ja", "KANNADA": "kn", "KATAKANA": "ja", "KHMER": "km", "LAO": "lo",
    "MALAYALAM": "ml", "ORIYA": "or", "SINHALA": "si", "TAMIL": "ta", "TELUGU": "te", "THAI": "th", "TIBETAN": "dz",
}  # fmt: skip
"""Scripts (the first word of the Unicode names of their characters) and the languages that use them.

Latin is omitted, because texts in every language contain names and code in Latin letters."""
_FEW_LETTERS = 24
_SCRIPT_SHARE = 0.8

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_MIN_LETTERS = 8
_MAX_CHARACTERS = 4000


def drop_language(wanted: str | None) -> Callable[[Record], str | None]:
    """Reject with `wrong_language` if the instruction, without code, is in another language; the detail is that language.

    `wanted` is an ISO 639-1 code such as "en"; None accepts every language. If there are few letters, their
    script decides: fewer than eight letters are rejected only if the wanted language does not use their script. Raises
    UserError if py3langid is missing or does not know the language.
    """
    if wanted is None:
        return lambda record: None
    language_of = unwanted_language([wanted], "--language")

    def rule(record: Record) -> str | None:
        language = language_of(record.instruction)
        return f"wrong_language: {language}" if language is not None else None

    return rule


def unwanted_language(
    names: Sequence[str], option: str, *, all_but_these: bool = False
) -> Callable[[str], str | None]:
    """Return a function that returns the language of a text, without its code, if that language is unwanted, else None.

    The wanted languages are `names`, or with `all_but_these` all languages except `names`. A text counts as unwanted if an
    unwanted language is over `ODDS` times likelier than every wanted one. Raises UserError, which names the `option`, if
    py3langid is missing or does not know a language.
    """
    identifier = _identifier(names, option)
    wanted = set(map(str, identifier.labels)) - set(names) if all_but_these else set(names)

    def language_of(text: str) -> str | None:
        text = _CODE.sub(" ", text)[:_MAX_CHARACTERS]
        letters = [character for character in text if character.isalpha()]
        if len(letters) < _MIN_LETTERS:
            return _unwanted_script(letters, wanted)
        odds = {
            name: float(chance) for name, chance in identifier.rank(text.encode("utf-8", "replace").decode("utf-8"))
        }
        best = max(odds[name] for name in wanted)
        likeliest = max(odds, key=lambda name: (odds[name], name in wanted))
        if odds[likeliest] > ODDS * best:
            return likeliest
        return _unwanted_script(letters, wanted) if len(letters) < _FEW_LETTERS else None

    return language_of


def _unwanted_script(letters: Sequence[str], wanted: set[str]) -> str | None:
    """Return the language or script of the letters if no wanted language uses the script of most of them, else None.

    The result is the language that uses the unwanted scripts, or the most frequent script if several languages use them.
    """
    scripts = Counter(unicodedata.name(character, "").partition(" ")[0].partition("-")[0] for character in letters)
    unwanted = {
        script: n for script, n in scripts.items() if script in _SCRIPTS and not wanted & set(_SCRIPTS[script].split())
    }
    if not unwanted or sum(unwanted.values()) < _SCRIPT_SHARE * len(letters):
        return None
    languages = set.intersection(*(set(_SCRIPTS[script].split()) for script in unwanted))
    return (
        languages.pop()
        if len(languages) == 1
        else max(unwanted, key=lambda script: (unwanted[script], script)).lower()
    )


def _identifier(names: Sequence[str], option: str) -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UserError(
            f"{option} {' '.join(names)} needs py3langid: {install('language')}, or leave the option out"
        ) from None
    identifier = _loaded(LanguageIdentifier, MODEL_FILE)
    known = sorted(map(str, identifier.labels))
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise UserError(f"{option} is {unknown!r}, but must be one of {', '.join(known)}")
    return identifier


@cache
def _loaded(kind: Any, file: Any) -> Any:
    """Return the identifier, which takes 0.5 s to load and which no use changes."""
    return kind.from_model_file(file, norm_probs=True)
