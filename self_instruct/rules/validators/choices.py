"""Check multiple-choice questions: distinct options, an answer that is one of them, and balanced letters."""

import re
from collections import Counter
from dataclasses import dataclass

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, occurs_in, stated_answer
from self_instruct.rules.validators.contract import Validator, Variables

_BOLD = r"(?:\*\*|__)?"
_LABELS = r"(?P<label>[A-Za-j1-9])"
_MARKERS = [
    # Each on its own line: "A) x", "(b) x", "C. x", "- D: x", "**A.** x"; then within a line.
    re.compile(rf"^[ \t]*(?:[-*•][ \t]+)?{_BOLD}[(\[]?{_LABELS}(?:[)\].:]+|[ \t]+[-–—](?=[ \t])){_BOLD}[ \t]*", re.MULTILINE),
    re.compile(rf"(?<![^\s,;:/]){_BOLD}[(\[]?{_LABELS}[)\]]{_BOLD}[ \t]*"),
    re.compile(rf"(?<![^\s,;/]){_BOLD}{_LABELS}[.:]{_BOLD}[ \t]+"),
]  # fmt: skip
_CHOSEN = re.compile(
    rf"[(\[*_\s\"'“]*(?:option\s+|choice\s+)?{_LABELS}(?P<ends>[)\].:*_\"'”]+|\s+[-–—](?=\s)|(?=[\s,;])|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Options:
    """The options of a question by letter, in order."""

    texts: dict[str, str]

    def named_by(self, text: str) -> str | None:
        """Return the letter of the longest option that begins a text and ends at a word boundary, or None."""
        wanted = bare(text)
        found = [(len(own), letter) for letter, own in self._bare() if _begins(wanted, own)]
        return max(found)[1] if found else None

    def mentioned_in(self, text: str) -> list[str]:
        """Return the letters of the options that occur in a text."""
        return [letter for letter, own in self._bare() if occurs_in(own, text)]

    @property
    def repeats(self) -> bool:
        """Return whether two options have the same text."""
        texts = [own for _, own in self._bare()]
        return len(set(texts)) < len(texts)

    def _bare(self) -> list[tuple[str, str]]:
        return [(letter, bare(text)) for letter, text in self.texts.items()]


def read_options(text: str) -> Options | None:
    """Return the options of a question, or None if there are fewer than two.

    Their labels are consecutive from A, a or 1, each on its own line or all within a line.
    """
    for marker in _MARKERS:
        run = _sequence(list(marker.finditer(text)))
        if len(run) >= 2:
            ends = [later.start() for later in run[1:]] + [_end_of_last(text, run[-1].end())]
            texts = {
                mark["label"].upper(): text[mark.end() : end].strip(" \t\n,;*_")
                for mark, end in zip(run, ends, strict=True)
            }
            return Options(texts) if all(bare(own) or own for own in texts.values()) else None
    return None


def _sequence(marks: list[re.Match[str]]) -> list[re.Match[str]]:
    """Return the longest sequence of consecutive labels that begins with A, a or 1; of several, the last.

    This skips a letter such as the initial in "A. Smith" before the options.
    """
    run: list[re.Match[str]] = []
    best: list[re.Match[str]] = []
    for mark in marks:
        if run and ord(mark["label"]) == ord(run[-1]["label"]) + 1:
            run.append(mark)
        elif mark["label"] in "Aa1":
            run = [mark]
        if len(run) >= len(best):
            best = list(run)
    return best


def _end_of_last(text: str, start: int) -> int:
    """Return the end of the last option: the end of its paragraph, or the line before "Answer", "Which" or the like."""
    end = re.compile(
        r"\n\s*\n|\n(?=\s*(?:answer|question|please|choose|select|explain|which|what)\b)|\Z", re.IGNORECASE
    )
    found = end.search(text, start)
    return found.start() if found else len(text)


def multiple_choice(options: int | None = None, balance: float | None = 5.0) -> Validator:
    """Reject questions without valid options, and answers that are not one of them or that use a letter too often.

    The reasons are `no_options` (also if their number is not `options`), `same_options`, `no_answer`, `not_an_option`,
    `letter_disagrees` (the text after the letter is another option), `wrong_letter` (the variable `letter` asks for another),
    `letter_overused`. In the accepted records a letter may exceed its expected number of answers by at most `balance`, where
    a question with k options adds 1/k to each of its letters. None accepts any distribution.
    """
    if balance is not None and balance < 1:
        raise ValueError(
            f"balance is {balance:g}, but must be at least 1; below 1, the first answer would always be rejected"
        )
    seen: Counter[str] = Counter()
    expected: Counter[str] = Counter()

    def validator(record: Record, variables: Variables) -> Record | str:
        found = read_options(record.task)
        if found is None or (options is not None and len(found.texts) != options):
            return f"no_options: {len(found.texts)} of {options}" if found else "no_options"
        if found.repeats:
            return "same_options"
        letter, reason = chosen(found, record.output)
        if letter is None:
            return reason or "no_answer"
        asked = variables.get("letter", "").strip().upper()
        if asked and asked != letter:
            return f"wrong_letter: asked for {asked}, is {letter}"
        share = 1 / len(found.texts)
        if balance is not None and seen[letter] + 1 > expected[letter] + share + balance:
            return f"letter_overused: {letter} answers {seen[letter]} of {seen.total()}"
        seen[letter] += 1
        expected.update(dict.fromkeys(found.texts, share))
        return record

    return validator


def chosen(options: Options, output: str) -> tuple[str | None, str | None]:
    """Return the letter that an output chooses (by letter, text or both) and None, or None and the reason to reject it."""
    answer = stated_answer(output)
    line = next((line for line in answer.splitlines() if line.strip()), "")
    mark = _CHOSEN.match(line)
    by_text = options.named_by(line)
    # "A" and "I" may be words, so they count only if they stand alone or a sign such as ")" follows.
    if (
        mark
        and not (by_text and mark["label"].upper() not in options.texts)
        and (mark["ends"] or not line[mark.end() :].strip() or (mark["label"] not in "AaIi" and not by_text))
    ):
        return _by_letter(options, mark["label"].upper(), line[mark.end() :], bool(mark["ends"]))
    mentioned = [by_text] if by_text else options.mentioned_in(answer)
    if len(mentioned) == 1:
        return mentioned[0], None
    return None, "no_answer" if not bare(answer) or mentioned else f"not_an_option: {line.strip()[:80]}"


def _by_letter(options: Options, letter: str, rest: str, marked: bool) -> tuple[str | None, str | None]:
    """Return the letter if it is an option and the `rest` of the line fits it, else the reason to reject it.

    The rest fits if it is empty or begins with the text of this option. It may also be an explanation, after a comma or a
    semicolon, or if no sign such as ")" has `marked` the letter.
    """
    if letter not in options.texts:
        return None, f"not_an_option: {letter}"
    named = options.named_by(rest)
    if named is not None and named != letter:
        return None, f"letter_disagrees: {letter} is {options.texts[letter][:80]!r}, not {rest.strip()[:80]!r}"
    if named is None and bare(rest) and marked and rest[:1] not in ",;":
        return None, f"not_an_option: {rest.strip()[:80]}"
    return letter, None


def _begins(text: str, start: str) -> bool:
    return bool(start) and text.startswith(start) and not text[len(start) : len(start) + 1].isalnum()
