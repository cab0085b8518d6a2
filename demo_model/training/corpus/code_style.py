"""The layout of a Python function: type hints, docstring, guard against empty input.

Statements are passed in finished.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """Optional parts of a function."""

    hints: bool = False
    docstring: str = ""
    guard: bool = False


def function(name: str, argument: str, kind: str, returns: str, body: str, layout: Layout) -> str:
    """The text of a function of one argument; `kind` and `returns` are its annotations."""
    signature = f"{name}({argument}: {kind})" if layout.hints else f"{name}({argument})"
    arrow = f" -> {returns}" if layout.hints and returns else ""
    lines = [f"def {signature}{arrow}:"]
    if layout.docstring:
        lines.append(f'    """{layout.docstring}"""')
    if layout.guard:
        lines += [f"    if not {argument}:", f'        raise ValueError("{argument} is empty")']
    lines += [f"    {line}" for line in body.splitlines()]
    return "\n".join(lines)


def camel(name: str) -> str:
    """The JavaScript spelling of a snake_case name."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
