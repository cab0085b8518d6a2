"""Multiple-choice questions: reading options and answers, and the balance of letters."""

import pytest

from self_instruct.records import Record
from self_instruct.rules.validators.choices import chosen, multiple_choice, read_options

QUESTION = "What is the capital of France?\nA) Paris\nB) Rome\nC) Paris, Texas\nD) Bonn"


def judged(output: str, question: str = QUESTION, **variables: str) -> str | None:
    found = multiple_choice()(Record("x", question, "", output), variables)
    return found if isinstance(found, str) else None


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (QUESTION, {"A": "Paris", "B": "Rome", "C": "Paris, Texas", "D": "Bonn"}),
        ("Which? (a) one, (b) two, (c) three", {"A": "one", "B": "two", "C": "three"}),
        ("Which is best? A. red B. green C. blue", {"A": "red", "B": "green", "C": "blue"}),
        ("Pick:\n**A.** x y\n**B.** z\n\nAnswer with the letter.", {"A": "x y", "B": "z"}),
        ("A. Smith asked: which?\nA. one\nB. two", {"A": "one", "B": "two"}),
        ("Q\n1. one\n2. two\n3. three", {"1": "one", "2": "two", "3": "three"}),
        ("Q\n- A: x\n- B: y", {"A": "x", "B": "y"}),
        ("Q\nA - x\nB - y\nAnswer:", {"A": "x", "B": "y"}),
        ("Q\n[A] x\n[B] y over\ntwo lines\n[C] z", {"A": "x", "B": "y over\ntwo lines", "C": "z"}),
        ("What is A)?", None),
        ("No options at all.", None),
        ("B) x\nC) y", None),
        ("", None),
    ],
)
def test_options_are_read_in_the_usual_forms(question: str, options: dict[str, str] | None) -> None:
    found = read_options(question)
    assert (found and found.texts) == options


@pytest.mark.parametrize(
    ("output", "letter"),
    [("A", "A"), ("b", "B"), ("a) Paris", "A"), ("The correct answer is C) Paris, Texas.", "C"), ("Paris", "A"),
     ("Rome is it", "B"),
     ("B because it is", "B"), ("**D. Bonn**", "D"), ("Answer: (D)", "D"), ("(A)", "A"), ("The answer is B.", "B"),
     ("A) Paris\nBecause it is.", "A"), ("I think it is Bonn, clearly.", "D"), ("Option B", "B"), ("B) Rome - it is old",
     "B"),
     ("The correct option is B) Rome because of this", "B"), ("First I thought of rivers.\nAnswer: D) Bonn", "D"),
     ("B, as is known", "B")],
)  # fmt: skip
def test_an_answer_is_read_by_letter_or_text(output: str, letter: str) -> None:
    options = read_options(QUESTION)
    assert options is not None and chosen(options, output) == (letter, None)
    assert judged(output) is None


@pytest.mark.parametrize(
    ("output", "reason"),
    [("B) Paris", "letter_disagrees: B is 'Rome', not 'Paris'"), ("A) Paris, Texas", "letter_disagrees"), ("E",
     "not_an_option: E"),
     ("B) Madrid", "not_an_option: Madrid"), ("A city of love", "not_an_option"), ("Madrid", "not_an_option"), ("",
     "no_answer"),
     ("Either Rome or Bonn", "no_answer")],
)  # fmt: skip
def test_an_answer_that_is_not_an_option_is_rejected(output: str, reason: str) -> None:
    assert (judged(output) or "").startswith(reason)


def test_a_question_needs_different_options() -> None:
    assert judged("A", "What is it?") == "no_options"
    assert judged("A", "Q\nA) one\nB) One.") == "same_options"
    asked = multiple_choice(options=4)
    assert asked(Record("x", "Q\nA) one\nB) two", "", "A"), {}) == "no_options: 2 of 4"
    assert not isinstance(asked(Record("x", QUESTION, "", "A"), {}), str)


def test_the_requested_letter_must_be_the_answer() -> None:
    assert judged("A", letter="a") is None
    assert judged("A", letter="C") == "wrong_letter: asked for C, is A"


def test_options_may_be_in_the_input() -> None:
    assert not isinstance(multiple_choice()(Record("x", "Which?", "A) u\nB) v", "v"), {}), str)


def test_a_letter_that_is_used_too_often_is_rejected_until_the_others_catch_up() -> None:
    asked = multiple_choice(balance=2)

    def letters(text: str) -> list[bool]:
        return [not isinstance(asked(Record("x", QUESTION, "", letter), {}), str) for letter in text]

    assert letters("BBBB") == [True, True, False, False]  # 2 + 1 > 0.5 + 0.25 + 2
    assert letters("ACD") == [True] * 3
    assert letters("B") == [True]  # 2 + 1 <= 1.25 + 0.25 + 2
    assert letters("BBBB").count(True) == 0
    free = multiple_choice(balance=None)
    assert all(not isinstance(free(Record("x", QUESTION, "", "B"), {}), str) for _ in range(50))


def test_balanced_letters_always_pass_and_five_options_count_a_fifth_each() -> None:
    asked = multiple_choice(balance=1)
    five = QUESTION + "\nE) all of these"
    for at in range(100):
        assert not isinstance(asked(Record("x", five, "", "ABCDE"[at % 5]), {}), str)
