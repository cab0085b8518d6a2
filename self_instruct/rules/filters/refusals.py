"""Outputs in which a chat model speaks of itself, apologises or refuses, found by the phrases of airoboros.

Phrases also match inside longer words, so "was an aid" counts as "as an ai". This suits the chat models from whose refusals the
phrases were collected, but is too strict for code or for a base model.
"""

import re

from self_instruct.records import Record

_OF_ITSELF = [
    "my programming", "openai", "language model", "large language", "my limitations", "the limitations of my", "my abilities",
    "violates my", "illegal and dangerous", "please note that", "flesch",
]  # fmt: skip
_WHAT_IT_IS = r"as an? (?:ai|generative language|gpt|bot)"
_WHAT_IT_HAS = (
    r"i do(?:n't| not) (?:possess|have|exhibit) (?:personal|consciousness|subjective)"
    r"|personal (?:feelings|thoughts|emotions|desires|experiences|goals|objective|belief)"
)
_CANNOT = r"can(?:'t| ?not)"
_WHAT_IT_CANNOT = (
    rf"(?:{_CANNOT}|won't|unable.?) (?:\w+\s){{1,50}}(?:with (?:that|your)|your \w+|provide)"
    rf"|i (?:{_CANNOT}|won't|am (?:not |un)able.?).{{0,30}}(?:you are|you're|your )"
)
_TELLING = re.compile(
    "|".join([*map(re.escape, _OF_ITSELF), _WHAT_IT_IS, _WHAT_IT_HAS, _WHAT_IT_CANNOT]), re.IGNORECASE
)
_APOLOGIES = ("I'm sorry,", "Apologies,", "I can't", "I won't")
_FROM = 2


def drop_refusal(record: Record) -> str | None:
    """Reject with `refusal` and the phrase found.

    As in airoboros, phrases that begin in the first two characters of the output do not count: its code passes a flag where a
    position is expected, and its published data were filtered that way.
    """
    found = _TELLING.search(record.output, _FROM)
    begins = next((words for words in _APOLOGIES if record.output.startswith(words)), None)
    telling = found.group() if found else begins
    return f"refusal: {telling}" if telling else None
