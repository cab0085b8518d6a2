"""Read topics from a file, and from a list that a model wrote.

A topic that occurs twice, in any case, counts once.
"""

import logging
import re
from pathlib import Path

from self_instruct.errors import UserError
from self_instruct.user_files import regular_bytes

LONGEST = 120
_log = logging.getLogger(__name__)
_ITEM = re.compile(r"^[ \t]*(?:(?:topic[ \t]*)?#?\d{1,5}[ \t]*[.):\]-]|[-*•+][ \t])[ \t]*", re.IGNORECASE)
_MARKS = " \t\r\"'“”‘’`*_.,;:#"


def read_topics(path: Path) -> tuple[str, ...]:
    """Return the topics of a text file, one per line; blank lines and lines that begin with # are skipped.

    Lines without a topic, or with an earlier one, are reported with their number and skipped. Raises `UserError` if
    the file cannot be read or has no topic.
    """
    try:
        lines = regular_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise UserError(f"--topics_path {path}: cannot be read ({error.strerror}); give a text file") from None
    found: dict[str, str] = {}
    skipped = []
    for number, raw in enumerate(lines, start=1):
        topic, reason = _line(raw)
        if topic is not None and topic.casefold() in found:
            reason = "repeats an earlier topic"
        if reason is not None:
            skipped.append(f"{path}:{number}: {reason}")
        elif topic is not None:
            found[topic.casefold()] = topic
    if not found:
        raise UserError(f"--topics_path {path}: has no topic; give a text file with one per line")
    if skipped:
        more = f"\n  and {len(skipped) - 10} more" if len(skipped) > 10 else ""
        _log.warning("skipped topics:\n  %s%s", "\n  ".join(skipped[:10]), more)
    return tuple(found.values())


def _line(raw: bytes) -> tuple[str | None, str | None]:
    """Return the topic of a line and the reason to skip it; both are None for a blank line or a comment."""
    try:
        text = " ".join(raw.decode("utf-8").split())
    except UnicodeDecodeError:
        return None, "is not UTF-8"
    if not text or text.startswith("#"):
        return None, None
    if len(text) > LONGEST:
        return None, f"is longer than {LONGEST} characters"
    if not re.search(r"\w", text) or not text.isprintable():
        return None, "has no word in it" if text.isprintable() else "has unprintable characters"
    return text, None


def listed(text: str, truncated: bool = False) -> list[tuple[str, str | None]]:
    """Return the items of a list that a model wrote, each with its topic, or None if it has none. Items may be
    numbered in any order or have bullets, bold text, quotation marks, and a remark after a colon or a dash.

    If there are items, other lines are skipped, such as the sentence before the list; otherwise every line is an item.
    A last line that the length limit cut is skipped.
    """
    lines = text.split("\n")
    if truncated:
        lines = lines[:-1]
    items = [line[match.end() :] for line in lines if (match := _ITEM.match(line))]
    return [(item.strip(), normalised(item)) for item in items or lines if item.strip()]


def normalised(item: str) -> str | None:
    """Return the topic of an item, without punctuation around it or remarks after it; None if it is not a topic."""
    bare = " ".join(item.split())
    if bare.endswith(":"):
        return None
    bare = re.split(r"(?:\*\*|__)?\s*(?::(?:\*\*|__)?\s|\s[-–—]\s)", bare)[0]
    bare = re.sub(r"\s*\([^()]*\)$", "", bare).strip(_MARKS)
    if not re.search(r"[^\W\d_]", bare) or not bare.isprintable() or len(bare) > LONGEST or len(bare.split()) > 12:
        return None
    return bare[0].lower() + bare[1:] if bare[1:2].islower() and " " in bare else bare
