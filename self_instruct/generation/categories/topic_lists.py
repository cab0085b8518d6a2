"""Topics: reading a file of them, and finding them in what a model writes when it is asked for a list.

Knows nothing of prompts, and of novelty only that the same topic written twice is one.
"""

import logging
import re
from pathlib import Path

from self_instruct.errors import UserError

LONGEST = 120
_log = logging.getLogger(__name__)
_ITEM = re.compile(r"^[ \t]*(?:(?:topic[ \t]*)?#?\d{1,5}[ \t]*[.):\]-]|[-*•+][ \t])[ \t]*", re.IGNORECASE)
_MARKS = " \t\r\"'“”‘’`*_.,;:#"


def read_topics(path: Path) -> tuple[str, ...]:
    """The topics of a text file, one a line; blank lines and lines that begin with # are passed over.

    Lines that are no topic, or the same as an earlier one, are told by place and left out. Raises `UserError` if the file
    cannot be read or holds none.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise UserError(f"--topics_path {path}: cannot be read ({error.strerror}); give a text file") from None
    found: dict[str, str] = {}
    faults = []
    for number, raw in enumerate(lines, start=1):
        topic, fault = _line(raw)
        if topic is not None and topic.casefold() in found:
            fault = "stands there already"
        if fault is not None:
            faults.append(f"{path}:{number}: {fault}")
        elif topic is not None:
            found[topic.casefold()] = topic
    if not found:
        raise UserError(f"--topics_path {path}: holds no topic; give a text file with one a line")
    if faults:
        more = f"\n  and {len(faults) - 10} more" if len(faults) > 10 else ""
        _log.warning("topics that are left out:\n  %s%s", "\n  ".join(faults[:10]), more)
    return tuple(found.values())


def _line(raw: bytes) -> tuple[str | None, str | None]:
    """Return the topic of a line, or None for a line without one; and the fault of the line."""
    try:
        text = " ".join(raw.decode("utf-8").split())
    except UnicodeDecodeError:
        return None, "is not UTF-8"
    if not text or text.startswith("#"):
        return None, None
    if len(text) > LONGEST:
        return None, f"is longer than {LONGEST} signs"
    if not re.search(r"\w", text) or not text.isprintable():
        return None, "has no word in it" if text.isprintable() else "has signs that cannot be printed"
    return text, None


def listed(text: str, truncated: bool = False) -> list[tuple[str, str | None]]:
    """The items of a list as models write it, each with the topic that it names, None if it names none: numbered or with
    bullets, in bold, in quotation marks, with a remark after a colon or a dash, in any order and with any numbers.

    Only items count where there are any, else every line does, so that what announces the list is left out; so is a last line
    that the length limit cut.
    """
    lines = text.split("\n")
    if truncated:
        lines = lines[:-1]
    items = [line[match.end() :] for line in lines if (match := _ITEM.match(line))]
    return [(item.strip(), normalised(item)) for item in items or lines if item.strip()]


def normalised(item: str) -> str | None:
    """An item of a list as a topic, without marks around it and remarks after it; None if it is none."""
    bare = " ".join(item.split())
    if bare.endswith(":"):
        return None
    bare = re.split(r"(?:\*\*|__)?\s*(?::(?:\*\*|__)?\s|\s[-–—]\s)", bare)[0]
    bare = re.sub(r"\s*\([^()]*\)$", "", bare).strip(_MARKS)
    if not re.search(r"[^\W\d_]", bare) or not bare.isprintable() or len(bare) > LONGEST or len(bare.split()) > 12:
        return None
    return bare[0].lower() + bare[1:] if bare[1:2].islower() and " " in bare else bare
