"""The two tokenizers of ROUGE-L."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize

from self_instruct.novelty.tokens import TOKENIZERS, rouge_tokens, unicode_tokens, without_tokens


def test_every_character_is_tokenized_as_by_the_reference() -> None:
    for begin in range(0, sys.maxunicode + 1, 256):
        text = " ".join(f"a{chr(point)}b" for point in range(begin, begin + 256))
        assert rouge_tokens(text) == tokenize(text, None), hex(begin)


@given(st.text(st.characters()))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_any_text_is_tokenized_as_by_the_reference(text: str) -> None:
    assert rouge_tokens(text) == tokenize(text, None)


@given(st.text(st.characters(max_codepoint=127)))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_both_tokenizers_agree_on_ascii(text: str) -> None:
    assert unicode_tokens(text) == rouge_tokens(text)
    assert unicode_tokens(text + " é")[: len(rouge_tokens(text))] == rouge_tokens(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好,世界 3 个 GPU", ["你", "好", "世", "界", "3", "个", "gpu"]),
        ("Привет, МИР ёлка", ["привет", "мир", "ёлка"]),
        ("مَرْحَبًا بالعالم", ["مَرْحَبًا", "بالعالم"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("ひらがな ﾃｽﾄ", ["ひ", "ら", "が", "な", "ﾃ", "ｽ", "ﾄ"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("naïve_café", ["naïve", "café"]),
        ("a\ud800b 😀 ， 。", ["a", "b"]),
        ("\u0301", []),
    ],
)
def test_words_of_other_scripts(text: str, expected: list[str]) -> None:
    assert unicode_tokens(text) == expected
    assert "".join(expected).isascii() or unicode_tokens(text) != rouge_tokens(text)


def test_composed_and_decomposed_letters_are_the_same_word() -> None:
    assert unicode_tokens("cafe\u0301") == unicode_tokens("caf\u00e9") == ["caf\u00e9"]


@given(st.text(st.characters()))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_no_word_is_empty_or_holds_a_space(text: str) -> None:
    for tokens in (rule(text) for rule in TOKENIZERS.values()):
        assert all(token and not any(character.isspace() for character in token) for token in tokens)


def test_texts_without_a_token_of_rouge_are_counted() -> None:
    texts = ["Sort a list.", "บอกชื่อสัตว์", "Как дела?", "7 раз", "", "?!"]
    assert (without_tokens(texts, "rouge"), without_tokens(texts, "unicode")) == (2, 0)
