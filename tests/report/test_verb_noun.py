"""The verb and the object of instructions: phrasings of several kinds, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.report.verb_noun import verb_noun


@pytest.mark.parametrize(
    ("instruction", "verb", "noun"),
    [
        ("Write a Python function that sums two numbers.", "write", "function"),
        ("Please, could you write me a short story about a kettle?", "write", "story"),
        ("How would you implement a basic REST API in Go?", "implement", "api"),
        ("In Java, write a method called 'add'.", "write", "method"),
        ("Given a list of numbers, find the largest two elements.", "find", "element"),
        ("Calculate and return the sum of all even numbers.", "calculate", "sum"),
        ("I have three free evenings. Suggest five different ways to spend them.", "suggest", "way"),
        ("Come up with six friendly names for a workshop.", "come", "name"),
        ("Fix the syntax error in the following C++ code snippet.", "fix", "error"),
        ("Implement a class 'Person' with a name.", "implement", "class"),
        ("List all rows of the 'employees' table.", "list", "row"),
        ("1. Translate the following sentences to French:", "translate", "sentence"),
        ("Set up a report for a lost card", "set", "report"),
        ("Explain why the sky is blue.", "explain", None),
        ("Write using", "write", None),
        ("List is a type in Python; what is it for?", None, None),
        ("What is the capital of France?", None, None),
        ("You are asked to name two cities.", None, None),
        ("", None, None),
        ("Écris un poème.", None, None),
    ],
)
def test_the_verb_of_a_clause_and_its_object(instruction, verb, noun):
    assert verb_noun(instruction) == (verb, noun)


@given(st.text(st.characters(), max_size=300))
def test_any_text_has_an_answer_of_its_own_words(text):
    verb, noun = verb_noun(text)
    assert verb is None or verb in text.lower()
    assert noun is None or verb is not None


@given(
    st.lists(
        st.sampled_from("please write a the , of 'x' and C++ functions up me using \" . How can you".split()),
        max_size=25,
    )
)
def test_words_in_any_order_have_an_answer(words):
    verb, noun = verb_noun(" ".join(words))
    assert verb in (None, "write")
    assert noun in (None, "function", "x", "c++", "write", "please")


def test_a_text_of_millions_of_signs_takes_no_longer_than_its_beginning():
    assert verb_noun("Write a poem. " * 500_000) == ("write", "poem")
    assert verb_noun("in " * 1_000_000) == (None, None)
