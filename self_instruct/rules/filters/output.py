"""Reject outputs that are empty, or that repeat the task or the prompt."""

import re
from collections.abc import Callable

from self_instruct.records import Record, is_blank

_WORD = re.compile(r"\w")
_FENCE = re.compile(r"^```\w*\s*$", re.MULTILINE)


def drop_empty(record: Record) -> str | None:
    """Reject with `empty_instruction` or `empty_output`; an empty code fence, or only punctuation, counts as empty."""
    if is_blank(record.instruction) or not _WORD.search(record.instruction):
        return "empty_instruction"
    bare = _FENCE.sub("", record.output) if "```" in record.output else record.output
    # A single character such as "+" can be an answer; a fence or white space cannot.
    return "empty_output" if is_blank(bare) else None


def drop_output_repeats_task(record: Record) -> str | None:
    """Reject with `output_repeats_task` if the output is the instruction or the whole task (ignoring case and spacing) or the
    input (exactly).

    The input is compared exactly because a task may ask to change only its case or spacing. An output equal to the input is
    right if the task asks to copy it, to change it only if needed, or to sort what is already sorted.
    """
    output = _folded(record.output)
    if output == _folded(record.instruction) or (record.input and output == _folded(record.task)):
        return "output_repeats_task"
    same = bool(record.input) and record.output.strip("\n") == record.input.strip("\n")
    return "output_repeats_task" if same and not _may_equal(record) else None


def _may_equal(record: Record) -> bool:
    return bool(_KEEPS.search(record.instruction)) or _already_sorted(record)


def _already_sorted(record: Record) -> bool:
    """Return whether the task asks for an order that the input already has."""
    items = [
        item.strip().casefold()
        for item in re.split(r"[,;\n]" if re.search(r"[,;\n]", record.input) else r"\s", record.input)
    ]
    items = [item for item in items if item]
    if len(items) < 2 or not _SORTS.search(record.instruction):
        return False
    try:
        keys: list[float] | list[str] = [float(item.strip("[]()")) for item in items]
    except ValueError:
        keys = [item.strip("[]()\"'") for item in items]
    return list(keys) in (sorted(keys), sorted(keys, reverse=True))


_SORTS = re.compile(r"\b(?:sort|order|arrange|alphabeti|rank|ascending|descending)", re.IGNORECASE)
_KEEPS = re.compile(
    r"\b(?:copy|repeat|echo|verbatim|unchanged|unmodified|as (?:it )?is|(?:if|where|when) (?:it is |they are )?"
    r"(?:needed|necessary|required|incorrect|wrong|any))\b",
    re.IGNORECASE,
)
ECHO_WORDS = 5
ECHO_CHARACTERS = 10


def drop_echo(header: str, tokenizer: Callable[[str], list[str]] | None = None) -> Callable[[Record], str | None]:
    """Reject with `echoes_prompt` if a whole line of the header, five words or longer, is in the instruction or the output.

    With a `tokenizer`, whose words may be single characters, the line must also have at least ten characters.
    """
    lines = [_folded(re.sub(r"^\s*(?:\d+[.)]|[-*])\s*", "", line)) for line in header.splitlines()]
    words_of, min_characters = (tokenizer, ECHO_CHARACTERS) if tokenizer else (str.split, 0)
    long_lines = [line for line in lines if len(words_of(line)) >= ECHO_WORDS and len(line) >= min_characters]

    def rule(record: Record) -> str | None:
        texts = (_folded(record.task), _folded(record.output)) if long_lines else ()
        echoed = next((line for line in long_lines for text in texts if line in text), None)
        return f"echoes_prompt: {echoed}" if echoed else None

    return rule


def drop_copied_input(
    threshold: float | None, tokenizer: Callable[[str], list[str]] | None = None
) -> Callable[[Record], str | None]:
    """Reject with `copies_input` if the ROUGE-L F1 of input and output is at least the threshold (None: never).

    A record without an input passes. airoboros uses 0.7, and removes the input. The default tokenizer is that of `rouge_score`.
    """

    def rule(record: Record) -> str | None:
        if threshold is None or not record.input.strip():
            return None
        from self_instruct.novelty.rouge import RougeIndex

        index = RougeIndex(tokenizer) if tokenizer else RougeIndex()
        index.add([""], [record.input])
        nearest = index.nearest(record.output)
        return f"copies_input: {nearest.score:.2f}" if nearest and nearest.score >= threshold else None

    return rule


def _folded(text: str) -> str:
    return " ".join(text.lower().split())
