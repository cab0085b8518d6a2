"""Trivia, word games and riddles: constraints on the answer that the task states."""

import pytest

from self_instruct.records import Record
from self_instruct.rules.validators.constraints import stated_constraints
from self_instruct.rules.validators.wordgames import constraints, riddle, wordgame

HELD = [
    ("Name a country that starts with 'B'.", "Brazil", "The answer is Chile."),
    ("Which river ends with the letter e?", "The Seine", "Danub"),
    ("Name a band beginning with 'B'", "The Beatles", "Queen"),
    ("Give a word containing 'zz'.", "pizza", "pasta"),
    ("Use the word \"moss\" in a sentence that contains the word 'moss'.", "Soft moss grew.", "Soft mosses grew."),
    ("Write a sentence without using the letter 'e'.", "A dog is big.", "The dog."),
    ("Give a five-letter word for a fruit.", "apple", "banana"),
    ("Give a word with 4 letters.", "Tree", "Bee"),
    ("What is an anagram of 'listen'?", "silent", "listen"),
    ("Unscramble the letters 'tca'.", "cat", "dog"),
    ("List animals that start with 'c'.", "1. Cat\n2. Cow - a beast", "1. Cat\n2. Cow - a beast\n3. Dog"),
    ("List animals that start with 'c'.", "cat, cow, and crow", "cat, dog, and crow"),
    ("Name a palindrome.", "Level", "Levels"),
    ("Write a sentence where every word begins with 's'.", "Sally sells seashells.", "Sally sells cakes."),
    ("Describe the sea in exactly three words.", "Vast blue calm", "Vast blue"),
    ("Write an acrostic poem for the word 'CAT'.", "Cats\nare\ntiny", "Cats\nare\nbig"),
    ("Name a city that does not start with 'P'.", "Rome", "Paris"),
    ("Name a city that doesn't contain the letter 'a'.", "Rome", "Paris"),
    ("Name a word ending in “-tion”.", "Nation", "National"),
    ("Name a word that starts with the letter Q.", "Quark (a particle)", "Kiwi"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "good", "bad"), HELD)
def test_an_answer_must_satisfy_the_stated_constraint(task: str, good: str, bad: str) -> None:
    assert not isinstance(constraints()(Record("x", task, "", good), {}), str)
    found = constraints()(Record("x", task, "", bad), {})
    assert isinstance(found, str) and found.partition(":")[0] == stated_constraints(task)[0].name


@pytest.mark.parametrize(
    "task",
    ["Who wrote Hamlet?", "Explain how it starts with a bang.", "Name a tool that has 'grep' built in.",
    "Why do words rhyme?",
     "What is a palindrome?", "It ended with 3 goals. Who won?", ""],
)  # fmt: skip
def test_a_task_without_a_stated_constraint_passes(task: str) -> None:
    assert stated_constraints(task) == []
    record = Record("x", task, "", "Anything at all.")
    assert constraints()(record, {}) is record and wordgame()(record, {}) is record
    assert wordgame(required=True)(record, {}) == "no_constraint"


def test_all_constraints_must_hold_and_an_answer_is_needed() -> None:
    task = "Name an animal that starts with 'c' and ends with 't'."
    assert not isinstance(wordgame(True)(Record("x", task, "", "cat"), {}), str)
    assert constraints()(Record("x", task, "", "cow"), {}) == "ends_with: ends with 't', not 'cow'"
    assert constraints()(Record("x", task, "", "goat"), {}) == "starts_with: starts with 'c', not 'goat'"
    assert constraints()(Record("x", task, "", " \n"), {}) == "no_answer"


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("I speak without a mouth. What am I?", "An echo.", None), ("I am an echo, what am I?", "An echo",
        "answer_in_question: echo"),
        ("What has keys but no locks?", "A piano", None), ("What has keys?", "Answer: keys", "answer_in_question: keys"),
        ("What am I?", "", "no_answer"), ("What am I?", "\"...\"", "no_answer"), ("What echoes?", "echo", None),
        ("A river runs. What runs?", "It is a river, since a river runs but never walks and never sleeps.", None),
    ],
)  # fmt: skip
def test_a_riddle_must_not_contain_its_answer(question: str, answer: str, reason: str | None) -> None:
    found = riddle()(Record("x", question, "", answer), {})
    assert (found if isinstance(found, str) else None) == reason
