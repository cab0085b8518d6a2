"""The pool: its views, by request and depth, equal copies of its records."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.pool import RecordPool, shallow
from self_instruct.records import Record

SEEDS = [Record(f"s{at}", f"seed task {at}", "", "x") for at in range(8)]
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=60)


@given(rows=ROWS, depth=st.integers(1, 5), horizon=st.integers(1, 4), synthetic=st.integers(0, 8))
@settings(deadline=None, derandomize=True)
def test_drawing_from_a_growing_pool_equals_drawing_from_a_copy(rows, depth, horizon, synthetic):
    pool, records, request = RecordPool(), [], 0
    mix = DemonstrationMix(8, synthetic, depth)
    for at, (step, own) in enumerate(rows):
        request += step
        record = Record(f"m{at}", f"machine task {at}", "", "x", own)
        pool.add(record, request)
        records.append((request, record))
        seen = [item for number, item in records if number < request - horizon + 1]
        before = pool.before(request - horizon + 1)
        assert list(before) == seen and len(before) == len(seen)
        assert list(shallow(before, depth)) == shallow(seen, depth)
        assert mix.choose(5, request, SEEDS, before) == mix.choose(5, request, SEEDS, seen)
    assert list(pool) == [record for _, record in records]


def test_a_view_is_read_like_a_list():
    pool = RecordPool()
    for at in range(6):
        pool.add(SEEDS[at], at)
    before = pool.before(4)
    assert before[-1] is SEEDS[3] and before[1:3] == SEEDS[1:3] and before[::-1] == SEEDS[3::-1]
    pool.add(SEEDS[6], 6)
    assert list(before) == SEEDS[:4] and SEEDS[4] not in before
    with pytest.raises(IndexError):
        before[4]
