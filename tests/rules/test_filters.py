"""The default filters: accepted and rejected records for each reason, with the values at the limits."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.records import Record
from self_instruct.rules.filters import build_filters, first_reason
from self_instruct.rules.filters.keywords import PAPER_KEYWORDS, drop_keywords
from self_instruct.rules.filters.length import drop_length
from self_instruct.rules.filters.openings import drop_non_ascii, drop_openings, drop_punctuation, without_programming
from self_instruct.rules.filters.output import drop_echo, drop_empty, drop_output_repeats_task
from self_instruct.rules.filters.refusals import drop_refusal
from self_instruct.rules.filters.repetition import drop_loop

HEADER = "Write tasks for an assistant.\n1. Every task must differ from the others.\n- Keep it short.\nList of tasks:"


def record(instruction: str = "Add the two numbers.", output: str = "a + b", input: str = "") -> Record:
    return Record("x", instruction, input, output)


def reason_of(found: str | None) -> str | None:
    """Return the reason without the matched text."""
    return found and found.partition(": ")[0]


# ---- empty


@pytest.mark.parametrize("instruction", ["", " ", "...", "###", "-- !?"])
def test_an_instruction_without_any_word_is_empty(instruction: str) -> None:
    assert reason_of(drop_empty(record(instruction))) == "empty_instruction"


@pytest.mark.parametrize("output", ["", " \n", "```\n```", "```python\n\n```", "```", "``` \n \n```\n"])
def test_white_space_and_empty_fences_are_not_an_output(output: str) -> None:
    assert reason_of(drop_empty(record(output=output))) == "empty_output"


@pytest.mark.parametrize("output", ["+", "0", "...", "```\nx\n```", "a ``` b", "好"])
def test_a_single_character_is_an_output(output: str) -> None:
    assert drop_empty(record("x", output)) is None


# ---- length


@pytest.mark.parametrize(
    ("words", "reason"), [(0, "too_short"), (3, "too_short"), (4, None), (9, None), (10, "too_long")]
)
def test_the_bounds_of_length_are_inclusive(words: int, reason: str | None) -> None:
    assert reason_of(drop_length(4, 9)(record("\n\t ".join(["w"] * words)))) == reason


# ---- keywords


@pytest.mark.parametrize("word", PAPER_KEYWORDS)
def test_default_means_the_words_of_the_paper(word: str) -> None:
    for shown in (word, word.upper(), word.title()):
        assert reason_of(drop_keywords(["default"])(record(f"Please {shown}, now."))) == "keyword"


@pytest.mark.parametrize(
    "instruction", ["Profile the code.", "Mapped values", "Paragraph", "imagery", "Plots twist", "file_name"]
)
def test_a_keyword_inside_a_longer_word_does_not_match(instruction: str) -> None:
    assert drop_keywords(["default"])(record(instruction)) is None


@pytest.mark.parametrize(
    ("word", "instruction", "reason"),
    [
        ("c++", "Port it to C++ today", "keyword"),
        ("c++", "Port it to C+++", "keyword"),
        ("c++", "Port it to abc++", None),
        ("a.b", "call a.b now", "keyword"),
        ("a.b", "call aXb now", None),
        ("straße", "eine STRASSE", None),
        ("über", "Über allem", "keyword"),
    ],
)
def test_a_custom_keyword_matches_literally_in_any_case(word: str, instruction: str, reason: str | None) -> None:
    assert reason_of(drop_keywords([word])(record(instruction))) == reason


def test_keywords_are_searched_in_the_instruction_only() -> None:
    assert drop_keywords(["file"])(record("Add them.", "the file", "a file")) is None


@pytest.mark.parametrize("words", [[], [""], [" "]])
def test_without_a_keyword_nothing_is_dropped(words: list[str]) -> None:
    assert drop_keywords(words)(record("Draw a map of the file.")) is None


# ---- openings


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [("Write a program that adds.", "opening"), ("Write a programme.", "opening"), ("Write a Program", None),
     ("write a program", None), ("Please write a program", None), ("Write a poem", None), ("GIVE me", "opening"),
     ("Give", None), ("", None)],
)  # fmt: skip
def test_a_lower_case_opening_matches_any_case_and_others_match_exactly(instruction: str, reason: str | None) -> None:
    assert reason_of(drop_openings(["Write a program", "give me"])(record(instruction))) == reason


@pytest.mark.parametrize(
    ("openings", "left"),
    [
        (["Write a program", "Write a function", "Explain"], ["Explain"]),
        (["write a program", "WRITE A FUNCTION"], []),
        (["Write a programme", "Write"], ["Write a programme", "Write"]),
    ],
)
def test_keep_programming_removes_only_the_programming_openings(openings: list[str], left: list[str]) -> None:
    assert without_programming(openings, True) == left
    assert without_programming(openings, False) == openings


def test_an_empty_opening_matches_nothing() -> None:
    assert without_programming(["", " "], False) == []
    assert first_reason(build_filters(HEADER, openings=[""]), record()) is None


@pytest.mark.parametrize("sign", string.punctuation)
def test_an_instruction_may_not_begin_with_punctuation(sign: str) -> None:
    assert reason_of(drop_punctuation(record(f"{sign} add"))) == "starts_with_punctuation"
    assert drop_punctuation(record(f"add {sign}")) is None


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [("• Add", "starts_with_non_ascii"), ("Écris", "starts_with_non_ascii"), ("好", "starts_with_non_ascii"),
     ("\ud800", "starts_with_non_ascii"), ("Add é", None), ("1 + 1?", None), ("", None)],
)  # fmt: skip
def test_an_instruction_must_begin_with_ascii(instruction: str, reason: str | None) -> None:
    assert reason_of(drop_non_ascii(record(instruction))) == reason


def test_an_empty_instruction_does_not_begin_with_punctuation() -> None:
    assert drop_punctuation(record("")) is None


# ---- output


@pytest.mark.parametrize(
    ("output", "reason"),
    [("Sum these.", "output_repeats_task"), (" sum\n THESE. ", "output_repeats_task"), ("1 2", "output_repeats_task"),
     ("Sum these.\n1 2", "output_repeats_task"), ("Sum these. 1 2", "output_repeats_task"),
     ("Sum these", None), ("1 2 3", None), ("1  2\n= 3", None)],
)  # fmt: skip
def test_an_output_that_repeats_the_task_is_rejected(output: str, reason: str | None) -> None:
    assert reason_of(drop_output_repeats_task(record("Sum these.", output, "1 2"))) == reason


@pytest.mark.parametrize(
    ("instruction", "input", "output"),
    [
        ("Write it in capitals.", "a quiet evening", "A QUIET EVENING"), ("Trim the text.", "  a b ", "a b"),
        ("Sort the words.", "ant bee cat", "ant bee cat"), ("Order the numbers.", "9, 10, 11", "9, 10, 11"),
        ("Copy the line exactly.", "It rains.", "It rains."), ("Correct the grammar if needed.", "It rains.", "It rains."),
    ],
)  # fmt: skip
def test_capitals_spaces_and_inputs_that_need_no_change_can_be_right_answers(
    instruction: str, input: str, output: str
) -> None:
    assert drop_output_repeats_task(record(instruction, output, input)) is None


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\ufeff\u2060", "\u3164", "```\n\u200b\n```"])
def test_text_without_a_visible_character_is_empty(text: str) -> None:
    assert drop_empty(record(output=text)) == "empty_output"
    assert text.startswith("`") or drop_empty(record(text)) == "empty_instruction"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Every task must differ from the others.", "echoes_prompt"),
        ("So: every TASK must\ndiffer from the others. Yes.", "echoes_prompt"),
        ("Write tasks for an assistant.", "echoes_prompt"),
        ("Every task must differ from the other.", None),
        ("Keep it short.", None),  # too short to be an echo
        ("List of tasks:", None),
    ],
)
@pytest.mark.parametrize("field", ["instruction", "output", "input"])
def test_a_whole_line_of_the_header_is_an_echo(text: str, reason: str | None, field: str) -> None:
    assert reason_of(drop_echo(HEADER)(record(**{field: text}))) == reason


def test_five_words_are_enough_for_an_echo_and_four_are_not() -> None:
    assert (
        reason_of(drop_echo("one two three four five")(record(output="one two three four five six")))
        == "echoes_prompt"
    )
    assert drop_echo("one two three four")(record(output="one two three four")) is None


@pytest.mark.parametrize(
    "output",
    [
        "作为一个人工智能语言模型，我没有个人喜好。", "很抱歉，我无法回答这个问题。", "申し訳ありませんが、お答えできません。",
        "Lo siento, pero no puedo ayudarte.", "En tant qu'IA, je n'ai pas d'avis.", "Es tut mir leid, das kann ich nicht.",
        "Извините, но я не могу помочь.", "죄송합니다. 도와드릴 수 없습니다.",
    ],
)  # fmt: skip
def test_refusals_in_other_languages_are_dropped(output: str) -> None:
    assert reason_of(drop_refusal(record(output=output))) == "refusal"


@pytest.mark.parametrize(
    "output", ["Lo siento mucho.", "Als Kind war ich dort.", "我不能吃辣。", "Как мама, она права."]
)
def test_sentences_in_other_languages_that_are_not_refusals_pass(output: str) -> None:
    assert drop_refusal(record(output=output)) is None


# ---- loops


@pytest.mark.parametrize(("times", "reason"), [(4, None), (5, "loops"), (6, "loops")])
@pytest.mark.parametrize("field", ["instruction", "output", "input"])
def test_the_same_line_five_times_in_a_row_is_a_loop(times: int, reason: str | None, field: str) -> None:
    long = " ".join(f"word{at}" for at in range(60))
    assert reason_of(drop_loop()(record(**{field: f"{long}\n" + "  x = 1\n" * times + "end"}))) == reason


def test_blank_lines_and_alternating_lines_are_not_loops() -> None:
    assert drop_loop()(record(output="a\n\n\n\n\n\n\nb")) is None
    assert drop_loop()(record(output="a\nb\n" * 9 + " ".join(map(str, range(90))))) is None


@pytest.mark.parametrize(
    ("times", "others", "reason"),
    [(3, 14, "loops"), (3, 15, None), (2, 0, None), (4, 19, "loops"), (4, 20, None), (3, 0, "loops")],
)
def test_five_words_three_times_in_over_half_of_the_text_are_a_loop(
    times: int, others: int, reason: str | None
) -> None:
    # All words in between are different, so that only the five repeated words count.
    parts = [f"a b c d e {' '.join(f'w{at}' for at in range(share, others, times))}" for share in range(times)]
    assert reason_of(drop_loop()(record(output=" ".join(parts)))) == reason


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=60))
@settings(deadline=None, derandomize=True)
def test_text_in_which_no_word_repeats_is_never_a_loop(words: list[int]) -> None:
    assert drop_loop()(record(output=" ".join(map(str, words)))) is None


# ---- together


CASES = [
    (record("..."), "empty_instruction"),
    (record(output="```\n```"), "empty_output"),
    (record("Add two numbers"), "too_short"),
    (record("Add " * 151), "too_long"),
    (record("Draw the two numbers."), "keyword"),
    (record("Write a program that adds."), "opening"),
    (record("'Add the two numbers.'"), "starts_with_punctuation"),
    (record("• Add the two numbers."), "starts_with_non_ascii"),
    (record(output="add the two numbers."), "output_repeats_task"),
    (record(output="Write tasks for an assistant."), "echoes_prompt"),
    (record(output="x = 1\n" * 5), "loops"),
    (record(), None),
]


@pytest.mark.parametrize(("candidate", "reason"), CASES, ids=[str(reason) for _, reason in CASES])
def test_each_rule_gives_its_reason(candidate: Record, reason: str | None) -> None:
    assert reason_of(first_reason(build_filters(HEADER, keywords=["default"]), candidate)) == reason


def test_disabled_rules_reject_nothing() -> None:
    filters = build_filters(HEADER, min_instruction_words=0, max_instruction_words=200, keep_programming=True)
    for kept in (record("Add two"), record("Draw the two maps."), record("Write a program that adds.")):
        assert first_reason(filters, kept) is None


def test_the_first_rule_that_rejects_gives_the_reason() -> None:
    assert reason_of(first_reason(build_filters(HEADER), record("...", ""))) == "empty_instruction"
    assert first_reason([], record("", "")) is None


@given(st.builds(Record, st.just("x"), st.text(st.characters()), st.text(st.characters()), st.text(st.characters())))
@settings(deadline=None, derandomize=True)
def test_the_filters_can_check_any_text(candidate: Record) -> None:
    reason = first_reason(build_filters(HEADER, keywords=["default", "c++"]), candidate)
    assert reason is None or reason_of(reason) in {name for _, name in CASES}
    if reason is None:
        assert len(candidate.instruction.split()) >= 4 and candidate.output.strip()


# ---- details


def test_the_detail_is_a_count_or_the_matching_text() -> None:
    assert drop_length(4, 9)(record("Add it.")) == "too_short: 2 words"
    assert drop_keywords(["default"])(record("Show a Picture of it.")) == "keyword: Picture"
    assert (
        drop_echo(HEADER)(record(output="Write tasks for an assistant."))
        == "echoes_prompt: write tasks for an assistant."
    )


@pytest.mark.parametrize(
    "output",
    [
        "if (a) {\n    if (b) {\n        if (c) {\n            f();\n        }\n    }\n}\n}\n}\n}",
        "0\n" * 8,
        "[\n [\n  [\n   [\n    [1]\n   ]\n  ]\n ]\n]",
        "end\n" * 6,
    ],
)
def test_closing_brackets_and_columns_of_numbers_are_not_loops(output: str) -> None:
    assert drop_loop()(record(output=output)) is None
