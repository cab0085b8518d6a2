"""Statistics of generating processes, and their sums."""

from dataclasses import asdict, replace

import pytest

from self_instruct.engines.fleet.stats import (
    Stats,
    devices,
    idleness,
    memory_lines,
    occupancy,
    rows_tried,
    tokens_per_second,
)
from self_instruct.engines.local.row_search import RowsTried

ONE = Stats(tokens=900, steps=100, seconds=10.0, waited=1.0, rows=10, rows_at_first=10, name="GPU", devices=1,
           taken=4_000_000_000, memory=80_000_000_000)  # fmt: skip
OTHER = Stats(tokens=100, steps=50, seconds=10.0, waited=4.0, rows=4, rows_at_first=8, name="GPU", devices=2,
             taken=70_000_000_000, memory=160_000_000_000)  # fmt: skip
LOADING = Stats()


def test_throughputs_are_added_and_shares_weighted():
    assert tokens_per_second([ONE, OTHER, LOADING]) == 100
    assert idleness([ONE, OTHER, LOADING]) == 0.25
    assert occupancy([ONE, OTHER, LOADING]) == pytest.approx(1000 / 1200)
    assert devices([ONE, OTHER, LOADING]) == 3


def test_the_throughput_counts_from_the_end_of_a_search_for_rows_if_that_is_long_enough():
    searched = replace(ONE, seconds=40.0, search_tokens=100, search_seconds=30.0)
    assert tokens_per_second([searched]) == 80
    assert tokens_per_second([replace(searched, search_seconds=30.5)]) == 22.5
    assert tokens_per_second([searched, OTHER]) == 90


def test_the_first_process_says_what_it_has_tried():
    tried = RowsTried(((1, 9.0), (2, 9.5)), 1, "gain", "a CPU")
    assert rows_tried([replace(ONE, rows_tried=asdict(tried)), OTHER]) == tried
    assert rows_tried([ONE, replace(OTHER, rows_tried=asdict(tried))]) is None and rows_tried([]) is None


def test_without_requests_all_measurements_are_zero():
    assert (tokens_per_second([]), idleness([LOADING]), occupancy([LOADING]), devices([])) == (0, 0, 0, 0)


def test_memory_lines_say_that_memory_ran_out():
    whole, halved = memory_lines([ONE, OTHER, LOADING])
    assert whole == "10 rows on GPU, peak memory 4.0 of 80.0 GB"
    assert halved == "4 rows on GPU, peak memory 70.0 of 160.0 GB; memory ran out with 8 rows"
