"""Answers that must come from a context: citing its metadata, supported by its text, or stating that it has no answer."""

import re
from dataclasses import replace

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, content_words, stands_in
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
_TOLD = (
    "mention|provid|stat|specif|giv|includ|contain|availab|found|present|discuss|say|said|address|answer|determin|indicat"
    "|describ|tell|told|reveal|know|clear|enough|possible|appear|cover|list"
)
_NOT_THERE = re.compile(
    rf"\b(?:not|never|\w+n['’]t)\s+(?:\w+\s+){{0,3}}?(?:{_TOLD})\w*"
    r"|\bno\s+(?:\w+\s+){0,3}?(?:information|mention|details?|data|answer|indication|reference|context|way to)\b"
    rf"|\b(?:cannot|unable to|impossible to)\s+(?:be\s+)?(?:\w+\s+)?(?:{_TOLD}|find|infer|locat)\w*"
    r"|\b(?:insufficient|unanswerable|unknown|unspecified|lacks?)\b",
    re.IGNORECASE,
)
_SPEAKS_OF_CONTEXT = re.compile(
    r"\b(?:above|following|provided|given|according to|based on|as (?:described|stated|mentioned))\b"
    r"|\b(?:text|passage|article|context|paragraph|document|excerpt|story|input|input block|block|post|email|transcript)s?\b",
    re.IGNORECASE,
)


def needless_context(max_overlap: float = 0.7) -> Validator:
    """Remove a useless context (the record's input, or the blocks of its instruction), as airoboros does.

    A context is useless if the output is longer, or repeats it (ROUGE-L F1 of at least `max_overlap`). Reject with
    `context_does_not_help` if it is useless but the instruction refers to it and makes no sense alone.
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
        fault = _needless(context, record.output, max_overlap)
        if fault is None:
            return record
        if _SPEAKS_OF_CONTEXT.search(instruction) or not bare(instruction):
            return f"context_does_not_help: {fault}"
        return replace(record, instruction=instruction.strip(), input="")

    return validator


def closed_context(min_support: float = 0.5, max_overlap: float = 0.7) -> Validator:
    """Reject with `grammar` unless the instruction is a whole closed-context question, or the input is its blocks; `no_answer`.

    With the variable `unanswerable`, reject with `answered_anyway` unless the answer says that the text does not contain it.
    Otherwise a useless context is treated as by `needless_context`; `citation` is for a source that is not in the metadata,
    `no_citation` for a missing one if the variable `source` asks for it, and `unsupported` if less than `min_support` of the
    answer's content words are in the texts and their metadata, unless it says that these contain no answer.
    """
    _check_share("min_support", min_support)
    helps = needless_context(max_overlap)

    def validator(record: Record, variables: Variables) -> Record | str:
        try:
            context = read_context(record)
        except ClosedContextError as error:
            return f"grammar: {error}"
        if not bare(record.output):
            return "no_answer"
        not_there = _NOT_THERE.search(record.output) is not None
        if is_set(variables, "unanswerable"):
            return record if not_there else f"answered_anyway: {' '.join(record.output.split())[:80]}"
        kept = helps(record, variables)
        if kept is not record:
            return kept
        objection = _objection(context, record.output, is_set(variables, "source"), 0.0 if not_there else min_support)
        return objection or record

    return validator


def _objection(context: ClosedContext, output: str, needs_source: bool, min_support: float) -> str | None:
    """Return the fault of an answer's sources, or that the texts do not support it, or None."""
    body, references = _references(output)
    if (wrong := _wrong_citation(context, output, references)) is not None:
        return f"citation: {wrong}"
    if needs_source and context.metadata and not _cites(context, output):
        return "no_citation"
    found = support(body, context)
    return f"unsupported: {found:.2f}" if found < min_support else None


def read_context(record: Record) -> ClosedContext:
    """Return the closed-context question of a record: its instruction, or its input with the instruction.

    Raises ClosedContextError if the record has another format.
    """
    if record.input.strip():
        return ClosedContext(parse_blocks(record.input), record.instruction)
    return parse(record.instruction)


def support(answer: str, context: ClosedContext) -> float:
    """Return the share of an answer's content words, with repetition, that are in the texts or their metadata.

    This is ROUGE-1 precision without function words, with words cut to their first letters; 1 for an answer without content
    words.
    """
    there = {_stem(word) for block in context.blocks for word in content_words(_whole(block))}
    said = [_stem(word) for word in content_words(answer)]
    return sum(word in there for word in said) / len(said) if said else 1.0


def _whole(block: Block) -> str:
    return "\n".join([block.text, *(f"{key} {value}" for key, value in block.metadata)])


def _stem(word: str) -> str:
    """Return the first five letters of a word, which distinguish most words but not their forms; numbers stay whole."""
    return word if any(sign.isdigit() for sign in word) else word.removesuffix("'s")[:5].rstrip("s") or word


def _needless(context: str, output: str, max_overlap: float) -> str | None:
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
    """Return the answer without its lists of references, and the lines of these."""
    lines = [
        line
        for found in _REFERENCES.finditer(output)
        for line in found["first"].splitlines()
        if re.search(r"\w", line)
    ]
    return _REFERENCES.sub("", output), lines


def _wrong_citation(context: ClosedContext, output: str, references: list[str]) -> str | None:
    """Return a reference that is not in the metadata, a pair with another value, or an address that is nowhere; or None."""
    everything = "\n".join(_whole(block) for block in context.blocks)
    for url in _URL.findall(output):
        if url.rstrip(".,;") not in everything:
            return url.rstrip(".,;")
    keys = {key.casefold() for key, _ in context.metadata}
    for line in references:
        item = re.sub(r"^\s*(?:[-*•]|\d{1,3}[.)]|\[\d+\])\s*", "", line).strip()
        key, _, value = (part.strip() for part in item.partition(":"))
        if key.casefold() in keys:
            there = [own for name, own in context.metadata if name.casefold() == key.casefold()]
            if bare(value) and not any(bare(value) == bare(own) or stands_in(own, value) for own in there):
                return item[:80]
        elif not any(_holds(item, own) for _, own in context.metadata) and not _speaks_of_none(item):
            return item[:80]
    return None


def _holds(item: str, value: str) -> bool:
    return stands_in(value, item) or (len(item) > 2 and stands_in(item, value))


def _speaks_of_none(item: str) -> bool:
    return (
        bare(item) in ("none", "n/a", "not available", "no references", "no sources")
        or _NOT_THERE.search(item) is not None
    )


def _cites(context: ClosedContext, output: str) -> bool:
    return any(_holds(output, value) for _, value in context.metadata if bare(value))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value:g}, but must be between 0 and 1")
