"""Check the plain format of code: the answer is only code."""

import re
from dataclasses import replace

from self_instruct.records import Record
from self_instruct.rules.python_source import syntax_error
from self_instruct.rules.validators.contract import Validator, Variables, is_set

_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*+(?P<tag>[\w+#.-]*+)[ \t]*$", re.MULTILINE)
_TAG = re.compile(r"\bPLAIN[_ ]?FORMAT\b", re.IGNORECASE)
_COMMENT = re.compile(r"^\s*(?:#|//|/?\*|--|;|%|\"\"\"|'''|<!--|REM\b)", re.IGNORECASE)
_CODE_CHARACTERS = re.compile(r"[{}\[\]();=<>$\\|_@]|\w\.\w|::|->|\b\w+\(")
_CHAT_OPENING = re.compile(
    r"^(?:sure|certainly|of course|here(?:'s| is| are)|below is|the following|this (?:code|function|script|program|solution)"
    r"|explanation|note|output|example usage|you can|i (?:have|can|will)|let me|in this)\b",
    re.IGNORECASE,
)


def plain_code(always: bool = False) -> Validator:
    """Require an answer that is only code, and remove the fence around it.

    The validator applies if the variable `plain_format` is set, the instruction contains PLAINFORMAT, or with `always`; other
    records pass unchanged. Reject with `prose_around_code`, `several_blocks` or `no_code`, and with `does_not_compile` if the
    variable `language` or the fence names Python and the code is not valid Python.
    """

    def validator(record: Record, variables: Variables) -> Record | str:
        if not (always or is_set(variables, "plain_format") or _TAG.search(record.instruction)):
            return record
        code, tag, reason = _unwrapped(record.output)
        if reason:
            return reason
        language = (variables.get("language") or tag).strip().lower()
        if language in ("python", "python3", "py") and (error := syntax_error(code)) is not None:
            return f"does_not_compile: {error}"
        return replace(record, output=code)

    return validator


def _unwrapped(output: str) -> tuple[str, str, str | None]:
    """Return the code of an output, the language of its fence, and the reason if the output is not only code, else None."""
    fences = list(_FENCE.finditer(output))
    if not fences:
        code, tag = output.strip("\n"), ""
        outside = code
    else:
        closing = [fence for fence in fences[1:] if not fence["tag"] and fence["fence"][0] == fences[0]["fence"][0]]
        if not closing:
            return "", "", "prose_around_code: a fence is not closed"
        if len(fences) > 2:
            return "", "", f"several_blocks: {len(fences) // 2}"
        outside = (output[: fences[0].start()] + "\n" + output[closing[0].end() :]).strip()
        if outside:
            return "", "", f"prose_around_code: {' '.join(outside.split())[:80]}"
        code, tag = output[fences[0].end() + 1 : closing[0].start()].rstrip("\n"), fences[0]["tag"]
    if not re.search(r"\w", code):
        return "", "", "no_code"
    prose = None if fences else next((line for line in outside.splitlines() if _is_prose(line)), None)
    return code, tag, f"prose_around_code: {prose.strip()[:80]}" if prose else None


def _is_prose(line: str) -> bool:
    """Return whether a line is a sentence, not a comment or a statement.

    A sentence must end with a full stop or the like, because SQL and shell commands look like prose without one.
    """
    text = line.strip()
    if not text or _COMMENT.match(text) or line.startswith((" ", "\t")):
        return False
    words = text.split()
    spoken = len(words) >= 3 and _CHAT_OPENING.match(text) is not None and text[-1] in ".:!"
    sentence = len(words) >= 5 and text[0].isupper() and text[-1] in ".:!?" and not _CODE_CHARACTERS.search(text)
    return spoken or sentence
