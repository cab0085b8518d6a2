"""The language of an instruction, identified by py3langid (naive Bayes over byte sequences, the same on every machine)."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from self_instruct.errors import UserError, install
from self_instruct.records import Record

ODDS = 20.0
"""How many times likelier another language must be. Measured: of 182 English seeds and 18 English tasks of two to five words,
none is above 9.5; of 17 tasks as short in 13 other languages, none is below 27."""

_SCRIPTS = {
    "ARABIC": "ar fa ps ug ur", "ARMENIAN": "hy", "BENGALI": "as bn", "CJK": "ja ko zh",
    "CYRILLIC": "be bg kk ky mk mn ru sr uk",
    "DEVANAGARI": "hi mr ne", "ETHIOPIC": "am", "GEORGIAN": "ka", "GREEK": "el", "GUJARATI": "gu", "GURMUKHI": "pa",
    "HANGUL": "ko", "HEBREW": "he", "HIRAGANA": "ja", "KANNADA": "kn", "KATAKANA": "ja", "KHMER": "km", "LAO": "lo",
    "MALAYALAM": "ml", "ORIYA": "or", "SINHALA": "si", "TAMIL": "ta", "TELUGU": "te", "THAI": "th", "TIBETAN": "dz",
}  # fmt: skip
"""Scripts, by the first word of their characters' names, with the languages that use them. Latin is left out: texts in any
language hold names and code in it."""
_FEW = 24
_SHARE = 0.8

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_ENOUGH = 8
_LONGEST = 4000


def drop_language(wanted: str | None) -> Callable[[Record], str | None]:
    """Reject with `wrong_language` and the likelier language if the instruction, without code, is not in the language `wanted`,
    an ISO 639-1 code such as "en". Where letters are few, their script decides; fewer than eight in a script that the language
    uses cannot be identified, and pass. So does everything if it is None.

    Raises UserError if py3langid is missing or does not know the language.
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
    """Return a function that gives the language of a text, without code, if it is unwanted, else None.

    The wanted languages are `names`, or all others with `all_but_these`. An unwanted language must be `ODDS` times likelier
    than every wanted one. Raises UserError, which names the option, if py3langid is missing or does not know a language.
    """
    identifier = _identifier(names, option)
    wanted = set(map(str, identifier.labels)) - set(names) if all_but_these else set(names)

    def language_of(text: str) -> str | None:
        text = _CODE.sub(" ", text)[:_LONGEST]
        letters = [sign for sign in text if sign.isalpha()]
        if len(letters) < _ENOUGH:
            return _strange_script(letters, wanted)
        odds = {
            name: float(chance) for name, chance in identifier.rank(text.encode("utf-8", "replace").decode("utf-8"))
        }
        best = max(odds[name] for name in wanted)
        likeliest = max(odds, key=lambda name: (odds[name], name in wanted))
        if odds[likeliest] > ODDS * best:
            return likeliest
        return _strange_script(letters, wanted) if len(letters) < _FEW else None

    return language_of


def _strange_script(letters: Sequence[str], wanted: set[str]) -> str | None:
    """Return the language of the letters by their scripts, or the commonest script's name if several use them; None unless
    most letters are of scripts that no wanted language uses.
    """
    scripts = Counter(unicodedata.name(sign, "").partition(" ")[0].partition("-")[0] for sign in letters)
    strange = {
        script: n for script, n in scripts.items() if script in _SCRIPTS and not wanted & set(_SCRIPTS[script].split())
    }
    if not strange or sum(strange.values()) < _SHARE * len(letters):
        return None
    languages = set.intersection(*(set(_SCRIPTS[script].split()) for script in strange))
    return (
        languages.pop() if len(languages) == 1 else max(strange, key=lambda script: (strange[script], script)).lower()
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
    strange = next((name for name in names if name not in known), None)
    if strange is not None:
        raise UserError(f"{option} is {strange!r}, but must be one of {', '.join(known)}")
    return identifier


@cache
def _loaded(kind: Any, file: Any) -> Any:
    """Return the identifier, which takes 0.5 s to load and which no use changes."""
    return kind.from_model_file(file, norm_probs=True)
