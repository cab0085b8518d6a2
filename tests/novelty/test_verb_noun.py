"""Extracting the verb and the object of instructions: phrasings of several kinds, and those without a pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.novelty.verb_noun import verb_noun


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
def test_verb_and_object_of_an_instruction(instruction, verb, noun):
    assert verb_noun(instruction) == (verb, noun)


@pytest.mark.parametrize(
    ("instruction", "verb", "noun"),
    [
        ("How would JavaScript check whether a positive age occurs? Follow the Python below.", None, None),
        ("Let `metres_to_centimetres` compute centimetres from metres. Include a docstring.", "compute", "centimetre"),
        ("Let the cat be.", "let", None),
        ("Imagine a list of marks. Find the largest of the marks.", "find", "mark"),
        ("Imagine a world without bees.", "imagine", "world"),
        ("Implement `count_positive_numbers(numbers)`, which returns a number.", "implement", None),
        ("Define `invert_players_above_60`, a function that returns names.", "define", "function"),
        ("Design a class RecentItems whose constructor takes a capacity.", "design", "class"),
        ("Return the streets padded with dots.", "return", "street"),
        ("Find the last city ending with 'i'.", "find", "city"),
        ("Compute a dictionary counting each of the spaces.", "compute", "dictionary"),
        ("Return True only if every item is positive.", "return", None),
        ("Do not write comments.", None, None),
        ("Log lines on standard input have the format shown.", None, None),
        ("Which tag fits? Use one of these: order, complaint, application.", "order", None),
        ("List quiet, screen-free activities for children.", "list", "activity"),
        ("Translate Python to Java.", "translate", None),
        ("Answer me using Japanese.", "answer", None),
        ("Search backwards for the latest rating.", "search", None),
        ("Implement a forward pass.", "implement", "pass"),
        ("List each of the weights not exceeding 18 only once.", "list", "weight"),
        ("Explain this code.\ndef keep(marks):\n    return [mark for mark in marks]", "explain", "code"),
        ("What is printed?\ndef keep(marks):\n\treturn list(marks)", None, None),
        ("Two tasks.\n  - Sort the countries.", "sort", "country"),
    ],
)
def test_phrases_without_a_verb_object_pair_are_left_out(instruction, verb, noun):
    assert verb_noun(instruction) == (verb, noun)


@given(st.text(st.characters(), max_size=300))
def test_verb_is_a_word_of_the_text(text):
    verb, noun = verb_noun(text)
    assert verb is None or verb in text.lower()
    assert noun is None or verb is not None


@given(
    st.lists(
        st.sampled_from("please write a the , of 'x' and C++ functions up me using \" . How can you".split()),
        max_size=25,
    )
)
def test_words_in_any_order_give_a_known_pair(words):
    verb, noun = verb_noun(" ".join(words))
    assert verb in (None, "write")
    assert noun in (None, "function", "x", "c++", "write", "please")


def test_only_the_beginning_of_a_long_text_is_read():
    assert verb_noun("Write a poem. " * 500_000) == ("write", "poem")
    assert verb_noun("in " * 1_000_000) == (None, None)
