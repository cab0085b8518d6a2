"""Answers that must come from a context: cited from its metadata, supported by its text, or said to be not in it."""

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
    """A context, which is the record's input or the blocks of its instruction, that does not help is removed: the output is
    longer than it, or says the same (ROUGE-L F1 of at least `max_overlap`), as in airoboros. `context_does_not_help` where it
    does not, but the instruction speaks of it and cannot stand alone.
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
    """`grammar` unless the instruction is a whole closed-context question, or the input is its blocks; `no_answer`.

    With the variable `unanswerable`, `answered_anyway` unless the answer says that the text does not tell. Otherwise a context
    that does not help is treated as by `needless_context`; `citation` for a source that is not in the metadata, `no_citation`
    when the variable `source` asks for one and there is none; `unsupported` when less than `min_support` of the telling words
    of the answer stand in the texts and their metadata, unless it says that they do not tell.
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
    """What is wrong with an answer's sources, or that the texts do not support it."""
    body, references = _references(output)
    if (wrong := _wrong_citation(context, output, references)) is not None:
        return f"citation: {wrong}"
    if needs_source and context.metadata and not _cites(context, output):
        return "no_citation"
    found = support(body, context)
    return f"unsupported: {found:.2f}" if found < min_support else None


def read_context(record: Record) -> ClosedContext:
    """The closed-context question that a record is: its instruction, or its input with the instruction.

    Raises `ClosedContextError` if it is none.
    """
    if record.input.strip():
        return ClosedContext(parse_blocks(record.input), record.instruction)
    return parse(record.instruction)


def support(answer: str, context: ClosedContext) -> float:
    """The share of an answer's telling words, each as often as it stands there, that the texts or their metadata hold too:
    ROUGE-1 precision without words that only join others, a word being its first letters. 1 where there is none.
    """
    there = {_stem(word) for block in context.blocks for word in content_words(_whole(block))}
    said = [_stem(word) for word in content_words(answer)]
    return sum(word in there for word in said) / len(said) if said else 1.0


def _whole(block: Block) -> str:
    return "\n".join([block.text, *(f"{key} {value}" for key, value in block.metadata)])


def _stem(word: str) -> str:
    """Five letters tell most words apart and their forms alike; figures are taken as they are."""
    return word if any(sign.isdigit() for sign in word) else word.removesuffix("'s")[:5].rstrip("s") or word


def _needless(context: str, output: str, max_overlap: float) -> str | None:
    """Why a context does not help, or None."""
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
    """The answer without its lists of references, and their lines."""
    lines = [
        line
        for found in _REFERENCES.finditer(output)
        for line in found["first"].splitlines()
        if re.search(r"\w", line)
    ]
    return _REFERENCES.sub("", output), lines


def _wrong_citation(context: ClosedContext, output: str, references: list[str]) -> str | None:
    """A reference of which nothing is in the metadata, a pair with another value than there, or an address that is nowhere."""
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
