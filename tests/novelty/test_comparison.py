"""The comparison of candidates with the seeds and the kept records; tests/generation/test_judging_novelty.py has more."""

from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.novelty.rouge import RougeIndex


def test_seeds_are_not_compared_with_each_other(monkeypatch):
    queries = list[int]()
    nearest = RougeIndex.nearest

    def counted(index: RougeIndex, text: str):
        queries.append(len(text.split()))
        return nearest(index, text)

    monkeypatch.setattr(RougeIndex, "nearest", counted)
    novelty = Novelty([(f"seed_{at}", f"Name the river {at} " + "of a country " * 1000) for at in range(30)])
    assert sum(queries) <= 1  # one word compiles the search
    found = novelty.add_if_new("new", "Name the river 7 " + "of a country " * 1000, None, Bounds(0.7))
    assert found.drop is not None and found.rouge is not None and found.rouge.id == "seed_7"
