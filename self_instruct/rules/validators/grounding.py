"""Check answers that must come from a context: they cite its metadata, its text supports them, or they say that it has none."""

import re
from dataclasses import replace

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, content_words, occurs_in
from self_instruct.rules.validators.closed_context_blocks import (
    Block,
    ClosedContext,
    ClosedContextError,
    parse,
    parse_blocks,
)
from self_instruct.rules.validators.contract import Validator, Variables, is_set

_REFERENCES = re.compile(
    r"^[ \t]*[*_#]*(?:reference|source|citation)(?:s|\(s\))?[*_]*[ \t]*:[*_]*(?P<first>.*(?:\n(?!\s*\n).*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_URL = re.compile(r"https?://[^\s<>\"')\]]+", re.IGNORECASE)
_STATED = (
    "mention|provid|stat|specif|giv|includ|contain|availab|found|present|discuss|say|said|address|answer|determin|indicat"
    "|describ|tell|told|reveal|know|clear|enough|possible|appear|cover|list"
)
_NO_ANSWER = re.compile(
    rf"\b(?:not|never|\w+n['’]t)\s+(?:\w+\s+){{0,3}}?(?:{_STATED})\w*"
    r"|\bno\s+(?:\w+\s+){0,3}?(?:information|mention|details?|data|answer|indication|reference|context|way to)\b"
    rf"|\b(?:cannot|unable to|impossible to)\s+(?:be\s+)?(?:\w+\s+)?(?:{_STATED}|find|infer|locat)\w*"
    r"|\b(?:insufficient|unanswerable|unknown|unspecified|lacks?)\b",
    re.IGNORECASE,
)
_MAX_SOURCES = 100
_REFERS_TO_CONTEXT = re.compile(
    r"\b(?:above|following|provided|given|according to|based on|as (?:described|stated|mentioned))\b"
    r"|\b(?:text|passage|article|context|paragraph|document|excerpt|story|input|input block|block|post|email|transcript)s?\b",
    re.IGNORECASE,
)


def needless_context(max_overlap: float = 0.7) -> Validator:
    """Remove a useless context, as airoboros does: the input of a record, or the blocks in its instruction.

    A context is useless if the output is longer than the context or repeats it (ROUGE-L F1 of at least `max_overlap`). Reject
    with `context_does_not_help` if it is useless but the instruction refers to it, or if there is no other instruction.
    """
    _check_share("max_overlap", max_overlap)

    def validator(record: Record, variables: Variables) -> Record | str:
        context, instruction = record.input, record.instruction
        if not context.strip():
            try:
                blocks = parse(record.instruction)
            except ClosedContextError:
                return record
            context, instruction = blocks.text, blocks.instruction
        why = _useless_reason(context, record.output, max_overlap)
        if why is None:
            return record
        if _REFERS_TO_CONTEXT.search(instruction) or not bare(instruction):
            return f"context_does_not_help: {why}"
        return replace(record, instruction=instruction.strip(), input="")

    return validator


def closed_context(min_support: float = 0.5, max_overlap: float = 0.7) -> Validator:
    """Check a closed-context question: the instruction contains the blocks and the question, or the input contains the blocks.

    Reject with `grammar` if the format is wrong, and with `no_answer`. With the variable `unanswerable`, reject with
    `answered_anyway` unless the output says that the text has no answer. Otherwise apply `needless_context`, and reject with
    `citation` if a cited source is not in the metadata, with `no_citation` if the variable `source` is set and no source is
    cited, and with `unsupported` if less than `min_support` of the content words of the answer are in the texts or their
    metadata, unless the output says that there is no answer.
    """
    _check_share("min_support", min_support)
    without_needless_context = needless_context(max_overlap)

    def validator(record: Record, variables: Variables) -> Record | str:
        try:
            context = read_context(record)
        except ClosedContextError as error:
            return f"grammar: {error}"
        if not bare(record.output):
            return "no_answer"
        says_no_answer = _NO_ANSWER.search(record.output) is not None
        if is_set(variables, "unanswerable"):
            return record if says_no_answer else f"answered_anyway: {' '.join(record.output.split())[:80]}"
        found = without_needless_context(record, variables)
        if found is not record:
            return found
        reason = _drop_reason(
            context, record.output, is_set(variables, "source"), 0.0 if says_no_answer else min_support
        )
        return reason or record

    return validator


def _drop_reason(context: ClosedContext, output: str, needs_source: bool, min_support: float) -> str | None:
    """Return the reason if an answer cites a wrong source or none, or if the texts do not support it; else None."""
    body, references = _references(output)
    if (wrong := _wrong_citation(context, output, references)) is not None:
        return f"citation: {wrong}"
    if needs_source and context.metadata and not _cites(context, output):
        return "no_citation"
    found = support(body, context)
    return f"unsupported: {found:.2f}" if found < min_support else None


def read_context(record: Record) -> ClosedContext:
    """Return the closed-context question of a record: the blocks of its input, if any, or else of its instruction.

    Raises ClosedContextError if the record has another format or too many metadata pairs.
    """
    has_input = bool(record.input.strip())
    found = ClosedContext(parse_blocks(record.input), record.instruction) if has_input else parse(record.instruction)
    if len(found.metadata) > _MAX_SOURCES:
        raise ClosedContextError("bad_metadata", f"{len(found.metadata)} pairs, over {_MAX_SOURCES}")
    return found


def support(answer: str, context: ClosedContext) -> float:
    """Return the share of the content words of an answer that occur in the texts or their metadata.

    Repeated words count each time. This is ROUGE-1 precision without function words, with each word cut to its first letters;
    1 for an answer without content words.
    """
    there = {_stem(word) for block in context.blocks for word in content_words(_text_and_metadata(block))}
    said = [_stem(word) for word in content_words(answer)]
    return sum(word in there for word in said) / len(said) if said else 1.0


def _text_and_metadata(block: Block) -> str:
    return "\n".join([block.text, *(f"{key} {value}" for key, value in block.metadata)])


def _stem(word: str) -> str:
    """Return the first five letters of a word, which distinguish most words but not their forms; numbers are not cut."""
    return word if any(sign.isdigit() for sign in word) else word.removesuffix("'s")[:5].rstrip("s") or word


def _useless_reason(context: str, output: str, max_overlap: float) -> str | None:
    """Return why a context is useless, or None."""
    if len(output) > len(context):
        return f"the answer has {len(output)} characters, the context {len(context)}"
    from self_instruct.novelty.rouge import RougeIndex

    index = RougeIndex()
    index.add([""], [context])
    nearest = index.nearest(output)
    if nearest is not None and nearest.score >= max_overlap:
        return f"ROUGE-L F1 with the answer is {nearest.score:.2f}"
    return None


def _references(output: str) -> tuple[str, list[str]]:
    """Return the answer without its lists of references, and the lines of these lists."""
    lines = [
        line
        for found in _REFERENCES.finditer(output)
        for line in found["first"].splitlines()
        if re.search(r"\w", line)
    ]
    return _REFERENCES.sub("", output), lines


def _wrong_citation(context: ClosedContext, output: str, references: list[str]) -> str | None:
    """Return a reference that is not in the metadata, or a URL that is not in the blocks, or None."""
    everything = "\n".join(_text_and_metadata(block) for block in context.blocks)
    for url in list(dict.fromkeys(_URL.findall(output)))[:_MAX_SOURCES]:
        if url.rstrip(".,;") not in everything:
            return url.rstrip(".,;")
    keys = {key.casefold() for key, _ in context.metadata}
    for line in references[:_MAX_SOURCES]:
        item = re.sub(r"^\s*(?:[-*•]|\d{1,3}[.)]|\[\d+\])\s*", "", line).strip()
        key, _, value = (part.strip() for part in item.partition(":"))
        if key.casefold() in keys:
            there = [own for name, own in context.metadata if name.casefold() == key.casefold()]
            if bare(value) and not any(bare(value) == bare(own) or occurs_in(own, value) for own in there):
                return item[:80]
        elif not any(_matches(item, own) for _, own in context.metadata) and not _says_none(item):
            return item[:80]
    return None


def _matches(item: str, value: str) -> bool:
    return occurs_in(value, item) or (len(item) > 2 and occurs_in(item, value))


def _says_none(item: str) -> bool:
    return (
        bare(item) in ("none", "n/a", "not available", "no references", "no sources")
        or _NO_ANSWER.search(item) is not None
    )


def _cites(context: ClosedContext, output: str) -> bool:
    return any(_matches(output, value) for _, value in context.metadata if bare(value))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value:g}, but must be between 0 and 1")
