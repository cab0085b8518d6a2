"""Rules that an option switches on: language, readability, characters, copied inputs; and how they join the list of rules."""

from dataclasses import replace

import pytest

from self_instruct.assembly import build_rules, reasons_of_rules
from self_instruct.config import assemble
from self_instruct.errors import UserError
from self_instruct.filters import RULES, SWITCHES, asked_rules, build_filters, first_objection
from self_instruct.filters.language import drop_language
from self_instruct.filters.length import drop_characters
from self_instruct.filters.output import drop_copied_input
from self_instruct.filters.readability import drop_unreadable, reading_ease
from self_instruct.records import Record
from self_instruct.seeds import load_seeds
from tests.runs import ROOT


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


def test_no_seed_and_no_short_english_task_is_taken_for_another(english) -> None:
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


def test_code_and_what_is_too_short_or_broken_says_nothing(english) -> None:
    assert english(record("Explain this:\n```\nfür jeden Eintrag in der Liste gib ihn aus\n```")) is None
    assert (
        english(record("Ja, gut")) is None and english(record("")) is None and english(record("\ud800 12345")) is None
    )
    assert drop_language(None)(record(FOREIGN[0][0])) is None
    assert drop_language("de")(record(FOREIGN[0][0])) is None


def test_a_language_that_is_not_known_is_refused() -> None:
    with pytest.raises(UserError, match="'english', but must be one of"):
        drop_language("english")


# ---- readability, characters, copies

EASY = "The cat sat on the mat. It was a warm day. The sun was high. A dog ran by. The cat did not move at all."
HARD = (
    "Notwithstanding considerable methodological heterogeneity, contemporary epistemological investigations systematically "
    "problematise institutionalised presuppositions regarding intersubjective communicability, thereby necessitating "
    "comprehensive reconceptualisation of disciplinary boundaries."
)


def test_reading_ease_is_that_of_flesch() -> None:
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


def test_an_output_that_is_nearly_its_input() -> None:
    text = "The heron stood in the reeds until noon and then flew towards the mill."
    rule = drop_copied_input(0.7)
    assert rule(record(output=text.replace("reeds", "grass"), input=text)) == "copies_input: 0.93"
    assert rule(record(output="A heron flies.", input=text)) is None
    assert rule(record(output=text)) is None and drop_copied_input(None)(record(output=text, input=text)) is None


# ---- the list of rules


def test_a_switch_turns_its_rule_on_whatever_rules_are_listed() -> None:
    assert asked_rules(["length"], {}) == ["length"] == asked_rules(["length", "language"], {"language": None})
    assert asked_rules(["length"], {"language": "en", "skip_instruction_re": ["x"]}) == [
        "length",
        "skip_instruction",
        "language",
    ]
    assert asked_rules(["characters", "length"], {"max_instruction_length": 5}) == ["characters", "length"]
    assert set(SWITCHES) <= set(RULES)
    rules = build_filters("", rules=["length"], switches={"skip_instruction_re": ["numbers"]})
    assert first_objection(rules, record()) == "skipped: numbers"


def test_options_reach_the_rules_and_idle_ones_are_not_reported() -> None:
    config = assemble(
        {"filter_rules": ["length"], "code_gen_re": ["default"], "min_readability": 10.0, "filter_keywords": []}
    )
    assert list(reasons_of_rules(config)) == ["length", "code_generation", "readability"]
    assert (
        first_objection(build_rules(config, ""), record("Write a program that adds."))
        == "asks_for_code: Write a program"
    )
    wrong = replace(config, filter=replace(config.filter, min_instruction_length=9, max_instruction_length=8))
    with pytest.raises(UserError, match="--min_instruction_length 9 is above"):
        build_rules(wrong, "")
