"""Filters that an option activates (language, readability, characters, copied inputs), and filters for words of any script."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.errors import UserError
from self_instruct.generation.config import assemble
from self_instruct.records import Record
from self_instruct.rules.build import build_rules, reasons_of_rules
from self_instruct.rules.filters import RULES, SWITCHES, active_rules, build_filters, first_reason
from self_instruct.rules.filters.language import drop_language
from self_instruct.rules.filters.length import drop_characters
from self_instruct.rules.filters.output import drop_copied_input
from self_instruct.rules.filters.readability import drop_unreadable, reading_ease
from self_instruct.seeds import load_seeds
from tests.support.runs import ROOT


def rules_of(config, header):
    return build_rules(config.filter, header, config.novelty.rouge_tokenizer)


def record(instruction: str = "Add the two numbers.", output: str = "a + b", input: str = "") -> Record:
    return Record("x", instruction, input, output)


# ---- language


@pytest.fixture(scope="module")
def english():
    return drop_language("en")


FOREIGN = [
    ("Schreibe ein kurzes Gedicht über den Herbst.", "de"), ("Nenne drei Flüsse in Europa.", "de"), ("Traduis ce texte.",
    "fr"),
    ("Écris une fonction qui trie une liste.", "fr"), ("¿Cuál es la capital de Perú?", "es"), ("Scrivi una breve poesia.",
    "it"),
    ("请写一首关于春天的短诗。", "zh"), ("日本の首都はどこですか？", "ja"),
    ("Напиши короткий рассказ.", "ru"),
    ("Napisz krótki wiersz.", "pl"),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "language"), FOREIGN)
def test_an_instruction_in_another_language_is_named(english, instruction: str, language: str) -> None:
    assert english(record(instruction)) == f"wrong_language: {language}"


def test_seeds_and_short_english_tasks_are_recognised_as_english(english) -> None:
    seeds = [*load_seeds(ROOT / "seeds" / "code.jsonl"), *load_seeds(ROOT / "seeds" / "general.jsonl")]
    assert [seed.id for seed in seeds if english(seed)] == []
    for text in (
        "Implement a LRU cache.",
        "List prime numbers.",
        "Print Fibonacci numbers.",
        "Convert Celsius to Fahrenheit.",
        "Sort.",
    ):
        assert english(record(text)) is None


def test_code_and_short_or_invalid_text_passes(english) -> None:
    assert english(record("Explain this:\n```\nfür jeden Eintrag in der Liste gib ihn aus\n```")) is None
    assert (
        english(record("Ja, gut")) is None and english(record("")) is None and english(record("\ud800 12345")) is None
    )
    assert drop_language(None)(record(FOREIGN[0][0])) is None
    assert drop_language("de")(record(FOREIGN[0][0])) is None


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UserError, match="'english', but must be one of"):
        drop_language("english")


# ---- readability, characters, copies

EASY = "The cat sat on the mat. It was a warm day. The sun was high. A dog ran by. The cat did not move at all."
HARD = (
    "Notwithstanding considerable methodological heterogeneity, contemporary epistemological investigations systematically "
    "problematise institutionalised presuppositions regarding intersubjective communicability, thereby necessitating "
    "comprehensive reconceptualisation of disciplinary boundaries."
)


def test_reading_ease_is_the_score_of_flesch() -> None:
    # 25 words, 5 sentences, 26 syllables, counted by hand.
    assert reading_ease(EASY) == pytest.approx(206.835 - 1.015 * 25 / 5 - 84.6 * 26 / 25, abs=3.5)
    assert (reading_ease(HARD) or 0) < 0
    assert drop_unreadable(30)(record(output=HARD)) is not None and drop_unreadable(30)(record(output=EASY)) is None
    assert drop_unreadable(None)(record(output=HARD)) is None
    assert drop_unreadable(100)(record(output="Antidisestablishmentarianism.")) is None
    assert drop_unreadable(30)(record(output=f"{EASY}\n```\n{HARD}\n```")) is None


@pytest.mark.parametrize(
    ("length", "reason"), [(4, "too_few_characters: 4"), (5, None), (9, None), (10, "too_many_characters: 10")]
)
def test_the_bounds_of_characters_are_inclusive(length: int, reason: str | None) -> None:
    assert drop_characters(5, 9)(record(" " + "x" * length + "\n")) == reason
    assert drop_characters(None, None)(record("x" * length)) is None


def test_an_output_that_nearly_equals_the_input_is_rejected() -> None:
    text = "The heron stood in the reeds until noon and then flew towards the mill."
    rule = drop_copied_input(0.7)
    assert rule(record(output=text.replace("reeds", "grass"), input=text)) == "copies_input: 0.93"
    assert rule(record(output="A heron flies.", input=text)) is None
    assert rule(record(output=text)) is None and drop_copied_input(None)(record(output=text, input=text)) is None


# ---- words of any script


HEADER = "请写出新的任务。\n1. 每个任务都要与其他任务不同。\n2. 问题和答案："


def reason_for(candidate: Record, **options: object) -> str | None:
    return first_reason(rules_of(assemble({"rouge_tokenizer": "unicode", **options}), HEADER), candidate)


TASKS = """\
列出四种可再生能源。
「雨」という言葉で俳句を書いてください。
３つの果物の名前を挙げてください。
（一）请解释什么是光合作用。
เขียนบทกวีสั้นๆ เกี่ยวกับฝน
한국의 수도는 어디인지 설명하세요.
Écris une lettre à un ami.
E\u0301cris une lettre à un ami.
¿Cuál es la capital de Perú?
¡Escribe un poema sobre el mar!
Ölpreise der letzten Jahre erklären.
Ποια είναι η πρωτεύουσα της Ελλάδας;
Объясни, почему небо голубое.
اكتب قصة قصيرة عن البحر.
\u200fاكتب قصة قصيرة عن البحر.
«Le Petit Prince»: résume ce livre.
“Vær så god”: forklar uttrykket på engelsk.
„Zeit“ als Thema: schreibe ein Gedicht.
»Wanderer«: erkläre das Wort einem Kind."""
SYMBOLS = """\
• Écris une lettre à un ami.
😀 写一首关于春天的诗。
①列出四种可再生能源。
→ Ölpreise der Jahre erklären.
…列出四种可再生能源。
？列出四种可再生能源。
€ 写一首关于春天的诗。
\u0301写一首关于春天的诗。
\ud800写一首关于春天的诗。
\u200b\u200e"""


@pytest.mark.parametrize("instruction", TASKS.split("\n"))
def test_a_task_in_any_script_passes_the_default_rules(instruction: str) -> None:
    assert reason_for(record(instruction, "Réponse: 太阳能、风能")) is None


@pytest.mark.parametrize("instruction", SYMBOLS.split("\n"))
def test_an_instruction_that_begins_with_a_symbol_is_dropped_in_any_script(instruction: str) -> None:
    assert reason_for(record(instruction), filter_rules=["non_ascii"]) == "starts_with_non_ascii"


def test_an_empty_task_does_not_begin_with_a_symbol() -> None:
    assert reason_for(record(""), filter_rules=["non_ascii"]) is None


@pytest.mark.parametrize(
    ("instruction", "reason"),
    [("写一首", "too_short: 3 words"), ("写一首诗", None), ("写" * 150, None), ("写" * 151, "too_long: 151 words"),
     ("Écris-moi ça.", "too_short: 3 words"), ("Écris-moi l'été.", None)],
)  # fmt: skip
def test_words_of_any_script_are_counted_and_a_chinese_character_is_a_word(
    instruction: str, reason: str | None
) -> None:
    assert reason_for(record(instruction), filter_rules=["length"]) == reason
    assert first_reason(build_filters("", rules=["length"]), record("列出四种可再生能源。")) == "too_short: 1 words"


def test_a_line_of_a_chinese_header_is_an_echo_if_it_is_long_enough() -> None:
    line = "每个任务都要与其他任务不同。"
    assert reason_for(record(output=f"好的。{line}")) == f"echoes_prompt: {line}"
    assert reason_for(record(output="问题和答案：见下文")) is None


@pytest.mark.parametrize(("times", "reason"), [(2, None), (3, "loops"), (9, "loops")])
def test_repetitive_chinese_is_a_loop_but_a_patterned_list_is_not(times: int, reason: str | None) -> None:
    sentence = "风能是一种取之不尽用之不竭的可再生能源之一。"
    assert reason_for(record(output=f"答案如下：{sentence * times}")) == reason
    assert first_reason(build_filters(""), record(output=sentence * 9)) is None
    assert reason_for(record(output="太阳能是可再生能源。风能是可再生能源。水能是可再生能源。")) is None
    assert reason_for(record(output="是的。" * 100)) == "loops"


def test_a_chinese_output_that_nearly_equals_the_input_is_rejected() -> None:
    copied = record(input="苍鹭在芦苇中一直站到中午", output="苍鹭在草丛中一直站到中午")
    assert reason_for(copied, input_rouge_threshold=0.7) == "copies_input: 0.83"
    assert first_reason(build_filters("", switches={"input_rouge_threshold": 0.7}), copied) is None


@given(st.lists(st.sampled_from("a bb ccc dddd e\n".split(" ")), max_size=80))
@settings(deadline=None, derandomize=True)
def test_both_tokenizers_give_the_same_reasons_for_english(words: list[str]) -> None:
    text = " ".join(["go"] * 4 + words)
    given_rules = ["length", "non_ascii", "punctuation", "echo"]
    assert reason_for(record(text), filter_rules=given_rules) == first_reason(
        build_filters(HEADER, rules=given_rules), record(text)
    )


# ---- the active rules


def test_an_option_activates_its_rule_even_if_the_rule_is_not_listed() -> None:
    assert active_rules(["length"], {}) == ["length"] == active_rules(["length", "language"], {"language": None})
    assert active_rules(["length"], {"language": "en", "skip_instruction_re": ["x"]}) == [
        "length",
        "skip_instruction",
        "language",
    ]
    assert active_rules(["characters", "length"], {"max_instruction_length": 5}) == ["characters", "length"]
    assert set(SWITCHES) <= set(RULES)
    rules = build_filters("", rules=["length"], switches={"skip_instruction_re": ["numbers"]})
    assert first_reason(rules, record()) == "skipped: numbers"


def test_options_reach_the_rules_and_inactive_rules_are_not_reported() -> None:
    config = assemble(
        {"filter_rules": ["length"], "code_gen_re": ["default"], "min_readability": 10.0, "check_outputs": False}
    )
    assert list(reasons_of_rules(config.filter)) == ["length", "code_generation", "readability"]
    assert first_reason(rules_of(config, ""), record("Write a program that adds.")) == "asks_for_code: Write a program"
    wrong = replace(config, filter=replace(config.filter, min_instruction_length=9, max_instruction_length=8))
    with pytest.raises(UserError, match="--min_instruction_length 9 is above"):
        rules_of(wrong, "")


def test_a_minimum_of_words_above_the_maximum_is_refused_if_the_rule_is_active() -> None:
    bounds = {"min_instruction_words": 9, "max_instruction_words": 8}
    with pytest.raises(UserError, match="--min_instruction_words 9 is above --max_instruction_words 8, so no record"):
        rules_of(assemble(bounds), "")
    assert len(rules_of(assemble({**bounds, "filter_rules": ["empty"], "check_outputs": False}), "")) == 1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("犬を描く", "ja"), ("こんにちは", "ja"), ("東京の天気", "ja"), ("Привет", "cyrillic"),
        ("ما هذا؟", "arabic"), ("안녕", "ko"), ("สวัสดี", "th"), ("Γειά σου", "el"),
    ],
)  # fmt: skip
def test_the_script_decides_for_a_text_of_few_letters(text: str, language: str) -> None:
    assert drop_language("en")(Record("x", text, "", "")) == f"wrong_language: {language}"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("Write a poem", "en"), ("Sum α", "en"), ("2+2?", "en"), ("犬を描く", "ja"), ("画一只狗", "zh"), ("Привет", "ru"),
     ("Привет", "uk"), ("Go", "ja"), ("SQL", "ru")],
)  # fmt: skip
def test_a_short_text_in_a_script_of_the_language_passes(text: str, wanted: str) -> None:
    assert drop_language(wanted)(Record("x", text, "", "")) is None
