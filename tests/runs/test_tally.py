"""Counts of kept and dropped rows by stage and reason."""

from self_instruct.records import Drop
from self_instruct.runs.tally import Tally


def counted():
    tally = Tally()
    tally.keep()
    tally.keep(3)
    tally.drop(Drop("filter", "empty", "one"))
    tally.drop(Drop("filter", "empty", "another"))
    tally.drop(Drop("filter", "a"), 2)
    tally.drop(Drop("read", "json"), 1)
    return tally


def test_every_item_is_kept_or_dropped_by_stage_and_reason():
    tally = counted()
    assert tally.kept == 4 and tally.total == 9
    assert tally.dropped("filter") == 4 and tally.dropped("read", "filter") == 5 and tally.dropped("novelty") == 0


def test_drops_are_reported_in_order():
    tally = counted()
    assert list(tally.by_name().items()) == [("filter: a", 2), ("filter: empty", 2), ("read: json", 1)]
    found = tally.by_stage(["read", "filter", "novelty"])
    assert list(found) == ["read", "filter", "novelty"]
    assert found == {"read": {"json": 1}, "filter": {"a": 2, "empty": 2}, "novelty": {}}
    assert tally.lines()[0].split() == ["filter:", "a", "-2"]


def test_the_table_shows_only_the_given_stages():
    rows = [line.split() for line in counted().table("lines", [("filter", "passed")]).splitlines()]
    assert rows == [["lines", "8"], ["filter", "a", "-2"], ["filter", "empty", "-2"], ["passed", "4"]]


def test_a_sum_does_not_change_its_parts():
    parts = [counted(), counted()]
    total = Tally.sum(parts)
    assert total.kept == 8 and total.total == 18 and total.drops["filter", "a"] == 4
    assert parts == [counted(), counted()] and Tally.sum([]) == Tally()
