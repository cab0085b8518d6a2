"""Find the constraints that a task states on the letters and form of its answer: "starts with 'B'", "a five-letter word".

Only the usual English phrasings are recognised; other constraints are not checked.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from self_instruct.rules.validators.answers import bare, stated_answer, words

NUMBERS = {word: at for at, word in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty".split())}  # fmt: skip
COUNT = rf"(?P<count>\d{{1,5}}|{'|'.join(NUMBERS)})"
_QUOTED = r"[\"“”'‘’`](?P<text>[^\"“”'‘’`\n]{1,40})[\"“”'‘’`](?!\w)"
_KIND = r"(?:an?\s+|the\s+)?(?:(?P<kind>letters?|words?|phrases?|prefix|suffix|syllables?|characters?|substring|string)\s+)?"
_PLACED = rf"{_KIND}(?:{_QUOTED}|(?<=letter )(?P<letter>[A-Za-z])\b)"
_NOT = r"(?P<not>(?:not|n't|n’t|never|without|no)\s+(?:\w+\s+)?)?"
_ARTICLES = re.compile(r"^(?:the|an?)\s+", re.IGNORECASE)
_MAX_ITEM_WORDS = 8
_MAX_CONSTRAINTS = 20


@dataclass(frozen=True)
class Constraint:
    """A constraint on an answer.

    `name` is the drop reason, `stated` describes the constraint in messages, and `holds` tests one text. With `each_word`,
    every word of the answer is tested.
    """

    name: str
    stated: str
    holds: Callable[[str], bool]
    each_word: bool = False

    def drop_reason(self, output: str) -> str | None:
        """Return why an output violates the constraint, or None.

        If the answer is a list, every item must satisfy it. If it is a sentence, one of its words is enough.
        """
        answer = stated_answer(output)
        items = words(answer) if self.each_word else [answer] if self.name in _WHOLE_ANSWER else _items(answer)
        if len(items) == 1 and len(items[0].split()) > _MAX_ITEM_WORDS and self.name not in _WHOLE_ANSWER:
            items = [item for item in items if not any(map(self.holds, words(item)))]
        wrong = next((item for item in items if not self._item_holds(item)), None)
        return None if wrong is None else self._reason(wrong)

    def _item_holds(self, item: str) -> bool:
        if self.name in _WHOLE_ANSWER:
            return self.holds(item)
        forms = (item, bare(item), _ARTICLES.sub("", bare(item)), bare(re.sub(r"\([^()]*\)", "", item)))
        return any(map(self.holds, forms))

    def _reason(self, found: str) -> str:
        return f"{self.name}: {self.stated}, not {' '.join(found.split())[:80]!r}"


_WHOLE_ANSWER = ("avoids", "word_count", "acrostic", "contains")


def stated_constraints(task: str) -> list[Constraint]:
    """Return the first twenty different constraints that are recognised in a task."""
    found = {(item.name, item.stated, item.each_word): item for read in _READERS for item in read(task)}
    return list(found.values())[:_MAX_CONSTRAINTS]


def _placed_text(task: str) -> Iterator[Constraint]:
    """Yield constraints such as "starts with 'x'", "ends with 'x'", "contains 'x'", and their negations."""
    verbs = {
        "starts_with": r"(?:start|begin|commenc)(?:s|ing|ning|es|e)?\s+with",
        "ends_with": r"(?:end|finish|terminat)(?:s|ing|es|e)?\s+(?:with|in)",
        "contains": r"(?:contain(?:s|ing)?|includ(?:es?|ing)|featur(?:es?|ing)|us(?:es?|ing)|ha(?:s|ve|ving))",
    }
    for name, verb in verbs.items():
        for found in re.finditer(rf"{_NOT}\b{verb}\s+{_PLACED}", task, re.IGNORECASE):
            text = (found["text"] or found["letter"]).casefold().strip()
            if not text or (name == "contains" and found["not"] is None and found["kind"] is None):
                # "using 'x'" and "has 'x'" are often not about letters.
                if not text or not re.match(rf"{_NOT}\bcontain", found.group(), re.IGNORECASE):
                    continue
            holds = _holds(
                name, text.strip("-…").strip(), (found["kind"] or "").lower().startswith(("word", "phrase"))
            )
            stated = f"{name.replace('_', ' ')} {text!r}"
            if found["not"]:
                yield Constraint(
                    "avoids" if name == "contains" else name,
                    f"not {stated}",
                    _negated(holds),
                    _for_each_word(task, found),
                )
            else:
                yield Constraint(name, stated, holds, _for_each_word(task, found))


def _holds(name: str, text: str, whole_words: bool) -> Callable[[str], bool]:
    if name == "starts_with":
        return lambda answer: answer.casefold().strip("\"'“‘*_ ").startswith(text)
    if name == "ends_with":
        return lambda answer: answer.casefold().rstrip("\"'”’*_ .!?").endswith(text.rstrip(".!?") or text)
    if whole_words:
        return lambda answer: re.search(rf"(?<!\w){re.escape(text)}(?!\w)", answer.casefold()) is not None
    return lambda answer: text in answer.casefold()


def _negated(holds: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda answer: not holds(answer)


def _for_each_word(task: str, found: re.Match[str]) -> bool:
    """Return whether the task states the constraint for each word."""
    before = task[max(0, found.start() - 60) : found.start()].rpartition(".")[2]
    return (
        re.search(r"\b(?:each|every|all)\s+(?:of\s+)?(?:the\s+|its\s+)?(?:\w+\s+)?words?\b", before, re.I) is not None
    )


def _sizes(task: str) -> Iterator[Constraint]:
    """Yield constraints such as "a five-letter word", "a word of 5 letters" and "exactly ten words"."""
    for found in re.finditer(
        rf"\b{COUNT}[- ]letter\s+(?:\w+\s+)?(?:word|name|noun|verb|adjective|answer|animal|fruit|country|city|colou?r)"
        rf"|\bword\s+(?:of|with)\s+(?:exactly\s+)?{COUNT.replace('count', 'other')}\s+letters",
        task,
        re.IGNORECASE,
    ):
        size = number(found["count"] or found["other"])
        yield Constraint("letters", f"{size} letters", lambda answer, size=size: _letters(answer) == size)  # type: ignore[misc]
    for found in re.finditer(rf"\b(?:exactly|only|just)\s+{COUNT}\s+words\b(?!\s+that)", task, re.IGNORECASE):
        size = number(found["count"])
        yield Constraint("word_count", f"{size} words", lambda answer, size=size: len(answer.split()) == size)  # type: ignore[misc]


def _arrangements(task: str) -> Iterator[Constraint]:
    """Yield constraints for anagrams, palindromes and acrostics."""
    for found in re.finditer(
        rf"\b(?:anagram|rearrang\w+|unscrambl\w+|scrambled)\b[^.?!\n]{{0,40}}?{_QUOTED}", task, re.I
    ):
        letters, given = Counter(_alphanumerics(found["text"])), bare(found["text"])
        yield Constraint(
            "anagram", f"the letters of {found['text']!r}",
            lambda answer, letters=letters, given=given: Counter(_alphanumerics(answer)) == letters and bare(answer) != given,  # type: ignore[misc]
        )  # fmt: skip
    if re.search(
        r"\b(?:give|name|write|find|create|think of|provide|come up with)\b[^.?!\n]{0,40}\bpalindrom",
        task,
        re.I,
    ):
        yield Constraint(
            "palindrome", "a palindrome", lambda answer: _alphanumerics(answer) == _alphanumerics(answer)[::-1] != ""
        )
    for found in re.finditer(rf"\bacrostic\b[^.?!\n]{{0,60}}?{_QUOTED}", task, re.IGNORECASE):
        wanted = "".join(_alphanumerics(found["text"]))
        yield Constraint("acrostic", f"lines that begin with the letters of {found['text']!r}",
                         lambda answer, wanted=wanted: _initials(answer) == wanted)  # type: ignore[misc]  # fmt: skip


_READERS = (_placed_text, _sizes, _arrangements)


def number(text: str) -> int:
    """Return the value of a number, written in digits or as a word up to twenty."""
    # A pattern that ignores case also matches Turkish letters and the long s: "fıve", "ſix".
    plain = text.upper().lower().replace("\u0307", "")
    return int(text) if text.isdigit() else NUMBERS[plain]


def _items(answer: str) -> list[str]:
    """Return the items of an answer: list items, or comma-separated parts if all are short, or the whole answer."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    marked = [found[1] for line in lines if (found := re.match(r"(?:[-*•]|\d{1,3}[.)])\s+(.+)", line))]
    if marked:
        return [re.split(r"(?<!\s)\s+[-–—]\s+|:\s", item)[0] for item in marked]
    parts = [part.strip() for part in re.split(r",\s+(?:and\s+|or\s+)?|;\s+|\n", answer.strip()) if part.strip()]
    short = len(parts) > 1 and all(len(part.split()) <= 4 for part in parts)
    return parts if short else [answer]


def _letters(answer: str) -> int:
    return len(_alphanumerics(answer))


def _alphanumerics(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _initials(answer: str) -> str:
    return "".join(characters[0] for line in answer.splitlines() if (characters := _alphanumerics(line)))
