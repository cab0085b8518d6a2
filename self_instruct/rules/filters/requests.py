"""Reject instructions that ask for nothing, and outputs that only name or restate what the task asks for.

These rules know English only; texts in other languages pass.
"""

import re

from self_instruct.records import Record

_SENTENCE = re.compile(r"(?<=[.!])\s+|\n+")
_CLAUSE = re.compile(r"(?:[,;:(–—]|\s-|\b(?:and|then|so|now|also|but|please)\b)\s*(\w+)", re.IGNORECASE)
_IMPERATIVES = frozenset(
    "add answer analyse analyze apply arrange build calculate change check choose classify combine compare complete compose"
    " compute convert correct count create decide define delete derive describe design determine develop display draft"
    " edit estimate evaluate explain extract fill find fix format generate give guess help identify implement infer insert"
    " label list make match merge multiply name order output paraphrase pick predict print prove provide put rank rearrange"
    " remove rename replace rephrase reply respond return reverse rewrite say select set show simplify solve sort specify"
    " split state subtract suggest sum summarise summarize swap tell test translate try turn update use work write".split()
)
_MAY_ASK = re.compile(
    r"\?|_{2,}|\b(?:please|need|needs|want|wants|should|must|shall|wish|wonder\w*|help (?:me|us|with)|try|how|why|whether"
    r"|what|your (?:task|job|goal|turn)|(?:have|has|ought|supposed|required|asked|is|are) to|to be \w+|true or false"
    r"|(?:task|job|goal|aim|objective|challenge|exercise|problem|question|assignment) (?:is|was))\b",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"(?:the|a|an|this|that|these|those|it|its|he|she|they|there|here|his|her|their|some|many|most|each|every|both|one)\b"
    r"(?:(?!\b(?:that|which|who|whose|where|when|to|with)\b).){0,80}?"
    r"\b(?:is|are|was|were|has|had|does|did|can|could|will|would|may|might|cannot|returns|contains|computes|calculates"
    r"|consists|refers|becomes|provides|includes|went|said|came|took|gave)\b",
    re.IGNORECASE,
)
_OTHER_STATEMENT = re.compile(
    r"(?!(?:Who|What|Which|Whose|When|Where|Why|How|Name|Guess|State|Say)\b)(?:[A-Z]\w+ ){1,2}(?:is|are|was|were|has|had) "
    r"|(?:You are|You're|You have been|Thanks|Thank you|Yes|No|Sure|Certainly|Of course|Okay|OK|Hello|Hi)\b"
)


def drop_statement(record: Record) -> str | None:
    """Reject with `asks_nothing` if every sentence of the instruction is a statement.

    A statement is a complete sentence in the third person or about the reader. The record passes if any word of the
    instruction or the input may ask for something.
    """
    text = record.instruction.strip()
    if text[-1:] not in (".", "!") or _MAY_ASK.search(record.task):
        return None
    if any(found[1].lower() in _IMPERATIVES for found in _CLAUSE.finditer(record.task)):
        return None
    sentences = [part for part in _SENTENCE.split(text) if part]
    stated = all(_STATEMENT.match(part) or _OTHER_STATEMENT.match(part) for part in sentences)
    return "asks_nothing" if stated else None


_CODE_NOUN = r"functions?|methods?|class|classes|decorators?|generators?"
_NOUN = (
    rf"(?P<noun>{_CODE_NOUN}|programs?|scripts?|code|quer(?:y|ies)|algorithms?|modules?|essays?|story|stories|poems?"
    r"|paragraphs?|letters?|emails?|articles?|dialogues?)"
)
_CREATES = re.compile(
    r"(?:.{0,80},\s*)?(?:please |can you |could you |i want you to )?(?:write|create|implement|develop|design|build|construct"
    rf"|compose|draft|code|program|generate|define)\b(?P<between>(?:\W+\w+){{0,6}}?)\W+{_NOUN}\b",
    re.IGNORECASE,
)
_SHORT_ANSWER = re.compile(
    r"\b(?:names?|titles?|words?|terms?|expressions?|one-liners?|calls?|identifiers?|variables?|constants?|keywords?|commands?"
    r"|acronyms?|headlines?|slogans?|labels?|lines?)\b",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\?\s*$|\b(?:which|what|choose|pick|select|identify|calls)\b", re.IGNORECASE)
_BARE_NAME = re.compile(
    r"\W{0,9}(?:(?:def|class|function|method|program|script|function name|name)[ \t:]{1,9})?[`'\"*]{0,5}"
    r"(?P<name>[^\W\d][\w.]*+)(?P<call>[ \t]*\([^()\n]{0,200}\))?[`'\"*]*[.:;]?\s*",
    re.IGNORECASE,
)
_LONGEST_NAME = 300
_FUNCTION_WORDS = frozenset(
    "a an the that which this it its is are be will would should can to of in for with and or by from as on here there"
    " following below sure certainly your you please simple python".split()
)
_LEAST_RESTATED = 3  # words of an output
_RESTATED_SHARE = 0.6  # of the words of the instruction
_CODE_SIGNS = re.compile(r"```|[{};=<>*]")


def drop_unanswered(record: Record) -> str | None:
    """Reject the output of a task that asks for a text or for code: with `bare_name` if it is only a name or a signature, and
    with `restates_task` if it only repeats in other words what to write.
    """
    output = record.output.strip()
    lines = (line for line in output.splitlines() if not line.lstrip().startswith("```"))
    name = "\n".join(lines).strip()
    if len(name) <= _LONGEST_NAME and _is_bare_name(name, record.instruction):
        return f"bare_name: {name}"
    return "restates_task" if _restates(output, record.instruction) else None


def _is_bare_name(output: str, instruction: str) -> bool:
    found = _BARE_NAME.fullmatch(output)
    if not found or _CHOICE.search(instruction):
        return False
    if f"{found['name']}(" in instruction:
        return True
    noun = _created(instruction)
    if noun is None or not found["call"]:
        return noun is not None
    plain = re.fullmatch(r"[ \t]*\([\w, ]*\)", found["call"]) is not None
    return plain and "_" in found["name"] and re.fullmatch(_CODE_NOUN, noun) is not None


def _created(instruction: str) -> str | None:
    """Return the noun for what a task asks to write, such as "function" or "story", in lower case; or None."""
    found = _CREATES.match(instruction)
    return None if found is None or _SHORT_ANSWER.search(found["between"]) else found["noun"].lower()


def _restates(output: str, instruction: str) -> bool:
    """Return whether almost all words of the output are in the instruction, and most words of the instruction in the output,
    with the two words after its verb, which say what to write.
    """
    if _created(instruction) is None or len(output) > 2 * len(instruction) + 80 or _CODE_SIGNS.search(output):
        return False
    asked, said = _stems(instruction), set(_stems(output))
    unseen, wanted = said - set(asked), set(asked[1:])
    if len(said) < _LEAST_RESTATED or len(unseen) > len(said) // 5:
        return False
    return set(asked[1:3]) <= said and len(said & wanted) >= _RESTATED_SHARE * len(wanted)


def _stems(text: str) -> list[str]:
    """Return the words of a text that carry meaning, without their endings."""
    words = (word for word in re.findall(r"[^\W_]+", text.lower()) if word not in _FUNCTION_WORDS)
    return [re.sub(r"(?:ing|es|ed|s|e)$", "", word) or word for word in words]
