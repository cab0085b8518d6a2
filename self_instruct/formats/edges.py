"""The edges of a field: separators and unpaired code fences around a label belong to no field.

A backslash protects an edge that belongs to the text of a record, so that `trim(protect(text)) == protect(text)` and
`unprotect(protect(text)) == text`.
"""

import re

SEPARATOR = "###"
RULE = r"(?:-{3,99}|\*{3,99})"
FENCE = r"```[\w+#.-]{0,30}"

_RULE = re.compile(RULE)
_SEPARATOR = re.compile(rf"\\*#{{1,{len(SEPARATOR)}}}")
"""A line that is a separator, also one that is escaped or cut."""
_FENCE = re.compile(FENCE)
_FENCE_LINE = re.compile(rf"^[ \t\\]*{FENCE}[ \t\r\\]*$", re.MULTILINE)
_LEADING_FENCE = re.compile(r"```[ \t\r]*(?:\n|\Z)")
_LONGEST = 200


def trim(text: str) -> str:
    """Return the text without white space, separators, and code fences of nothing at its edges."""
    text = text.strip()
    text = text[: _end(text)]
    return text[3:].lstrip() if _opens_unpaired(text) else text


def protect(text: str) -> str:
    """Return the text with a backslash before and after an edge that `trim` would remove, and after such backslashes."""
    core = text.rstrip("\\")
    if _end(core) < len(core):
        text += "\\"
    return "\\" + text if _begins(text) else text


def unprotect(text: str) -> str:
    """Return the text without the backslashes that `protect` adds."""
    if text.startswith("\\") and _begins(text):
        text = text[1:]
    core = text.rstrip("\\")
    return text[:-1] if core != text and _end(core) < len(core) else text


def has_open_fence(text: str) -> bool:
    """Return whether a code fence in the text is not closed."""
    return len(_FENCE_LINE.findall(text)) % 2 == 1


def _begins(text: str) -> bool:
    core = text.lstrip("\\")
    return core[:1].isspace() or _opens_unpaired(core)


def _opens_unpaired(text: str) -> bool:
    """Return whether the text begins with the end of a fence that was opened around the label."""
    if not _LEADING_FENCE.match(text):
        return False
    last = text.rstrip("\\ \t\r\n").rpartition("\n")[2].strip("\\ \t\r")
    return _FENCE.fullmatch(last) is None and has_open_fence(text)


def _end(text: str) -> int:
    """Return the length of the text without white space, separators, an unpaired fence and a fence of nothing at its end.

    A rule below a line of its own signs, as in a picture of asterisks, is part of the text.
    """
    end, begin, unpaired = len(text), len(text) + 1, None
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        if end < begin:
            begin = text.rfind("\n", 0, end) + 1
        line = text[begin:end].strip() if end - begin < _LONGEST else ""
        if _SEPARATOR.fullmatch(line) or (_RULE.fullmatch(line) and not _is_picture(text, begin)):
            end = begin
        elif text.endswith(SEPARATOR, begin, end) and text[end - len(SEPARATOR) - 1].isspace():
            end -= len(SEPARATOR)
        elif _FENCE.fullmatch(line):
            unpaired = has_open_fence(text) if unpaired is None else False
            before = begin if unpaired else _fence_before(text, begin)
            if before is None:
                return end
            end = before
        else:
            return end


def _fence_before(text: str, begin: int) -> int | None:
    """Return where the line before `begin` starts if it is a fence and only white space is between."""
    while begin and text[begin - 1].isspace():
        begin -= 1
    start = text.rfind("\n", 0, begin) + 1
    return start if begin - start < _LONGEST and _FENCE.fullmatch(text[start:begin].strip()) else None


def _is_picture(text: str, begin: int) -> bool:
    before = text[text.rfind("\n", 0, max(0, begin - 1)) + 1 : max(0, begin - 1)][-_LONGEST:].strip()
    return bool(before) and not before.strip("*-_= \t")
