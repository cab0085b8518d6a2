"""Filters by patterns of the user: what they match, and patterns that are refused before a run starts."""

import re

import pytest

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.rules.filters import patterns
from self_instruct.rules.filters.patterns import MAX_CHARACTERS, compile_pattern, drop_matching, search


def found(patterns: list[str], instruction: str) -> str | None:
    return drop_matching(patterns, "--skip_instruction_re", "skipped")(Record("x", instruction, "blog", "blog"))


def test_a_pattern_matches_anywhere_in_the_instruction_in_any_case() -> None:
    assert found([r"\bblogs?\b", "poem"], "Write a BLOG\npost.") == "skipped: BLOG"
    assert found(["poem", "post"], "Write a blog post.") == "skipped: post"
    assert found(["poem"], "Write a blog post.") is None
    assert found([], "Write a blog post.") is None and found([" "], "Write a blog post.") is None
    assert found([r"(?-i:BLOG)"], "Write a blog post.") is None


@pytest.mark.parametrize(
    ("instruction", "asks"),
    [("Write a Python script that sorts.", True), ("Generate code for it.", True), ("Please create a small program.", True),
     ("write me a function", True), ("Write a poem about a program.", False), ("Describe the script.", False),
     ("Rewrite code", False)],
)  # fmt: skip
def test_default_means_requests_for_programs(instruction: str, asks: bool) -> None:
    rule = drop_matching(["default"], "--code_gen_re", "asks_for_code")
    assert ((rule(Record("x", instruction, "", "")) or "").startswith("asks_for_code: ")) == asks


@pytest.mark.parametrize(
    ("pattern", "place"),
    [("abc[", "position 4"), ("a(b", "position 3"), ("*a", "position 0"), (r"(?P<n>a)(?P<", "position 12")],
)
def test_an_invalid_pattern_is_refused_with_the_position(pattern: str, place: str) -> None:
    with pytest.raises(UserError, match=re.escape(pattern)) as caught:
        drop_matching([pattern], "--code_gen_re", "asks_for_code")
    assert place in str(caught.value) and "--code_gen_re" in str(caught.value)


@pytest.mark.parametrize("pattern", [r"(?:a|aa)+$", r"(.*?,){30}P"])
def test_a_pattern_with_catastrophic_backtracking_is_refused(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_PROBE_SECONDS", 0.1)
    with pytest.raises(UserError, match="catastrophic backtracking"):
        compile_pattern(pattern, "--skip_instruction_re")


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"^\s*write\b.*\bcode\b", r"^(\w+\s?)*$", "ä|ö", r"\p{Han}", "x" * 2000]
)
def test_other_patterns_are_accepted(pattern: str) -> None:
    assert search(compile_pattern(pattern, "--x"), "nothing to see here!" * 10, "--x") is None


def test_only_the_beginning_of_a_huge_text_is_searched() -> None:
    assert found(["needle"], "x" * MAX_CHARACTERS + "needle") is None
    assert found(["needle"], "x" * (MAX_CHARACTERS - 6) + "needle") is not None
