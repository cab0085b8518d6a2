"""The language of an instruction, told by py3langid (a naive Bayes classifier of byte sequences, the same on every machine)."""

import re
from collections.abc import Callable
from typing import Any

from self_instruct.errors import UserError
from self_instruct.records import Record

ODDS = 20.0
"""How many times likelier another language must be. Measured: of 182 English seeds and 18 English tasks of two to five words,
none is above 9.5; of 17 tasks as short in 13 other languages, none is below 27."""

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_ENOUGH = 8
_LONGEST = 4000


def drop_language(wanted: str | None) -> Callable[[Record], str | None]:
    """`wrong_language` with the likelier language when the instruction, without code, is in another than the one `wanted`, a
    code of ISO 639-1 such as "en". Under eight letters cannot be told, and pass. None asks for none.

    Raises `UserError` if py3langid is missing or does not know the language.
    """
    if wanted is None:
        return lambda record: None
    identifier = _identifier(wanted)

    def rule(record: Record) -> str | None:
        text = _CODE.sub(" ", record.instruction)[:_LONGEST]
        if sum(sign.isalpha() for sign in text) < _ENOUGH:
            return None
        odds = {
            name: float(chance) for name, chance in identifier.rank(text.encode("utf-8", "replace").decode("utf-8"))
        }
        likeliest = max(odds, key=lambda name: (odds[name], name == wanted))
        return f"wrong_language: {likeliest}" if odds[likeliest] > ODDS * odds[wanted] else None

    return rule


def _identifier(wanted: str) -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise UserError(
            f"--language {wanted} needs py3langid: pip install 'self-instruct-local[language]', or leave the option out"
        ) from None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = sorted(map(str, identifier.labels))
    if wanted not in known:
        raise UserError(f"--language is {wanted!r}, but must be one of {', '.join(known)}")
    return identifier
