"""Which prompts are prefilled together."""

from hypothesis import given
from hypothesis import strategies as st

from self_instruct.engines.local.prefill import MIN_COPIED, MIN_FILLED, Held, schedule_prefill, shared_length

TEXT = st.lists(st.integers(0, 2), min_size=1, max_size=12).map(lambda parts: [p for p in parts for _ in range(9)])


@given(TEXT, TEXT)
def test_shared_length_is_the_length_of_the_common_prefix(first, second):
    naive = 0
    while naive < min(len(first), len(second)) and first[naive] == second[naive]:
        naive += 1
    assert shared_length(first, second) == naive


@given(st.lists(TEXT, min_size=1, max_size=8), st.lists(TEXT, max_size=4), st.integers(1, 400), st.data())
def test_a_prefill_schedule_copies_cached_tokens_and_computes_the_rest(texts, held, budget, data):
    rows = [Held(at, text, data.draw(st.integers(0, len(text)))) for at, text in enumerate(held)]
    chosen = schedule_prefill(texts, rows, budget)
    assert chosen[0].index == 0 and len({item.index for item in chosen}) == len(chosen)
    for item in chosen:
        text = texts[item.index]
        assert item.known + item.unread == len(text) - 1
        if item.known:
            assert item.known <= rows[item.source].cached
            assert text[: item.known] == held[item.source][: item.known]
    widest = len(chosen) * max(item.unread for item in chosen)
    if len(chosen) > 1:
        assert widest <= budget and sum(item.unread for item in chosen) >= MIN_FILLED * widest


def test_a_shared_prefix_is_read_with_one_text_first():
    shared = list(range(100))
    texts = [shared + [200 + i] * 40 for i in range(4)]
    first = schedule_prefill(texts, [], 10**6)
    assert [item.index for item in first] == [0]
    others = schedule_prefill(texts[1:], [Held(0, texts[0], 139)], 10**6)
    assert [(item.index, item.known, item.unread) for item in others] == [(i, 100, 39) for i in range(3)]


def test_equal_texts_are_read_once():
    text = list(range(60))
    assert [item.index for item in schedule_prefill([text, text, text], [], 10**6)] == [0]
    again = schedule_prefill([text, text], [Held(3, text, 59)], 10**6)
    assert [(item.index, item.known, item.source, item.unread) for item in again] == [(0, 59, 3, 0), (1, 59, 3, 0)]


def test_short_shared_prefixes_are_not_copied():
    text = list(range(100))
    other = text[: MIN_COPIED - 1] + [900] * 50
    assert schedule_prefill([other], [Held(0, text, 99)], 100)[0].known == 0
