"""Random input for every reader, the same on each run; `benchmarks/fuzz.py` tries more."""

import logging
import random

import pytest

from tests.support.fuzz import TARGETS, Slow, Target, checked, input_of


@pytest.mark.parametrize("name", TARGETS)
def test_random_and_damaged_input_is_read_or_refused(name, tmp_path):
    rng = random.Random(5)
    logging.disable(logging.CRITICAL)
    try:
        for _ in range(25):
            checked(TARGETS[name], input_of(TARGETS[name], rng), tmp_path)
    finally:
        logging.disable(logging.NOTSET)


def test_slow_readers_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.support.fuzz.MOST_SECONDS", 0.0)
    with pytest.raises(Slow, match="more than 0"):
        checked(Target(lambda content, folder: sum(range(10_000)), ()), b"", tmp_path)
