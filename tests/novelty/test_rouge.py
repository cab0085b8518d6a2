"""ROUGE-L novelty: scores identical to those of the reference library, so decisions agree at any threshold."""

import random
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.novelty import rouge
from self_instruct.novelty.rouge import RougeIndex, rouge_l
from self_instruct.records import Nearest
from tests.support.reference_rouge import rouge_scorer

WORDS = [
    "the",
    "list",
    "add",
    "two",
    "numbers",
    "write",
    "a",
    "function",
    "in",
    "python",
    "return",
    "sum",
    "of",
    "3",
    "x1",
]
ODD = [
    "",
    " ",
    "...",
    "?!",
    "###",
    "好 的",
    "é",
    "naïve café",
    "a\ud800b",
    "\udfff",
    "A_b-C",
    "x" * 300,
    "\x00",
    "1,000.5",
]


@cache
def scorer() -> Any:
    return rouge_scorer().RougeScorer(["rougeL"], use_stemmer=False)


@cache
def reference(text: str, earlier: str) -> float:
    return scorer().score(earlier, text)["rougeL"].fmeasure


def index_of(texts: Sequence[str]) -> RougeIndex:
    index = RougeIndex()
    index.add([str(at) for at in range(len(texts))], texts)
    return index


def brute(text: str, texts: Sequence[str]) -> Nearest:
    scores = [reference(text, earlier) for earlier in texts]
    best = max(range(len(texts)), key=lambda at: (scores[at], -at))
    return Nearest(str(best), scores[best])


def mutate(words: list[str], rng: random.Random) -> list[str]:
    changed = list(words)
    for _ in range(rng.randint(0, 3)):
        at = rng.randrange(len(changed) + 1)
        action = rng.random()
        if action < 0.4:
            changed.insert(at, rng.choice(WORDS))
        elif changed:
            del changed[min(at, len(changed) - 1)]
    return changed


@pytest.fixture(params=[1, 4, 1024])
def recent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Set how many texts are scanned before they are indexed."""
    monkeypatch.setattr(rouge, "RECENT", request.param)
    return request.param


def test_an_empty_index_has_no_nearest() -> None:
    assert RougeIndex().nearest("a") is None
    assert len(RougeIndex()) == 0


def test_random_texts_and_near_duplicates_score_as_the_reference_does(recent: int) -> None:
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 25))) for _ in range(60)] + ODD
    queries = [" ".join(mutate(rng.choice(texts).split(), rng)) for _ in range(25)] + ODD
    index = index_of(texts)
    for query in queries:
        assert index.nearest(query) == brute(query, texts)


@pytest.mark.parametrize("lengths", [(1, 700), (700, 690), (64, 65), (63, 64), (128, 129), (257, 255)])
def test_long_texts_score_as_the_reference_does(lengths: tuple[int, int], recent: int) -> None:
    rng = random.Random(sum(lengths))
    vocabulary = [f"w{at}" for at in range(40)]
    one, other = (" ".join(rng.choices(vocabulary, k=length)) for length in lengths)
    assert index_of([other]).nearest(one) == Nearest("0", reference(one, other))
    assert rouge_l(one, other) == reference(one, other) and rouge_l("", other) == rouge_l(other, "...") == 0


def tied(common: int, first: int, second: int) -> tuple[str, str]:
    """Return two texts with these numbers of words, whose longest common subsequence has `common` words."""
    shared = [f"same{at}" for at in range(common)]
    return (
        " ".join(shared + [f"one{at}" for at in range(first - common)]),
        " ".join([f"two{at}" for at in range(second - common)] + shared),
    )


TIES = [
    (threshold, common, first, total - first)
    for threshold in (Fraction(1, 2), Fraction(3, 5), Fraction(7, 10), Fraction(3, 4), Fraction(4, 5), Fraction(9, 10))
    for total in range(4, 121)
    if (threshold * total / 2).denominator == 1
    for common in [int(threshold * total / 2)]
    for first in {common, total // 2, (total // 2 + common) // 2, total - common}
    if common <= first and common <= total - first
]


def test_exact_ties_at_the_threshold_fall_on_the_side_of_the_reference(recent: int) -> None:
    below = above = 0
    for threshold, common, first, second in TIES:
        one, other = tied(common, first, second)
        found, wanted = index_of([other]).nearest(one), reference(one, other)
        assert found == Nearest("0", wanted), (common, first, second)
        assert abs(wanted - float(threshold)) < 1e-12
        below, above = below + (wanted < float(threshold)), above + (wanted >= float(threshold))
    # Floats put some exact ties under the threshold, which is why the operations must be the same.
    assert below > 0 and above > 0


def test_the_first_of_equals_is_the_nearest(recent: int) -> None:
    index = index_of(["add two", "sum of numbers", "sum of numbers", "sum numbers of"])
    assert index.nearest("sum of numbers") == Nearest("1", 1.0)
    assert index.nearest("python") == Nearest("0", 0.0)
    assert index.nearest("numbers of") == Nearest("3", 0.8)


def test_texts_can_be_added_one_by_one_past_the_first_thousand() -> None:
    texts = [f"task number {at} of {at % 7}" for at in range(2100)]
    one_by_one = RougeIndex()
    for at, text in enumerate(texts):
        one_by_one.add([str(at)], [text])
    assert len(one_by_one) == 2100
    at_once = index_of(texts)
    for at in (0, 1023, 1024, 1025, 2047, 2048, 2099):
        assert one_by_one.nearest(texts[at]) == at_once.nearest(texts[at]) == Nearest(str(at), 1.0)


def test_queries_do_not_change_the_index() -> None:
    index = index_of(["add two numbers", "return the sum"])
    before = index.nearest("add the sum")
    for text in ("entirely other words", "zebra", "", "add add add"):
        index.nearest(text)
    assert index.nearest("add the sum") == before
    assert len(index) == 2


def test_more_different_words_than_the_basic_plane_has_are_distinguished(recent: int) -> None:
    # Words around the positions where code points are surrogates or need more than 16 bits.
    index = index_of([" ".join(f"w{at}" for at in range(54_000)), " ".join(f"w{at}" for at in range(54_000, 70_000))])
    around = [f"w{at}" for at in (55_290, 55_294, 55_295, 57_341, 57_342, 57_344, 65_535, 69_999)]
    index.add(["few"], [" ".join(around)])
    for left_out in range(len(around)):
        others = [word for at, word in enumerate(around) if at != left_out]
        assert index.nearest(" ".join([*others, "new"])) == Nearest("few", 2 * (7 / 8) * (7 / 8) / (7 / 8 + 7 / 8))


def test_ids_and_texts_must_have_the_same_number() -> None:
    with pytest.raises(ValueError, match="2 ids for 1 texts"):
        RougeIndex().add(["a", "b"], ["only one"])


PIECE = st.sampled_from(WORDS[:6]) | st.sampled_from(ODD[:9]) | st.text(st.characters(), max_size=3)
TEXT = st.lists(PIECE, max_size=8).map(" ".join)


@given(
    texts=st.lists(TEXT, min_size=1, max_size=6),
    query=TEXT,
    size=st.sampled_from([1, 3, 1024]),
    one_by_one=st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_nearest_equals_comparison_with_every_text(
    texts: list[str], query: str, size: int, one_by_one: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rouge, "RECENT", size)
        index = RougeIndex()
        for first in range(0, len(texts), 1 if one_by_one else len(texts)):
            part = texts[first : first + (1 if one_by_one else len(texts))]
            index.add([str(first + at) for at in range(len(part))], part)
        assert index.nearest(query) == brute(query, texts)
