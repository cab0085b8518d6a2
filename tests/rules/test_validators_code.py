"""Answers that must be only code: without fences and prose, and valid if the language is Python."""

import re

import pytest

from self_instruct.records import Record
from self_instruct.rules.python_source import syntax_error
from self_instruct.rules.validators.code import plain_code

PLAIN = {"plain_format": "yes", "language": "Python"}
CODE = "def add(a, b):\n    # Sum of both.\n    return a + b"


def judged(output: str, variables: dict[str, str] = PLAIN, instruction: str = "Add.") -> Record | str:
    return plain_code()(Record("x", instruction, "", output), variables)


@pytest.mark.parametrize(
    "output", [CODE, f"```python\n{CODE}\n```", f"```\n{CODE}\n```\n", f"\n~~~\n{CODE}\n~~~", f"\n{CODE}\n"]
)
def test_a_fence_is_removed_and_code_without_one_is_unchanged(output: str) -> None:
    assert judged(output) == Record("x", "Add.", "", CODE)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (f"Here is the code:\n```python\n{CODE}\n```", "prose_around_code"), (f"```\n{CODE}\n```\nThis adds them.",
        "prose_around_code"),
        (f"```\n{CODE}\n```\n\n```\nadd(1, 2)\n```", "several_blocks"), (f"```python\n{CODE}", "prose_around_code"),
        (f"{CODE}\n\nThis function adds two numbers.", "prose_around_code"), ("```\n```", "no_code"), ("", "no_code"),
        ("def add(a, b)\n    return a", "does_not_compile: line 1"), ("```python\nx = = 1\n```", "does_not_compile"),
        ("x = 1\x00", "does_not_compile"), ("(" * 500 + "x" + ")" * 500, "does_not_compile"), ("a = 1\n" * 40_000,
        "does_not_compile: over"),
    ],
)  # fmt: skip
def test_answers_that_are_not_only_code_are_dropped(output: str, reason: str) -> None:
    found = judged(output)
    assert isinstance(found, str) and found.startswith(reason)


def test_code_is_not_run_and_its_warnings_are_ignored() -> None:
    code = "raise SystemExit(3)\nx = '\\d' is 1"
    assert judged(code) == Record("x", "Add.", "", code)


@pytest.mark.parametrize(
    ("language", "code"),
    [("SQL", "SELECT name FROM users WHERE age > 3;"), ("Bash", "echo hello world\nls -la | wc -l"), ("Rust", "fn main() {}"),
     ("Python 2", "print 'x'"), ("", "def add(a, b) return a")],
)  # fmt: skip
def test_other_languages_are_not_compiled(language: str, code: str) -> None:
    assert judged(code, {"plain_format": "1", "language": language}) == Record("x", "Add.", "", code)


def test_the_format_is_checked_only_if_it_was_requested() -> None:
    prose = f"Here you are:\n```python\n{CODE}\n```"
    for variables in ({}, {"plain_format": "no"}, {"plain_format": ""}):
        assert judged(prose, variables).output == prose
    assert isinstance(judged(prose, {}, "Add. PLAINFORMAT"), str)
    assert isinstance(plain_code(always=True)(Record("x", "Add.", "", prose), {}), str)
    # The fence can name the language.
    assert isinstance(judged("```python\ndef\n```", {"plain_format": "yes"}), str)


NESTED = "".join(f"{' ' * at}try:\n{' ' * at} pass\n{' ' * at}finally:\n" for at in range(40)) + " " * 40 + "pass\n"
"""Its compiled code would be 2**40 times as long."""


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (NESTED, None),
        ("import " + "a." * 90_000 + "a", "a name has over 500 parts"),
        ("(" * 150_000, "line 1: too many nested parentheses"),
        ("-" * 150_000 + "1", "MemoryError|RecursionError"),
        ("x = 1\n" * 40_000, "over 200,000 characters"),
        ("x = '\ud800'", "UnicodeEncodeError"),
        ("x = " + "9" * 5000, r"line 1: Exceeds the limit \(4300 digits\)"),
    ],
)
def test_code_that_is_costly_to_compile_or_parse_is_answered_at_once(code: str, problem: str | None) -> None:
    found = syntax_error(code)
    assert found is None if problem is None else re.match(problem, found or ""), found
