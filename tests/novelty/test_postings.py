"""The nearest text by counting shared tokens equals the nearest by scanning, whether texts share few or many words."""

import random

import numpy as np
import pytest

from self_instruct.novelty.kernels.sequences import SequenceIndex, Tokens
from self_instruct.novelty.postings import Postings

EMPTY = Tokens(np.empty(0, np.int32), np.zeros(1, np.int64))


def texts(rng: random.Random, size: int, words: int) -> list[str]:
    """Make texts of 0 to 90 words, in which common words are far more frequent than rare ones."""
    return [
        " ".join(f"w{int(rng.paretovariate(0.7)) % words}" for _ in range(rng.choice((0, 1, 3, 12, 30, 90))))
        for _ in range(size)
    ]


@pytest.mark.parametrize("words", [3, 40, 2000])
def test_the_nearest_is_that_of_a_scan_whatever_the_number_of_calls(words: int) -> None:
    rng = random.Random(words)
    scanned, listed = SequenceIndex(str.split), Postings()
    for size in (1, 200, 0, 300):
        added = scanned.tokens(texts(rng, size, words))
        scanned.add(added)
        listed.extend(EMPTY, added)
    assert len(listed) == len(scanned) == 501
    queries = scanned.tokens([*texts(rng, 100, words), "", "never seen"])
    scores, found = scanned.nearest(queries)
    assert len(set(found.tolist())) > 5
    for at in range(len(queries)):
        assert listed.nearest(queries.numbers[queries.ends[at] : queries.ends[at + 1]]) == (scores[at], found[at])


def test_an_empty_index_finds_nothing() -> None:
    assert Postings().nearest(np.array([0, 1], np.int32)) == (0.0, -1)
    listed = Postings()
    listed.extend(EMPTY)
    assert (len(listed), listed.nearest(np.empty(0, np.int32))) == (0, (0.0, -1))
