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
    target = Target(lambda content, folder: sum(range(10_000)), ())
    with pytest.raises(Slow, match="more than 0"):
        checked(target, b"", tmp_path)


def test_a_slow_machine_is_no_slow_reader(tmp_path, monkeypatch):
    tried, taken = [], iter([5.0, 5.0, 9.0, 9.0])
    monkeypatch.setattr("tests.support.fuzz._seconds", lambda work: work() or next(taken))
    monkeypatch.setattr("tests.support.fuzz.slowness", lambda: 4.0)
    checked(Target(lambda content, folder: tried.append(content), ()), b"", tmp_path)
    assert tried == [b""]
    monkeypatch.setattr("tests.support.fuzz.slowness", lambda: 2.0)
    with pytest.raises(Slow, match=r"9\.0 s for 0 bytes, more than 2\.0"):
        checked(Target(lambda content, folder: tried.append(content), ()), b"", tmp_path)
