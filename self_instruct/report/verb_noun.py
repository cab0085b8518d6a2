"""The imperative verb of an instruction and its first object, as "write" and "function": by rules, without a parser.

The verb is the first word of a clause, after such beginnings as "please" or "how would you", and stands in english.json. The
object is the last word of the noun phrase that follows, in the singular. What both cannot be told from is None. English only;
docs/report.md says how often they are right. Knows nothing of figures.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_LONGEST = 2000  # characters that are looked at: what a task asks for stands in its beginning
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n+")
_WORD = re.compile(r"[^\W_](?:[\w+#%&]|[-'.](?=\w))*|[,.;:!?()]|[\"'`“‘](?=\w)")
_QUOTES = frozenset("\"'`“‘")
_POLITE = (
    r"please", r"kindly", r"hey|hi|hello|ok|okay|so|now|then|first|next|finally|also|and|but",
    r"just|quickly|briefly|politely|simply", r"(?:can|could|would|will|may|might|should) (?:you|we|i|one)",
    r"how (?:can|could|would|do|does|should|might|will) (?:you|we|i|one|someone)", r"how to",
    r"(?:i|we)(?:'d| really| would|'m)*(?: need| want| wish| have| like| trying)(?: for)?(?: you)? to",
    r"(?:you|your task is|the goal is|your job is) to", r"you (?:are to|should|must|need to|have to)",
    r"(?:be able|try|go ahead and|help me|help us|let's|let us)(?: to)?", r"(?:do|would) you mind",
    r"(?:is it possible|what(?: i|')s the best way|what is a way|is there a way)(?: for (?:you|me))? to",
)  # fmt: skip
_BEGINNING = re.compile(rf"(?:{'|'.join(_POLITE)})\b[\s,]*")
# A condition or a place before the clause: "In Python, ...", "Given a list of numbers, ...", "Using recursion, ...".
_ASIDE = re.compile(
    r"(?:in|using|with|given|for|from|based|on|by|as|if|when|without|after|before|at|considering|suppose|imagine)\b"
    r"[^,]{0,160},\s*"
)
_PLURAL_AS_IS = ("ss", "us", "is", "ics")


class _English(NamedTuple):
    """Lists of words. `after` end a noun phrase, as do `postposed` behind a noun; `headless` are no nouns of their own."""

    verbs: frozenset[str]
    finite: frozenset[str]
    pronouns: frozenset[str]
    after: frozenset[str]
    particles: frozenset[str]
    recipients: frozenset[str]
    phrasal: list[list[str]]
    headless: frozenset[str]
    postposed: frozenset[str]
    not_adverbs: frozenset[str]
    as_they_are: frozenset[str]
    singular: dict[str, str]


@cache
def _english() -> _English:
    content = json.loads((files("self_instruct.report") / "english.json").read_text(encoding="utf-8"))
    phrasal, singular = [phrase.split() for phrase in content.pop("phrasal")], content.pop("singular")
    words = {name: frozenset(" ".join(lines).split()) for name, lines in content.items()}
    return _English(phrasal=phrasal, singular=singular, **words)


class VerbNoun(NamedTuple):
    """What an instruction asks to do, and to what; both in their plain form, either may be None."""

    verb: str | None
    noun: str | None


def verb_noun(instruction: str) -> VerbNoun:
    """The first imperative of a text and its object; a verb that has an object goes before one that has none."""
    bare = VerbNoun(None, None)
    for sentence in _SENTENCE.split(instruction[:_LONGEST].lower().replace("’", "'")):
        found = _of_clause(_clause(sentence))
        if found.noun:
            return found
        bare = bare if bare.verb else found
    return bare


def _clause(sentence: str) -> list[str]:
    """The words and signs of a sentence from where its clause begins."""
    text = sentence.lstrip(" \t\"'`*#->(0123456789.)")
    while True:
        rest = text
        for beginning in (_ASIDE, _BEGINNING):
            if match := beginning.match(rest):
                rest = rest[match.end() :]
        if rest == text:
            return _WORD.findall(text)
        text = rest


def _of_clause(words: Sequence[str]) -> VerbNoun:
    english = _english()
    refuted = words[1:2] and words[1] in (english.finite - {"have", "do"} | english.pronouns)
    if not words or words[0] not in english.verbs or refuted:
        return VerbNoun(None, None)
    verb, at = words[0], 1
    # "calculate and return the sum": the first verb has the object of both.
    while at + 1 < len(words) and words[at] in ("and", "or", ",", "then") and words[at + 1] in english.verbs:
        at += 2
    at = _phrase_begins(words, at)
    return VerbNoun(verb, _object(words, at + (words[at : at + 1] == ["that"])))


def _phrase_begins(words: Sequence[str], at: int) -> int:
    """Where the object begins: after the particle of a phrasal verb, whom it is done for, and an aside in commas."""
    english = _english()
    for phrase in english.phrasal:
        if list(words[at - 1 : at - 1 + len(phrase)]) == phrase:
            at += len(phrase) - 1
    if at + 1 < len(words) and words[at] in english.particles and words[at + 1] not in ("of", "which", "what"):
        at += 1
    if at < len(words) and words[at] in english.recipients:
        at += 1
    if at < len(words) and words[at] == ",":
        closed = next((place for place in range(at + 1, min(at + 8, len(words))) if words[place] == ","), at)
        at = closed + 1
    return at


def _object(words: Sequence[str], at: int) -> str | None:
    english, phrase = _english(), list[str]()
    for place in range(at, len(words)):
        word = words[place]
        headed = any(_may_head(other) for other in phrase)
        if word in _QUOTES and not headed:
            continue  # the 'employees' table, but not: a class 'Person'
        if (
            word in english.after
            or word in english.finite
            or not word[0].isalnum()
            or (word in english.postposed and headed)
        ):
            break
        phrase.append(word.removesuffix("'s") if place + 1 == len(words) else word)
    heads = [word for word in phrase if _may_head(word)]
    return _singular(heads[-1]) if heads else None


def _may_head(word: str) -> bool:
    if word in _english().headless | _english().postposed or not word[0].isalpha() or word.endswith("'s"):
        return False
    return not word.endswith("ly") or word in _english().not_adverbs


def _singular(noun: str) -> str:
    english = _english()
    if noun in english.singular:
        return english.singular[noun]
    if len(noun) < 4 or noun in english.as_they_are or noun.endswith(_PLURAL_AS_IS) or not noun.endswith("s"):
        return noun
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    if noun.endswith(("sses", "xes", "ches", "shes", "zzes")):
        return noun[:-2]
    return noun[:-1]
