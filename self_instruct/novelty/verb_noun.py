"""Extract the imperative verb of an instruction and its object, such as "write" and "function", by rules without a parser.

The verb is the first word of a clause, after openings such as "please" or "how would you", and must be in english.json.
The object is the last noun of the noun phrase that follows, in the singular. Where the rules are unsure, the result is
None: a missing pair changes a figure less than a wrong one. English only; docs/report.md states precision and recall.
"""

import itertools
import json
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_LONGEST = 2000  # characters read; the request is near the beginning of a task
_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n+")
_CODE = re.compile(r"^(?:  +|\t+)(?![-*\d\s]).*$", re.MULTILINE)  # an indented line that is not a list item
_CALL = re.compile(r"\b\w+\((?!e?s\))[^()]{0,120}\)")  # slugify(title), but not: the name(s)
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
_IDENTIFIER = "_"  # marks names in code, which are never the object
_WORD = re.compile(r"[^\W_](?:[\w+#%&]|[-'.](?=\w))*|[,.;:!?()]|[\"'`“‘](?=\w)")
_QUOTES = frozenset("\"'`“‘")
_POLITE = (
    r"please", r"kindly", r"hey|hi|hello|ok|okay|so|now|then|first|next|finally|also|and|but",
    r"just|quickly|briefly|politely|simply", r"(?:can|could|would|will|may|might|should) (?:you|we|i|one)",
    r"how (?:can|could|would|do|does|should|might|will) (?:you|we|i|one|someone)", r"how to",
    r"(?:i|we)(?:'d| really| would|'m)*(?: need| want| wish| have| like| trying)(?: for)?(?: you)? to",
    r"(?:i|we) (?:wanna|gotta)",
    r"(?:you|your task is|the goal is|your job is) to", r"you (?:are to|should|must|need to|have to)",
    r"(?:be able|try|go ahead and|help me|help us|let's|let us)(?: to)?", r"(?:do|would) you mind",
    r"(?:is it possible|what(?: i|')s the best way|what is a way|is there a way)(?: for (?:you|me))? to",
)  # fmt: skip
_BEGINNING = re.compile(rf"(?:{'|'.join(_POLITE)})\b[\s,]*")
# A condition or a context before the clause: "In Python, ...", "Given a list of numbers, ...", "Using recursion, ...".
_ASIDE = re.compile(
    r"(?:in|using|with|given|for|from|based|on|by|as|if|when|without|after|before|at|considering|suppose|imagine)\b"
    r"[^,]{0,160},\s*"
)
_PLURAL_AS_IS = ("ss", "us", "is", "ics")


class _English(NamedTuple):
    """Lists of words.

    `after` ends a noun phrase; `postposed`, and `participles` before a preposition, end it behind a noun. `headless`
    words are never the object. `premises` set a scene for the request of a later sentence, and `constraints` add a
    condition to the request of an earlier one. `beliefs` may be followed by a clause without "that"; `subordinators`
    begin a subordinate clause.
    """

    verbs: frozenset[str]
    finite: frozenset[str]
    pronouns: frozenset[str]
    after: frozenset[str]
    particles: frozenset[str]
    recipients: frozenset[str]
    phrasal: list[list[str]]
    headless: frozenset[str]
    postposed: frozenset[str]
    participles: frozenset[str]
    not_participles: frozenset[str]
    not_adverbs: frozenset[str]
    determiners: frozenset[str]
    premises: frozenset[str]
    constraints: frozenset[str]
    beliefs: frozenset[str]
    subordinators: frozenset[str]
    as_they_are: frozenset[str]
    singular: dict[str, str]


@cache
def _english() -> _English:
    content = json.loads((files("self_instruct.novelty") / "english.json").read_text(encoding="utf-8"))
    phrasal, singular = [phrase.split() for phrase in content.pop("phrasal")], content.pop("singular")
    words = {name: frozenset(" ".join(lines).split()) for name, lines in content.items()}
    return _English(phrasal=phrasal, singular=singular, **words)


class VerbNoun(NamedTuple):
    """The verb of a request and its object, both in their base form; either may be None."""

    verb: str | None
    noun: str | None


_NOTHING = VerbNoun(None, None)


def verb_noun(instruction: str) -> VerbNoun:
    """Return the first imperative of a text and its object; a verb with an object takes precedence over one without."""
    english, bare = _english(), _NOTHING
    sentences = [sentence for sentence in _SENTENCE.split(_marked(instruction[:_LONGEST])) if sentence.strip()]
    for place, sentence in enumerate(sentences):
        found = _of_clause(_clause(sentence))
        context = (place > 0 and found.verb in english.constraints) or (
            place + 1 < len(sentences) and found.verb in english.premises
        )
        if context:
            continue
        if found.noun:
            return found
        bare = bare if bare.verb else found
    return bare


