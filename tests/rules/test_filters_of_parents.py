"""The filters of earlier systems, which are off by default, and the selection of filters."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.records import Record
from self_instruct.rules.filters import DEFAULT_RULES, RULES, SWITCHES, build_filters, first_reason
from self_instruct.rules.filters.duplicates import drop_duplicates
from self_instruct.rules.filters.instances import drop_blank, drop_colon, drop_input_as_output
from self_instruct.rules.filters.keywords import ALPACA_KEYWORDS, PAPER_KEYWORDS, drop_keywords
from self_instruct.rules.filters.refusals import drop_refusal


def record(instruction: str = "Add the two numbers.", output: str = "a + b", input: str = "", id: str = "x") -> Record:
    return Record(id, instruction, input, output)


def reason_of(found: str | None) -> str | None:
    return found and found.partition(": ")[0]


# ---- the rules of Self-Instruct for instances


@pytest.mark.parametrize(
    ("instruction", "output", "reason"),
    [("", "x", "empty_instruction"), (" \n", "x", "empty_instruction"), ("x", "", "empty_output"),
     ("x", "\t\n", "empty_output"), ("...", "```\n```", None)],
)  # fmt: skip
def test_only_white_space_is_blank(instruction: str, output: str, reason: str | None) -> None:
    assert drop_blank(record(instruction, output)) == reason


@pytest.mark.parametrize(
    ("input", "output", "reason"),
    [("1 2", "1 2", "input_as_output"), (" 1 2", "1 2\n", "input_as_output"), ("1 2", "1  2", None), ("a", "A", None),
     ("", "a", None), ("a", "", None)],
)  # fmt: skip
def test_an_output_equal_to_the_input_is_rejected(input: str, output: str, reason: str | None) -> None:
    assert drop_input_as_output(record(output=output, input=input)) == reason


@pytest.mark.parametrize(
    ("input", "output", "reason"),
    [("Numbers:", "3", "ends_with_colon: input"), ("1", "Answer: ", "ends_with_colon: output"), ("a: b", "c", None),
     ("", "x : y", None), ("", "if a:\n", "ends_with_colon: output"), ("：", "：", None)],
)  # fmt: skip
def test_an_input_or_output_that_ends_with_a_colon_is_rejected(input: str, output: str, reason: str | None) -> None:
    assert drop_colon(record(output=output, input=input)) == reason


# ---- keywords


def test_alpaca_adds_five_words_to_the_list_of_the_paper() -> None:
    assert set(ALPACA_KEYWORDS) - set(PAPER_KEYWORDS) == {"video", "audio", "music", "flowchart", "diagram"}
    for word in ALPACA_KEYWORDS:
        assert drop_keywords(["alpaca"])(record(f"Please {word.upper()} it")) == f"keyword: {word.upper()}"
    assert drop_keywords(["alpaca"])(record("Describe videos, musical diagrams2 and audiobooks.")) is None
    assert drop_keywords(["default"])(record("Describe the music of a video.")) is None


# ---- refusals

REFUSALS = [
    "That is against my programming.", "Ask OpenAI about it.", "I am a Language Model.", "Some large languages", "As an AI, no",
    "Speaking as a bot", "It was an aide who", "as a generative language", "As a GPT", "That is Illegal and dangerous!",
    "Well, I do not possess personal views", "Well, I don't have consciousness", "Yes, I don't exhibit subjective states",
    "No personal feelings", "My personal beliefs", "our personal goals", "Sorry, I can't help you with that",
    "We cannot share your data", "They can not ever provide", "It won't do this with your", "unable to provide",
    "given my limitations", "beyond the limitations of my", "not among my abilities", "it violates my",
    "Sadly I cannot say whether you are", "But I won't judge if you're", "Yes I am unable to see your house",
    "No, I am not able to read your mind", "And please note that", "a Flesch score",
]  # fmt: skip
HARMLESS = [
    "", "ok", "The model speaks a language.", "as an example", "as an api key", "dangerous and illegal", "I do possess a car",
    "personal computer", "can't provide", "he can't\nprovide; limits", "my limitation", "I will not say what you are",
    "No, I can't say much of it, it is far too long, you are", "please note", "I am able to see your house", "open AI",
    "your own", "The input cannot be empty.",
]  # fmt: skip


@pytest.mark.parametrize("output", REFUSALS)
def test_refusal_phrases_are_found_in_any_case(output: str) -> None:
    assert reason_of(drop_refusal(record(output=output))) == reason_of(drop_refusal(record(output=output.upper())))
    assert reason_of(drop_refusal(record(output=f"  {output}"))) == "refusal"


@pytest.mark.parametrize("output", HARMLESS)
def test_texts_that_only_look_like_a_refusal_pass(output: str) -> None:
    assert drop_refusal(record(output=output)) is None


@pytest.mark.parametrize("begins", ["I'm sorry, no", "Apologies, no", "I can't", "I won't."])
def test_an_apology_counts_only_at_the_beginning_and_in_exact_case(begins: str) -> None:
    assert reason_of(drop_refusal(record(output=begins))) == "refusal"
    assert drop_refusal(record(output=f"- {begins}")) is None
    assert drop_refusal(record(output=begins.lower())) is None


def test_phrases_in_the_first_two_characters_or_in_other_fields_do_not_count() -> None:
    assert drop_refusal(record(output="OpenAI made me")) is None
    assert drop_refusal(record(output=" openai")) is None
    assert drop_refusal(record(output="- openai")) == "refusal: openai"
    assert drop_refusal(record("Ask openai, please note that", "ok", "as an ai")) is None


@given(st.text(st.sampled_from("can't iwosyouruable \n"), max_size=400))
@settings(deadline=None, derandomize=True)
def test_the_reported_phrase_is_in_the_output(text: str) -> None:
    found = drop_refusal(record(output=text))
    assert found is None or re.sub(r"^refusal: ", "", found).lower() in text.lower()


# ---- duplicates


def test_a_duplicate_names_the_first_record_which_passes() -> None:
    rule = drop_duplicates()
    assert rule(record("a", "b", "c", "1")) is None
    assert rule(record("a", "b", "c", "2")) == "duplicate: 1"
    assert rule(record("a", "b", "c", "3")) == "duplicate: 1"
    for other in (record("A", "b", "c", "4"), record("a", "b ", "c", "5"), record("a", "b", "", "6")):
        assert rule(other) is None
    assert drop_duplicates()(record("a", "b", "c", "2")) is None


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("cd"), st.sampled_from("ef")), max_size=30))
@settings(deadline=None, derandomize=True)
def test_the_kept_records_are_the_distinct_ones_in_order(rows: list[tuple[str, str, str]]) -> None:
    rule = drop_duplicates()
    left = [row for at, row in enumerate(rows) if rule(Record(str(at), *row)) is None]
    assert left == list(dict.fromkeys(rows))


# ---- the selection of rules

BAD = {
    "empty": record("..."), "length": record("Add it"), "keywords": record("Draw the two numbers."),
    "openings": record("Write a program that adds."), "punctuation": record("'Add the two numbers.'"),
    "non_ascii": record("• Add the two numbers."), "repeats_task": record(output="add the two numbers."),
    "echo": record(output="Here: every task must be new and short"), "loops": record(output="x = 1\n" * 5),
    "blank": record(output=" "), "input_as_output": record(output="7", input="7"), "colon": record(output="as follows:"),
    "refusals": record(output="No. As an AI I cannot."), "requests": record("The two numbers are equal."),
    "unanswered": record("Write a function add(a, b).", "add"), "python": record("Add them in Python.", "print(a +"),
    "copied_output": record("Subtract the two numbers.", "def add(first, second):\n    return first + second", id="2"),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in RULES if name not in SWITCHES])
def test_a_rule_alone_gives_its_own_reasons(name: str) -> None:
    filters = build_filters("Every task must be new and short", keywords=["default"], rules=[name])
    if name in ("duplicates", "copied_output"):
        assert first_reason(filters, record(output=BAD.get(name, record()).output, id="1")) is None
    candidate = BAD.get(name, record(id="2"))
    assert reason_of(first_reason(filters, candidate)) in RULES[name]


@pytest.mark.parametrize("name", DEFAULT_RULES)
def test_an_unlisted_rule_is_not_applied(name: str) -> None:
    others = [rule for rule in DEFAULT_RULES if rule != name]
    filters = build_filters("Every task must be new and short", keywords=["default"], rules=others)
    assert reason_of(first_reason(filters, BAD[name])) not in RULES[name]
    assert first_reason(build_filters("x", rules=[]), BAD[name]) is None


def test_rules_are_applied_in_the_given_order() -> None:
    both = record("'Add it'")
    for rules, reason in (
        (["length", "punctuation"], "too_short"),
        (["punctuation", "length"], "starts_with_punctuation"),
    ):
        assert reason_of(first_reason(build_filters("x", rules=rules), both)) == reason
