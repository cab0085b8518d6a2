"""Checks for faults of instruction data known from AlpacaDataCleaned and others: one function per fault, which returns the text
that shows the fault, or None. A finding is a hint, not proof.

lint.py finds faults that need more than one exchange: duplicates, and turns out of order.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from self_instruct.datasets.fixing import NO_INPUT, TEXTS, is_no_input
from self_instruct.datasets.markup import speaks_of_html
from self_instruct.datasets.thoughts import broken_thought, has_thought
from self_instruct.records import Record, is_blank
from self_instruct.rules.fences import pieces, prose_of
from self_instruct.rules.filters.output import drop_empty, drop_output_repeats_task
from self_instruct.rules.filters.refusals import AS_AN_AI_NOT_ENGLISH, REFUSES_NOT_ENGLISH
from self_instruct.rules.validators.arithmetic import arithmetic

_SHOWN = 60

_MERGED = re.compile(
    r"(?:^|(?<=\s))(?:\d{1,3}\.\s*Instruction|###\s*\d{1,3}\.?\s*(?:Instruction)?)\s*:", re.IGNORECASE
)
_URL = re.compile(r"(?:https?://|\bwww\.)[^\s<>\"'`\\)\]}|]+", re.IGNORECASE)
_RESERVED = re.compile(
    r"(?:https?://)?(?:[\w-]+\.)*(?:(?:example|test|invalid|localhost)(?:\.(?:com|org|net))?|w3\.org"
    r"|127\.0\.0\.1|0\.0\.0\.0)"
    r"(?=[:/?#]|$)",
    re.IGNORECASE,
)
_AS_AN_AI = re.compile(
    r"\bas an? (?:large |artificial |virtual )*(?:ai\b|artificial intelligence|language model|chat ?bot"
    r"|machine learning model)"
    r"|\bI(?:'m| am) (?:just |only |merely )?an? (?:large |artificial )?(?:ai\b|language model"
    r"|artificial intelligence)",
    re.IGNORECASE,
)
_REFUSES = re.compile(
    r"\W*(?:(?:I['’]?m|I am|we['’]?re|we are) (?:very |so |truly |really )?sorry|my apologies|apologies"
    r"|I apologi[sz]e|sorry|unfortunately)?"
    r"[,.]? ?(?:but )?(?:as an? [\w ,]{2,40}, )?\bI(?: can(?:not|['’]?t| not)|['’]m (?:unable|not able) to"
    r"| am (?:unable|not able) to| won['’]t"
    r"| do(?:n['’]t| not) have (?:the ability|access)| (?:must|have to) (?:respectfully |politely )?decline) "
    r"(?:\w+ ){0,2}?(?:help|assist|provide|answer|fulfil"
    r"|fulfill|comply|generate|create|"
    r"write|discuss|engage|support|share|do|access|browse|see|view|open|to|with|draw|display|play|perform|complete)\b",
    re.IGNORECASE,
)
_ASKS_TO_REFUSE = re.compile(
    r"\b(?:declin\w+|apolog\w+|refus\w+|reject\w+|e-?mail|letter|dialog(?:ue)?|conversation|story|poem|quote"
    r"|translate|reply|respond|"
    r"response|messages?|sentences?|excuse|character|rewrite|paraphrase|song|lyrics|speech)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"\w+")
_STRING_BEGINS, _STRING_ENDS = re.compile(r"[=(\[,]\s*[\"'][^\"'\n]*\Z"), re.compile(r"[^\"'\n]*[\"']\s*[;),\]]")
_NO_OUTPUT = re.compile(
    r"[<\[(]?\s*(?:n\.?/?a|no[ _-]?(?:in|out)put|no ?(?:answer|response)(?: (?:provided|given|available))?"
    r"|not applicable|nothing to output|nan|tbd|todo)\s*[>\])]?\.?",
    re.IGNORECASE,
)
_PICTURE = r"(?:image|picture|photo(?:graph)?|painting|screenshot|illustration|drawing)"
_IMAGE_TASK = re.compile(
    rf"(?<!docker )(?:\b(?:this|these|attached|given|following|above|below|provided|displayed) {_PICTURE}s?\b"
    rf"|\b{_PICTURE}s? (?:below|above|attached|shown)\b|\b(?:attached|shown|following|below) (?:chart|graph"
    rf"|figure|diagram)\b"
    rf"|\b(?:draw|sketch|generate|create|design) (?:me )?an? (?:\w+ ){{0,2}}{_PICTURE}\b|<image>|\[image\]"
    r"|!\[[^\]\n]{0,300}\]\([^)\n]{1,1000}\))",
    re.IGNORECASE,
)
_IMG = re.compile(r"<img\b[^<>]*>", re.IGNORECASE)
_FILE_KINDS = r"(?:png|jpe?g|gif|bmp|webp|svg|tiff?|heic|mp3|wav|mp4|mov|avi)"
_ONLY_A_REFERENCE = re.compile(
    rf"<?(?:[\w ]{{1,30}}: ?)?(?:https?://|www\.)\S+(?:\s+(?:https?://|www\.)\S+)*"
    rf"|[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{0,4}}\.(?:com|org|net|edu|gov|io|de|fr|uk)(?:/\S*)?"
    rf"|!?\[[^\]\n]{{0,300}}\]\([^)\n]{{1,1000}}\)"
    rf"|<img\b[^<>]*>(?:\s*</img>)?"
    rf"|[<\[(]?(?:image|picture|photo|img)(?:[ _-]?\d+)?(?: ?: ?[^\n\])>]{{0,200}})?(?:\.{_FILE_KINDS})?[>\])]"
    rf"|data:image/\S+|[\w./\\ -]{{1,200}}\.{_FILE_KINDS}",
    re.IGNORECASE,
)
_ABOUT_REFERENCES = re.compile(
    r"\b(?:url|uri|link|hyperlink|address|domain|host ?name|protocol|subdomain|slug|query string|html"
    r"|markdown|file ?name|"
    r"extension|path|tag|regex|string|format|valid)(?:e?s)?\b",
    re.IGNORECASE,
)
_ABOUT_CODE = re.compile(
    r"\b(?:functions?|programs?|scripts?|code|class|methods?|python|java(?:script)?|php|ruby|golang|c\+\+|c#|bash|curl|request|fetch|"
    r"scrap(?:e|er|ing)|crawl(?:er)?|api|endpoint|download\w*|pars(?:e|er|ing)|json)\b",
    re.IGNORECASE,
)
_READS_IT = re.compile(
    r"\b(?:summar\w+|describe|description|read|explain|paraphras\w+|translate|caption|review|image|picture"
    r"|photo|video|article|"
    r"blog ?post|web ?page|content|story|essay)s?\b",
    re.IGNORECASE,
)
_IT = r"(?:it|this|that|them|these|those|the (?:above|previous|last) (?:one|text|answer|list|code|example)s?)"
_ASKS_FOR_MORE = re.compile(
    r"\W*(?:(?:ok(?:ay)?|great|thanks?(?: you)?|and|now|please|can you|could you|would you|yes)[,.!]? ){0,4}"
    r"(?:(?:give|show|tell|list|write|suggest|name|provide|generate|find|add)(?: me| us)? "
    r"(?:(?:a few |some |several |any |a couple |\w{3,6} |\d{1,3} )?more|another(?: one| few| two)?)"
    r"(?: (?:of (?:them|those|these)|examples?|ones?|options?|ideas?|suggestions?|details?|info(?:rmation)?))?"
    rf"(?: (?:about|on|for) {_IT})?"
    rf"|(?:rewrite|rephrase|explain|summari[sz]e|translate|shorten|expand|simplify|improve|fix|repeat"
    rf"|elaborate on) {_IT}"
    r"(?: (?:again|further|in more detail|more simply|in \w{3,12}(?: sentences?| words?)?|into \w{3,12}))?"
    r"|continue|go on|keep going|try again|(?:one |some |a few |\d{1,3} )?more(?: examples)?|elaborate"
    r"|what else|why is that"
    r"|make it (?:shorter|longer|simpler|better|funnier|more \w+)|how so|are you sure"
    r"|what about (?:the (?:other|last|first|second|third|next) one|it|them)|(?:and )?another(?: one)?"
    r"|do (?:the same|it again|that again)(?: (?:for|with|in) [\w ]{1,30})?|what do you mean(?: by that)?"
    r"|继续|請繼續|请继续|再(?:来|给我?)(?:几|一|两|三)个|もっと(?:教えて)?|続けて(?:ください)?|계속(?:해 ?줘)?"
    r"|(?:mach )?weiter|noch (?:mehr|eins|ein paar)|contin[uú]a|sigue|"
    r"dame (?:(?:algun|un)[oa]s (?:pocos |cuantos )?)?más|continuez?|encore"
    r"|donne[- ]m['’]?en plus|продолжай|продолжи|ещё|еще)(?:,? please)?\s*[.!?。？！…]*\s*",
    re.IGNORECASE,
)
_EARLIER = re.compile(
    r"\b(?:your|the) (?:previous|last|earlier) (?:answer|response|reply|message|suggestions?)\b|\bas (?:you|I"
    r"|we) (?:said|mentioned|"
    r"discussed|wrote) (?:above|before|earlier|previously)\b|\b(?:in|from) (?:our|the) (?:previous|earlier"
    r"|last) (?:conversation|chat)\b",
    re.IGNORECASE,
)
_DIALOGUE = re.compile(
    r"\b(?:dialog(?:ue)?|conversation|chat(?:bot)?|interview|script|transcript|screenplay|role-?play|exchange"
    r"|skit|prompt)s?\b",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"^[^\S\n]*\W{0,3}([A-Z][\w .'’-]{0,30}):", re.MULTILINE)
_NO_TURN = re.compile(r"(?:human|user|instruction) ?:", re.IGNORECASE)
_MARK_ONLY = re.compile(r"\S*[^\W\d_][^\n]*\n\s*(?:#{1,6}|(?P<number>\d{1,3})[.)])\s*\Z")
_NOT_PICTURES = re.compile(
    r"\b(?:docker\w*|container|disk|iso|system|boot|class|function|program|script|method)\b", re.IGNORECASE
)
_OPEN_END = re.compile(
    r"(?:[,(\[{:]|(?<=\s)[-–—&]"
    r"|\b(?:and|or|but|the|an|of|to|with|for|from|that|which|because|such as|including|by|into|its|their))\Z",
    re.IGNORECASE,
)
_LIST = re.compile(r"\s*(?:[-*+•]|\d+[.)]|[A-Za-z][.)]|#|>|\|)")
_SENTENCES = re.compile(r"[a-z][a-z'’]+[.!?] +[A-Z][^.!?=]*\Z")
_TURN = re.compile(
    r"^(?:#{2,} ?(?:instruction|input|human|user|question)\b:?|(?:human|user|instruction) ?:"
    r"|<\|(?:im_start|user|start_header_id)\b|\[/?INST\])",
    re.IGNORECASE | re.MULTILINE,
)
_MIXED_UP = re.compile(
    r"(?:Ã[\x80-\xbf\u0152-\u02dc\u2013-\u2122]|Â[\x80-\xbf]|â€[\x80-\xbf\u0152-\u02dc\u2013-\u2122]|ðŸ|Ð[\x80-\xbf]Ð)"
)
_LOST = re.compile("[\ufffd\x80-\x84\x86-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Exchange(Record):
    """A task with its answer, and in a conversation the texts `before` it."""

    before: tuple[str, ...] = ()


Find = Callable[[Exchange], str | None]


@dataclass(frozen=True)
class Check:
    """A fault: a description, and the function that finds it in an exchange."""

    what: str
    find: Find


def texts_of(record: Record) -> tuple[str, str, str]:
    """Return instruction, input and output."""
    return record.instruction, record.input, record.output


def around(text: str, start: int, end: int) -> str:
    """Return a span of a text with some context, on one line."""
    return " ".join(text[max(0, start - _SHOWN // 2) : end + _SHOWN].split())


def _searched(pattern: re.Pattern[str], *parts: str) -> Find:
    """Return a check that searches these parts of a record for a pattern."""

    def find(record: Exchange) -> str | None:
        for part in parts:
            text = getattr(record, part)
            if (found := pattern.search(text)) is not None:
                return f"{part}: {around(text, found.start(), found.end())}"
        return None

    return find


def _changed(fix: Callable[[str], str]) -> Find:
    """Return a check for a text that `fix` would change; the finding is escaped."""

    def find(record: Exchange) -> str | None:
        for part, text in zip(("instruction", "input", "output"), texts_of(record), strict=True):
            better = fix(text)
            if better != text:
                at = next((at for at, (a, b) in enumerate(zip(text, better, strict=False)) if a != b), len(better))
                shown = text[max(0, at - 20) : at + 20]
                return f"{part}: {shown!r}"
        return None

    return find


def empty_instruction(record: Exchange) -> str | None:
    """Find an instruction without a letter or digit."""
    return repr(record.instruction[:_SHOWN]) if drop_empty(record) == "empty_instruction" else None


def empty_output(record: Exchange) -> str | None:
    """Find an output without a visible character."""
    return repr(record.output[:_SHOWN]) if is_blank(record.output) else None


def empty_code(record: Exchange) -> str | None:
    """Find an empty code block."""
    found = next((piece for piece in pieces(record.output) if piece.is_empty_block), None)
    return found.text if found else None


def no_input(record: Exchange) -> str | None:
    """Find an input such as "N/A" or "No input required."."""
    return record.input if is_no_input(record.input) else None


def url_input(record: Exchange) -> str | None:
    """Find an input that is only a URL, an image or a file name, unless the task wants code or is about such references."""
    found = _ONLY_A_REFERENCE.fullmatch(record.input.strip()[:2000])
    asked = record.instruction
    if found is None or _ABOUT_CODE.search(asked) or (_ABOUT_REFERENCES.search(asked) and not _READS_IT.search(asked)):
        return None
    return record.input.strip()[:200]


def no_context(record: Exchange) -> str | None:
    """Find a first question that continues a conversation, such as "Give me a few more."."""
    if record.before or record.input.strip() or len(record.instruction) > 2000:
        return None
    found = _ASKS_FOR_MORE.fullmatch(record.instruction) or _EARLIER.search(record.instruction)
    return around(record.instruction, found.start(), found.end()) if found else None


def as_an_ai(record: Exchange) -> str | None:
    """Find an output that speaks of itself as an AI or a language model."""
    found = next(
        (one for one in _AS_AN_AI.finditer(record.output) if not _is_quoted_in_code(record.output, one)), None
    )
    found = found or AS_AN_AI_NOT_ENGLISH.search(record.output)
    return f"output: {around(record.output, found.start(), found.end())}" if found else None


def _is_quoted_in_code(text: str, found: re.Match[str]) -> bool:
    """Return whether a match is in a string literal of code, such as an argument of a call."""
    before, after = text[max(0, found.start() - 80) : found.start()], text[found.end() : found.end() + 80]
    return bool(_STRING_BEGINS.search(before) and _STRING_ENDS.match(after))


def refusal(record: Exchange) -> str | None:
    """Find an output that begins with a refusal, in English or 28 other languages."""
    found = _REFUSES.match(record.output[:400]) or REFUSES_NOT_ENGLISH.match(record.output[:400])
    return found.group().strip()[:_SHOWN] if found and not _ASKS_TO_REFUSE.search(record.task[:4000]) else None


def inline_thought(record: Exchange) -> str | None:
    """Find an output with a thought in tags, unless the task speaks of these tags."""
    return record.output.strip()[:_SHOWN] if _thinks(record) else None


def broken(record: Exchange) -> str | None:
    """Find an output whose thought is not opened, not closed or without an answer after it."""
    problem = broken_thought(record.output) if _thinks(record) else None
    return f"{problem}: {record.output.strip()[:_SHOWN]}" if problem else None


def _thinks(record: Exchange) -> bool:
    return has_thought(record.output) and not has_thought(record.task)


def na_output(record: Exchange) -> str | None:
    """Find an output such as "N/A" or "no output"."""
    return record.output if _NO_OUTPUT.fullmatch(record.output.strip()) else None


def invented_url(record: Exchange) -> str | None:
    """Find a URL in the output that is in neither the task nor the earlier turns; addresses reserved for examples and XML
    namespaces are allowed.
    """
    if "//" not in record.output and "www." not in record.output:
        return None
    task = "\n".join([*record.before, record.task]).casefold()
    for found in _URL.finditer(record.output):
        url = found.group().rstrip(".,;:!?*_")
        bare = re.sub(r"^https?://", "", url, flags=re.IGNORECASE).rstrip("/")
        written_by_code = any(sign in bare.partition("/")[0] for sign in "{$%")
        if bare.casefold() not in task and not written_by_code and not _RESERVED.match(bare):
            return url[:200]
    return None


def truncated(record: Exchange) -> str | None:
    """Find an output that ends inside a sentence or a code block."""
    last = next(iter(deque(pieces(record.output), maxlen=1)), None)
    if last is None or (last.is_code and last.closed):
        return None
    if last.is_code:
        return f"the code block is not closed: {record.output[-_SHOWN:]}"
    text = record.output.rstrip()
    line = text[text.rfind("\n") + 1 :]
    words = len(line.split())
    if (mark := _MARK_ONLY.search(text[-500:])) and (
        not mark["number"] or f"\n{int(mark['number']) - 1}" in f"\n{text}"
    ):
        return f"... {text[-_SHOWN:]}"
    open_end = words > 2 and _OPEN_END.search(line) and not (line.endswith((":", "{", "(", "[")) and words < 4)
    if open_end and {*_WORD.findall(line.lower())} <= {*_WORD.findall(record.task.lower())}:
        return None  # words of the task in another order
    amid = not _LIST.match(line) and line[-1:].isalnum() and words > 7 and _SENTENCES.search(line[-2000:])
    return f"... {line[-_SHOWN:]}" if open_end or amid else None


def repeated_input(record: Exchange) -> str | None:
    """Find an output that repeats the input, the instruction or both."""
    return record.output[:_SHOWN] if record.output.strip() and drop_output_repeats_task(record) else None


def wrong_arithmetic(record: Exchange) -> str | None:
    """Find wrong arithmetic."""
    verdict = _ARITHMETIC(record, {})
    return verdict if isinstance(verdict, str) else None


def image_task(record: Exchange) -> str | None:
    """Find a task that refers to an image or asks for one."""
    if (shown := _IMG.search(record.task)) and not speaks_of_html(_IMG.sub("", record.task)):
        return around(record.task, shown.start(), shown.end())
    found = _IMAGE_TASK.search(record.task)
    if found is None or (_NOT_PICTURES.search(record.task) and "![" not in found.group()):
        return None
    return around(record.task, found.start(), found.end())


def comma_end(record: Exchange) -> str | None:
    """Find an instruction that ends in a comma."""
    return record.instruction[-_SHOWN:] if record.instruction.rstrip().endswith((",", "、", "，")) else None


def merged_turns(record: Exchange) -> str | None:
    """Find a label of another turn in the output, unless the task has the same label, or the output is a dialogue."""
    text = prose_of(record.output)
    dialogue = _is_dialogue(text) or _DIALOGUE.search(record.task)
    for found in _TURN.finditer(text):
        if dialogue and _NO_TURN.fullmatch(found.group()):
            continue
        if found.group().casefold() not in record.task.casefold():
            return around(text, found.start(), found.end())
    return None


def _is_dialogue(text: str) -> bool:
    """Return whether a text begins with the label of a speaker that occurs again, or of a user whom another speaker answers."""
    first = _SPEAKER.match(text.lstrip())
    names = [found[1].casefold() for found in _SPEAKER.finditer(text)] if first else []
    return bool(first) and (names.count(names[0]) > 1 or (names[0] in ("user", "human") and len({*names}) > 1))


def mojibake(record: Exchange) -> str | None:
    """Find text decoded in the wrong encoding, or replacement characters."""
    for part, text in zip(("instruction", "input", "output"), texts_of(record), strict=True):
        found = _MIXED_UP.search(text) or _LOST.search(text)
        if found is not None:
            return f"{part}: {around(text, found.start(), found.end())}"
    return None


_ARITHMETIC = arithmetic()
CHECKS = {
    "merged_instructions": Check('another "N. Instruction:" within a text',
                                 _searched(_MERGED, "instruction", "input", "output")),
    "empty_instruction": Check("the instruction is empty", empty_instruction),
    "empty_output": Check("the output is empty", empty_output),
    "empty_code": Check("a code block is empty", empty_code),
    NO_INPUT: Check('the input is "N/A", "No input" or similar', no_input),
    "url_input": Check("the input is only a URL, an image or a file name", url_input),
    "no_context": Check("the first question continues a conversation", no_context),
    "na_output": Check('the output is "N/A", "No output" or similar', na_output),
    "invented_url": Check("a URL in the output that is not in the task", invented_url),
    "as_an_ai": Check("the output calls itself an AI", as_an_ai),
    "refusal": Check("the output refuses", refusal),
    "inline_thought": Check("the output holds a thought in tags", inline_thought),
    "broken_thought": Check("a thought is not opened, not closed or without an answer", broken),
    "truncated": Check("the output ends inside a sentence or a code block", truncated),
    "repeated_input": Check("the output repeats the instruction or the input", repeated_input),
    "wrong_arithmetic": Check("wrong arithmetic", wrong_arithmetic),
    "image_task": Check("the task refers to an image or asks for one", image_task),
    "comma_end": Check("the instruction ends in a comma", comma_end),
    "merged_turns": Check("another turn begins within the output", merged_turns),
    "mojibake": Check("text in the wrong encoding, or replacement characters", mojibake),
    **{name: Check(what, _changed(fix)) for name, (what, fix) in TEXTS.items()},
}  # fmt: skip
TURN_ORDER, DUPLICATE = "turn_order", "duplicate"
OF_ROWS = {TURN_ORDER: "user and assistant do not take turns", DUPLICATE: "a duplicate of an earlier row"}
"""Faults of a whole row, with descriptions; lint.py finds them."""
NAMES = (*CHECKS, *OF_ROWS)
"""Names of all faults."""
