"""Cleaning one conversation."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from self_instruct.datasets.conversation_cleaning import Cleaning, clean, repeated_digits, wrong_list
from tests.support.dataset_files import conversation as talk

LONG = "a question that is long enough"
LIMIT = "Too many requests in 1 hour. Try again later."
ANSWER_IN_HTML = "<p>Use <code>a &lt; b</code></p>"


def outcome(turns, **more):
    """Return the kept texts, and the positions and reasons of the dropped turns."""
    found = clean(turns, Cleaning(**more))
    return [one.text for one in found.kept], [(one.number, one.reason) for one in found.dropped], found.reason


@pytest.mark.parametrize(("turns", "kept", "dropped", "reason"), [
    ("u:q a:" + LONG, ["q", LONG], [], ""),
    ("a:hi u:q a:" + LONG, ["q", LONG], [(1, "before_question")], ""),
    ("a:hi a:ho u:q a:" + LONG + " u:bye", ["q", LONG],
     [(1, "before_question"), (2, "before_question"), (5, "unanswered")], ""),
    ("u:q a:" + LONG + " u:x u:y", ["q", LONG], [(3, "unanswered"), (4, "unanswered")], ""),
    ("u:q", [], [(1, "unanswered")], "no_pair"),
    ("a:x", [], [(1, "before_question")], "no_pair"),
    ("", [], [], "no_pair"),
    ("u:q u:r a:" + LONG, [], [(1, "roles"), (2, "roles"), (3, "roles")], "roles"),
    ("u:q a:" + LONG + " a:more", [], [(1, "roles"), (2, "roles"), (3, "roles")], "roles"),
    ("u:q a:" + LONG + " tool:x", [], [(1, "roles"), (2, "roles"), (3, "roles")], "roles"),
    ("u:q a:no", [], [(1, "too_short"), (2, "too_short")], "too_short"),
    ("u:q a:" + LIMIT, [], [(1, "rate_limit"), (2, "rate_limit")], "rate_limit"),
    ("u:q a:" + LONG + " u:r a: u:s a:t", ["q", LONG],
     [(3, "unanswered"), (4, "empty"), (5, "after_cut"), (6, "after_cut")], ""),
    ("u:q a:" + LONG + " u: a:t", ["q", LONG], [(3, "empty"), (4, "after_cut")], ""),
    ("u:q a:\x07" + LONG, [], [(1, "unanswered"), (2, "unprintable")], "no_pair"),
])  # fmt: skip
def test_turns_are_kept_or_dropped_with_reason(turns, kept, dropped, reason):
    assert outcome(talk(turns)) == (kept, dropped, reason)


@pytest.mark.parametrize(("asked", "answers", "kept"), [
    ("sort a list", [ANSWER_IN_HTML], ["Use `a < b`"]),
    ("show HTML for it", [ANSWER_IN_HTML], [ANSWER_IN_HTML]),
    ("what is <p> here", [ANSWER_IN_HTML], [ANSWER_IN_HTML]),
    ("sort a list", [ANSWER_IN_HTML, "as **text**"], [ANSWER_IN_HTML, "as **text**"]),
    ("show HTML for it", [f'<div class="markdown prose dark">{ANSWER_IN_HTML}</div>'], ["Use `a < b`"]),
    ('<div class="whitespace-pre-wrap">all &lt; HTML</div>', [ANSWER_IN_HTML], ["Use `a < b`"]),
    ("sort a list", ["if a<b and c>d: x = y<z>"], ["if a<b and c>d: x = y<z>"]),
])  # fmt: skip
def test_only_html_turns_are_converted(asked, answers, kept):
    turns = [turn for answer in answers for turn in ({"role": "user", "content": asked},
                                                     {"role": "assistant", "content": answer})]  # fmt: skip
    assert outcome(turns)[0][1::2] == kept
    assert outcome(turns, html=False)[0][1::2] == answers


def test_a_question_without_the_classes_of_a_page_is_left_as_typed():
    turns = talk("u:<p>1</p> a:" + LONG)
    assert outcome(turns)[0][0] == "<p>1</p>"


def test_unreadable_html_drops_the_conversation():
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": '<div class="markdown prose">' + "<i>" * 5000},
    ]
    assert outcome(turns)[2] == "html"


@pytest.mark.parametrize(("mentions", "reason"), [([], ""), (["OpenAI"], "mention"), (["bard"], "")])
def test_mentioned_words_drop_the_conversation(mentions, reason):
    found = clean(talk("u:q a:I am made by openai"), Cleaning(mentions))
    assert found.reason == reason and (not reason or found.detail == "turn 2 says OpenAI")


def test_unwanted_language_drops_the_conversation():
    found = clean(talk("u:q a:" + LONG), Cleaning(foreign=lambda text: "ko" if LONG in text else None))
    assert (found.reason, found.detail) == ("language", "ko")


@pytest.mark.parametrize(("text", "found"), [
    ("1. a\n2. b", None), ("1. a\n\ntext\n\n1. b", "1. b"), ("1. a\n2. b\n1. c\n2. d", None), ("1. a\n1. b", "1. b"),
    ("1. a\n   1. x\n   2. y\n2. b\n   1. z", None), ("1. a\n```\n1. b\n```\n2. c", None), ("1.5 a\n1.6 b", None),
    ("1. a\n  1. x\n2. b\n  1. y\n  1. z", "  1. z"), ("", None),
])  # fmt: skip
def test_numbered_lists_that_restart_are_found(text, found):
    begun = wrong_list(text)
    assert begun is None if found is None else begun is not None and found.startswith(begun)


@pytest.mark.parametrize(("text", "number", "found"), [
    ("0x000000001", 8, "00000000"), ("1234567890", 2, None), ("11 111", 3, "111"), ("", 2, None),
])  # fmt: skip
def test_repeated_digits_are_found(text, number, found):
    assert repeated_digits(text, number) == found


TURNS = st.lists(
    st.fixed_dictionaries({
        "role": st.sampled_from(["user", "assistant", "user", "assistant", "tool"]),
        "content": st.sampled_from(
            ["", " ", LONG, LIMIT, "\x07x", ANSWER_IN_HTML, "openai", "2 / 3\nx", "```\nCopy code\n```"]),
    }),
    max_size=9,
)  # fmt: skip


COUNTED = [{"role": role, "content": "2 / 3\nx"} for role in ("user", "assistant")]


# Dropped only after cleaning: a short conversation, one in an unwanted language, and a pair whose answer becomes empty.
@example(COUNTED)
@example([{**turn, "content": f"\r\n {turn['content']} FOREIGN {LONG}"} for turn in COUNTED])
@example([*COUNTED, COUNTED[0], {"role": "assistant", "content": "2 / 3\n"}])
@settings(deadline=None, derandomize=True)
@given(
    TURNS
    | st.lists(st.just({"role": "user", "content": LONG}) | st.just({"role": "assistant", "content": ""}), max_size=6)
)
def test_every_turn_is_kept_or_dropped_once(turns):
    found = clean(turns, Cleaning(mentions=["openai"], foreign=lambda text: "ko" if "FOREIGN" in text else None))
    numbers = [one.number for one in found.kept] + [one.number for one in found.dropped]
    assert sorted(numbers) == list(range(1, len(turns) + 1))
    assert [one.turn["role"] for one in found.kept] == ["user", "assistant"] * (len(found.kept) // 2)
    assert all(one.text.strip() and one.text[0].isprintable() for one in found.kept)
    assert bool(found.reason) == (not found.kept)
    assert all(one.turn == turns[one.number - 1] for one in found.dropped)
