"""Regular expressions, which run in Python's `re`. A test asks whether a text matches as a whole, or for all matches in it."""

import re
import warnings

from self_instruct.rules.execution.mutation import with_one_token_changed
from self_instruct.rules.fences import blocks

_TAGS = ("", "regex", "regexp", "re", "pcre", "text", "plaintext")
_NAMES_REGEX = re.compile(r"\b(?:regex(?:es|p|ps)?|regular expressions?)\b", re.IGNORECASE)
_DELIMITED = re.compile(
    r"/(?P<slashes>.+)/[a-z]*|[rR](?P<quote>['\"])(?P<raw>.+)(?P=quote)|(?P<tick>`+)(?P<ticks>.+)(?P=tick)"
)
_MAX_CHARACTERS = 500
_SPECIAL = re.compile(r"[\\\[\](){}|^$*+?.]")
_TOKEN = re.compile(
    r"(?P<class>\\[dDwWsSbB])|(?P<escape>\\.)|(?P<negated>\[\^)|(?P<count>\{\d+(?:,\d*)?\})|(?P<group>\(\?(?:[:=!]|<[=!]|P<\w+>))"
    r"|(?P<sign>[*+?|.^$])|(?P<range>[A-Za-z0-9]-[A-Za-z0-9])|(?P<letter>[A-Za-z0-9_@#%&,;:-])"
)
_OTHER = {"*": "+", "+": "*", "?": "", "|": "", ".": "x", "^": "", "$": ""}

_SIGNATURES = "def matches(text: str) -> bool:\ndef found(text: str) -> list[str]:"
EXAMPLES = (
    ("Write a regular expression for times such as 09:30, from 00:00 to 23:59.",
     _SIGNATURES,
     "assert matches('09:30')\nassert matches('23:59')\nassert not matches('24:00')\nassert not matches('12:60')\n"
     "assert not matches('9:30')"),
    ("Give a regex that finds hashtags: a hash sign followed by letters or digits.",
     _SIGNATURES,
     "assert found('see #one, #2 and # three') == ['#one', '#2']\nassert not matches('one')\nassert not matches('#')"),
    ("Which regex accepts whole numbers without leading zeros, also negative ones?",
     _SIGNATURES,
     "assert matches('0')\nassert matches('-105')\nassert not matches('007')\nassert not matches('1.5')"),
)  # fmt: skip
"""Tasks, signatures and tests."""

_MODULE = """
import re

SOLUTION = re.compile({code!r})

def matches(text):
    return SOLUTION.fullmatch(text) is not None

def found(text):
    return [match.group() for match in SOLUTION.finditer(text)]
"""


def wants(task: str) -> bool:
    """Return whether a task asks for a regular expression."""
    return _NAMES_REGEX.search(task) is not None


def code_of(task: str, output: str) -> str | None:
    """Return the regular expression of an answer to a task that asks for one: a fenced block, a text between back quotes, or
    the whole answer, of one line. None if there is none, or if Python cannot compile it.
    """
    if not wants(task):
        return None
    found = [code.strip() for tag, code in blocks(output) if tag in _TAGS] or [output.strip()]
    text = found[0]
    if "\n" in text or "`" in text[1:-1] or len(text.split()) > 3:  # prose around an expression
        text = next(iter(re.findall(r"`([^`\n]+)`", output)), "")
    if len(text) > _MAX_CHARACTERS:
        return None
    if whole := _DELIMITED.fullmatch(text):
        text = whole["slashes"] or whole["raw"] or whole["ticks"]
    return text if _SPECIAL.search(text) and _compiles(text) else None


def signatures(code: str) -> str:
    """Return the signatures of the two functions."""
    return _SIGNATURES


def names(code: str) -> set[str]:
    """Return the names of the two functions."""
    return {"matches", "found"}


def module(code: str) -> str:
    """Return a module with `matches(text)`, for the whole text, and `found(text)`, which lists all matches."""
    return _MODULE.format(code=code)


def trivial(code: str) -> list[str]:
    """Return an expression that matches nothing, and one that matches everything."""
    return ["(?!)", "(?s:.*)"]


def mutants(code: str, limit: int) -> list[str]:
    """Return at most `limit` copies of the expression with another class, number, letter or repetition; all of them compile."""
    return [text for text in with_one_token_changed(code, _TOKEN, _changed, limit) if _compiles(text)]


def _changed(match: re.Match[str]) -> str | None:
    text = match.group()
    if match["class"]:
        return text.swapcase()
    if match["negated"]:
        return "["
    if match["count"]:
        return re.sub(r"\d+", lambda number: str(int(number.group()) + 1), text)
    if match["range"]:
        return text[0]
    if match["letter"]:
        return "x" if text != "x" else "y"
    return _OTHER.get(text)


def _compiles(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, RecursionError, OverflowError, MemoryError, ValueError):
        return False
    return True