def _marked(text: str) -> str:
    """Return the text in lower case, without indented code, and with `_IDENTIFIER` in calls and words in camel case."""
    named = _CAMEL_CASE.sub(_IDENTIFIER, _CODE.sub("", text.replace("’", "'")))
    return _CALL.sub(f"x{_IDENTIFIER}", named).lower()


def _clause(sentence: str) -> list[str]:
    """Return the words and punctuation of a sentence without its opening."""
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
    if not words or words[0] not in english.verbs or _is_statement(words):
        return _NOTHING
    if words[0] == "let":
        # "Let `mean` compute the average": the request is the second verb.
        second = next((at for at, word in enumerate(words[1:12], 1) if word in english.verbs), None)
        follows = second is not None and (second == 1 or words[second - 1] not in english.determiners)
        return _of_clause(words[second:]) if second is not None and follows else VerbNoun("let", None)
    verb, at = words[0], 1
    # "calculate and return the sum": the first verb has the object of both.
    while at + 1 < len(words) and words[at] in ("and", "or", ",", "then") and words[at + 1] in english.verbs:
        at += 2
    at = _phrase_begins(words, at)
    return VerbNoun(verb, _object(words, at + (words[at : at + 1] == ["that"])))


def _is_statement(words: Sequence[str]) -> bool:
    """Return whether a clause that begins with a possible verb is a statement, a prohibition or a list item instead."""
    english, second = _english(), words[1] if len(words) > 1 else ""
    if second in (english.finite - {"have", "do"} | english.pronouns) or second in ("not", "never"):
        return True
    if words[0] in english.beliefs or second in english.determiners or second in english.after:
        return False
    # "log lines have a format": a finite verb in the main clause.
    main = itertools.takewhile(lambda word: word not in english.subordinators and word not in ",;.!?:(", words[1:])
    return any(word in english.finite for word in itertools.islice(main, 1, 9))


def _phrase_begins(words: Sequence[str], at: int) -> int:
    """Return where the object begins: after a particle, a recipient such as "me", and an aside between commas."""
    english = _english()
    for phrase in english.phrasal:
        if list(words[at - 1 : at - 1 + len(phrase)]) == phrase:
            at += len(phrase) - 1
    if at + 1 < len(words) and words[at] in english.particles and words[at + 1] not in ("of", "which", "what"):
        at += 1
    if at < len(words) and words[at] in english.recipients:
        at += 1
    if at + 1 < len(words) and words[at] == "," and (words[at + 1] in english.after or words[at + 1].endswith("ly")):
        closed = next((place for place in range(at + 1, min(at + 8, len(words))) if words[place] == ","), at)
        at = closed + 1
    return at


def _object(words: Sequence[str], at: int) -> str | None:
    """Return the last noun of the noun phrase that begins at `at`, or None."""
    english, phrase, head = _english(), list[str](), None
    for place in range(at, len(words)):
        word, following = words[place], words[place + 1] if place + 1 < len(words) else ""
        if head is None and phrase and word in ("of", ","):
            continue  # "the second of the books", "a quiet, calm place", "`mean`, a function"
        if word in _QUOTES and head is None:
            continue  # the 'employees' table, but not: a class 'Person'
        if word in english.after or word in english.finite or not word[0].isalnum():
            break
        if head is not None and (word == "not" or word in english.postposed or _is_participle(word, following)):
            break
        last = word.removesuffix("'s") if not following else word
        phrase.append(last)
        if _may_head(last):
            head = last
    return _singular(head) if head is not None else None


def _is_participle(word: str, following: str) -> bool:
    """Return whether a word after a noun is the verb of a shortened clause: "a function *counting* the words"."""
    english = _english()
    if word.endswith("ing"):
        return following in english.determiners | _QUOTES or (
            word in english.participles and following in english.after
        )
    past = word in english.participles or (word.endswith("ed") and word not in english.not_participles)
    return past and (following == "" or following in english.after or not following[0].isalnum())


def _may_head(word: str) -> bool:
    english = _english()
    if (
        word in english.headless | english.postposed
        or not word[0].isalpha()
        or word.endswith("'s")
        or _IDENTIFIER in word
    ):
        return False
    if word.endswith("ed"):
        return word in english.not_participles
    return word not in english.participles and (not word.endswith("ly") or word in english.not_adverbs)


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
