"""Compiled subsequence lengths compared with rouge_score and a plain implementation."""

import os
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.novelty.kernels import subsequence
from tests.support.reference_rouge import rouge_scorer
from tests.support.runs import ROOT

SEQUENCE = st.integers(1, 150).flatmap(
    lambda length: st.binary(min_size=length, max_size=length).map(
        lambda raw: [byte % 13 if byte < 128 else 2**31 - 1 - byte for byte in raw]
    )
)


def common(one: list[int], other: list[int]) -> int:
    keys, positions = subsequence.match_tables(1, len(one))
    subsequence.fill(keys[0], positions[0], np.array(one, np.int32), 0, len(one))
    return int(subsequence.common(keys[0], positions[0], np.array([7, *other], np.int32), 1, len(other) + 1))


@given(one=SEQUENCE, other=SEQUENCE)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_length_and_f1_are_those_of_the_reference(one: list[int], other: list[int]) -> None:
    length = common(one, other)
    assert length == common(other, one) == rouge_scorer()._lcs_table(one, other)[-1][-1]
    if length:
        assert subsequence.f1(length, len(one), len(other)) == rouge_scorer()._score_lcs(other, one).fmeasure


@pytest.mark.parametrize("length", [63, 64, 65, 127, 128, 129, 400])
def test_carries_between_64_bit_words_are_right(length: int) -> None:
    one = list(range(length))
    assert common(one, one) == length
    assert common(one, one[1:]) == common(one[1:], one) == length - 1
    assert common(one, one[::-1]) == 1
    assert common([5] * length, [5] * (length + 70)) == length


@given(one=SEQUENCE, other=SEQUENCE, words=st.sampled_from([1, 4, 16]))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_signatures_differ_in_no_more_bits_than_texts_in_tokens(one: list[int], other: list[int], words: int) -> None:
    signs = np.full((2, subsequence.WIDE), 9, np.uint64)
    for row, tokens in zip(signs, (one, other), strict=True):
        subsequence.sign(np.array(tokens, np.int32), 0, len(tokens), words, row)
    differing = int(np.bitwise_count(signs[0, :words] ^ signs[1, :words]).sum())
    unshared = (Counter(one) - Counter(other)) + (Counter(other) - Counter(one))
    assert differing <= unshared.total()
    assert common(one, other) <= (len(one) + len(other) - differing) / 2
    assert (signs[:, words:] == 9).all()


@pytest.mark.parametrize("score", [0.0, 1e-9, 0.3, 0.5, 0.6, 0.7, np.nextafter(0.7, 0), 2 / 3, 0.8, 0.9, 1.0])
def test_the_least_common_subsequence_reaches_the_score_and_one_less_does_not(score: float) -> None:
    for m in range(1, 90):
        for n in range(1, 90, 3):
            least = subsequence.least_common(score, m, n)
            if least <= min(m, n):
                assert subsequence.f1(least, m, n) >= score
            if least > 1:
                assert subsequence.f1(min(least - 1, m, n), m, n) < score


def test_it_works_where_machine_code_cannot_be_cached() -> None:
    script = "from self_instruct.novelty.kernels.subsequence import f1; print(f1(1, 1, 1), len(f1.signatures))"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""},
    )  # fmt: skip
    assert run.stdout.split() == ["1.0", "1"]


def test_machine_code_is_recompiled_when_another_file_changes(tmp_path) -> None:
    shutil.copytree(ROOT / "self_instruct", tmp_path / "self_instruct", ignore=shutil.ignore_patterns("__pycache__"))
    script = (
        "from self_instruct.novelty.kernels.sequences import SequenceIndex\n"
        "index = SequenceIndex(str.split)\n"
        "index.add(index.tokens(['one two three']))\n"
        "print(index._store.bits.nonzero()[0].tolist(), index._store.bits.max())"
    )
    source, seen = tmp_path / "self_instruct" / "novelty" / "kernels" / "subsequence.py", []
    original = "0x9E3779B97F4A7C15"  # a constant of `sign`, which chunks.py calls
    for constant in (original, "0x1234567812345678"):
        changed = source.read_text("utf-8").replace(original, constant)
        source.write_text(changed, "utf-8")
        run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        seen.append(run.stdout)
    assert seen[0] != seen[1]
