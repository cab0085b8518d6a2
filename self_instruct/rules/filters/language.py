"""The language of an instruction, identified by py3langid (naive Bayes over byte sequences, the same on every machine)."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from self_instruct.errors import UserError, install
from self_instruct.records import Record

ODDS = 20.0
"""How many times likelier another language must be. Measured: of 182 English seeds and 18 English tasks of two to five words,
none is above 9.5; of 17 tasks as short in 13 other languages, none is below 27."""

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_ENOUGH = 8
_LONGEST = 4000


def drop_language(wanted: str | None) -> Callable[[Record], str | None]:
    """Reject with `wrong_language` and the likelier language if the instruction, without code, is not in the language `wanted`,
    an ISO 639-1 code such as "en". Fewer than eight letters cannot be identified, and pass; so does everything if it is None.

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
        if sum(sign.isalpha() for sign in text) < _ENOUGH:
            return None
        odds = {
            name: float(chance) for name, chance in identifier.rank(text.encode("utf-8", "replace").decode("utf-8"))
        }
        best = max(odds[name] for name in wanted)
        likeliest = max(odds, key=lambda name: (odds[name], name in wanted))
        return likeliest if odds[likeliest] > ODDS * best else None

    return language_of


def _identifier(names: Sequence[str], option: str) -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UserError(
            f"{option} {' '.join(names)} needs py3langid: {install('language')}, or leave the option out"
        ) from None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = sorted(map(str, identifier.labels))
    strange = next((name for name in names if name not in known), None)
    if strange is not None:
        raise UserError(f"{option} is {strange!r}, but must be one of {', '.join(known)}")
    return identifier
