"""Reject outputs that should be Python code but do not parse."""

import re
import textwrap
from collections.abc import Iterator

from self_instruct.records import Record
from self_instruct.rules.python_source import syntax_error

_FENCE = re.compile(r"[ \t]*(?P<fence>`{3,}|~{3,})[ \t]*(?P<tag>[\w+#.-]*)")
_PYTHON_TAGS = ("python", "python3", "py", "py3")
_ABOUT_PYTHON = re.compile(r"\b(?:python|pandas|numpy|django|flask|pytest)", re.IGNORECASE)
_OTHER_LANGUAGE = re.compile(
    r"(?i:\b(?:java|javascript|js|node|typescript|c\+\+|c#|ruby|rails|golang|rust|php|perl|swift|kotlin|scala|haskell|sql"
    r"|bash|shell|powershell|matlab|julia|lua|dart|pseudo-?code|cython|mojo|gdscript|nim|coffeescript|crystal"
    r"|elixir|starlark|solidity|groovy|makefile|dockerfile)(?!\w))|\b(?:C|R|Go)\b"
)
_MAY_BE_INVALID = re.compile(
    r"\b(?:(?:syntax|indentation) ?errors?|(?:invalid|incorrect|incomplete|broken|buggy|wrong|faulty) (?:python|code|syntax)"
    r"|fragment|fill in|blanks?|python ?2|pseudo-?code|placeholders?|template|skeleton)\b",
    re.IGNORECASE,
)
_REPAIRS = re.compile(r"\W*(?:please )?(?:fix|correct|repair|debug)\b", re.IGNORECASE)
_ASKS_FOR_A_LINE = re.compile(r"\b(?:line|header|signature|statement|declaration|clause)\b", re.IGNORECASE)
_DEFINES = re.compile(r"(?:async[ \t]+)?(?:def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[(:])")
_STATEMENT = re.compile(
    r"import \w[\w.]*(?: as \w+)?(?:, ?\w[\w.]*)*$|from [\w.]+ import\b|print[ \t]*\((?:.*\)|[^)]*)$"
    r"|(?:for|while|if|with)\b.*:$|try:$"
)
_ASSIGNMENT = re.compile(r"@\w|[A-Za-z_][\w.\[\]'\"]*[ \t]*=(?!=)")
_CONSOLE = re.compile(r"^(?:[ \t]*(?:>>>|In \[)|[!%$][ \t]?\w)", re.MULTILINE)
_SENTENCE_WORDS = 5


def drop_invalid_python(record: Record) -> str | None:
    """Reject with `invalid_python` if the output has Python code that does not parse.

    A fenced block with the tag of Python holds Python code. A block without a tag, or an output without blocks, does so if the
    task is about Python and no other language and the text begins like code, or if it defines a function or class as Python
    does. Text with sentences, console transcripts, and answers to tasks that may ask for invalid code pass.
    """
    if _MAY_BE_INVALID.search(record.task) and not _REPAIRS.match(record.instruction):
        return None
    for code in _python_parts(record):
        if not _CONSOLE.search(code) and (error := _error_in(code, record.instruction)) is not None:
            return f"invalid_python: {error}"
    return None


def _error_in(code: str, instruction: str) -> str | None:
    code = textwrap.dedent(code.strip("\n"))
    if code.rstrip().endswith(":") and "\n" not in code.strip() and _ASKS_FOR_A_LINE.search(instruction):
        code = f"{code.rstrip()} pass"
    return syntax_error(code)


def _python_parts(record: Record) -> Iterator[str]:
    """Yield the texts in the output that should be Python."""
    judged = not _OTHER_LANGUAGE.search(record.task)
    about = judged and _ABOUT_PYTHON.search(record.task) is not None
    blocks = list(_blocks(record.output))
    for tag, code in blocks or [("", record.output)]:
        if tag in _PYTHON_TAGS or (not tag and judged and _is_python(code, about)):
            yield code


def _is_python(text: str, about: bool) -> bool:
    """Return whether a text looks like Python code. `about` says whether the task is about Python."""
    lines = [line for line in text.splitlines() if line.strip()]
    code = [line for line in lines if not line.lstrip().startswith("#")]
    if not code or any(map(_is_sentence, code)):
        return False
    if about:
        first, typical = code[0].strip(), (_DEFINES, _STATEMENT)
        begins = any(pattern.match(first) for pattern in (*typical, _ASSIGNMENT))
        return begins and any(pattern.match(line.strip()) for pattern in typical for line in code)
    return any(_DEFINES.match(line) and line.rstrip().endswith(":") for line in code) and "end" not in map(
        str.strip, code
    )


def _is_sentence(line: str) -> bool:
    words = line.split()
    announces = words[-1][-1] == ":" and words[0][:1].isupper() and "(" not in words[0]
    return len(words) >= _SENTENCE_WORDS and not line[0].isspace() and (words[-1][-1] in ".!?" or announces)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the fenced blocks of a text, each with its tag in lower case; a block that is not closed extends to the end."""
    fence, tag, lines = "", "", list[str]()
    for line in text.splitlines():
        found = _FENCE.match(line)
        if found and not fence:
            fence, tag, lines = found["fence"], found["tag"].lower(), []
        elif found and fence and found["fence"].startswith(fence) and not found["tag"]:
            yield tag, "\n".join(lines)
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        yield tag, "\n".join(lines)
