"""Clean the text of one turn: remove copy buttons, counters and blank lines that were saved with a chat page."""

import re

from self_instruct.datasets.markup import to_markdown
from self_instruct.rules.fences import Piece, outside_code, pieces

_WORD = r"(?:(?!Copy code)[\w+#.-])*+"
_BUTTON = rf"(?P<language>{_WORD})[ \t]*+\n?+[ \t]*+(?P<below>{_WORD})[ \t]*+(?:Copy code)++"
_COPIED = re.compile(rf"\A(?P<indent>[ \t]*+)(?P<fence>`{{3,}}+)[ \t]*+{_BUTTON}[ \t]*+\n?")
_ONE_LINE = re.compile(
    rf"^(?P<fence>`{{3,}}+)[ \t]*+(?P<language>{_WORD})[ \t]*+(?:Copy code)++(?P<code>[^`\n]*+)(?P=fence)[ \t]*$",
    re.MULTILINE,
)
_GLUED = re.compile(r"(?<=[^\s`])(?P<fence>`{3,})[ \t]*$", re.MULTILINE)
_COUNTER = re.compile(r"\s*(?P<at>\d{1,2}) / (?P<of>\d{1,2})(?=\s*\n|\s*\Z|[^\s\d.,/])")
_COPY_COUNT = re.compile(r"Copy\d+ chars / \d+ words")
_NEWLINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_RATE_LIMIT = re.compile(r"!?Too many requests in \d+ hours?\. Try again later\.", re.IGNORECASE)


def cleaned(text: str, *, html: bool, answer: bool) -> str:
    """Return the text as clean Markdown; the version counter "2 / 3" is removed from answers only.

    Raises NotConverted for HTML that cannot be read.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if html:
        text = to_markdown(text)
    if answer:
        found = _COUNTER.match(text)
        if found and 1 <= int(found["at"]) <= int(found["of"]):
            text = text[found.end() :]
    text = _without_copy_buttons(text) if "Copy code" in text else text
    return outside_code(text, lambda prose: _NEWLINES.sub("\n\n", _COPY_COUNT.sub("", prose))).strip()


def is_rate_limit(text: str) -> bool:
    """Return whether an answer is the page's rate limit message."""
    return _RATE_LIMIT.match(text.strip()) is not None


def _without_copy_buttons(text: str) -> str:
    """Remove captions of copy buttons from code blocks; put fences on separate lines where the caption joined the code."""
    text = _ONE_LINE.sub(r"\g<fence>\g<language>Copy code\n\g<code>\n\g<fence>", text)
    if not all(piece.closed for piece in pieces(text)):
        text = _GLUED.sub(r"\n\g<fence>", text)
    return "".join(_without_button(piece) for piece in pieces(text))


def _without_button(piece: Piece) -> str:
    found = _COPIED.match(piece.text) if piece.is_code else None
    if found is None:
        return piece.text
    rest = piece.text[found.end() :]
    if not rest.strip("` \t\n"):
        return ""
    return f"{found['indent']}{found['fence']}{found['language'] or found['below']}\n{rest}"
