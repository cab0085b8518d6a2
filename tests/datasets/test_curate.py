"""Thresholds, vectors and shards of a curation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.novelty.offline import KnownPairs, similar_pairs
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.novelty.together import SearchedWords, keep_new
from tests.support.curation_runs import BY_MEANING, curate, files, near_copies, written
from tests.support.runs import rows


def test_another_threshold_loads_no_model(tmp_path):
    source = written(tmp_path / "a.jsonl", *near_copies(300))
    command = ["--input_path", source, "--output_path", tmp_path / "c.jsonl", *BY_MEANING]
    assert "Vectors: encoded, and kept." in curate(*command).stdout
    cache, before = tmp_path / "c.embeddings.cache", files(tmp_path)
    times = cache.stat().st_mtime_ns
    result = curate(*command, "--embedding_threshold", 0.7, "--rouge_threshold", 0.9)
    assert result.returncode == 0 and "no model was loaded" in result.stdout and "Loading" not in result.stderr
    assert files(tmp_path)[0] != before[0] and cache.stat().st_mtime_ns == times
    assert curate(*command).returncode == 0 and files(tmp_path) == before


@pytest.mark.parametrize("more", [[], BY_MEANING])
def test_shards_decide_as_one_process(tmp_path, more):
    source = written(tmp_path / "a.jsonl", *near_copies(1200))
    begin = ["--input_path", source, *more, "--rouge_threshold", 0.65, "--output_path"]
    assert curate(*begin, tmp_path / "c.jsonl").returncode == 0
    for shard in (1, 0):
        assert curate(*begin, tmp_path / "d.jsonl", "--shards", 2, "--shard_index", shard).returncode == 0
    result = curate(*begin, tmp_path / "d.jsonl", "--shards", 2)
    assert result.returncode == 0, result.stderr
    assert files(tmp_path, "d") == files(tmp_path)
    assert len(rows(tmp_path / "d.jsonl")) not in (0, 1200)
    assert not more or "no model was loaded" in result.stdout
    assert [path.name for path in tmp_path.glob("d.embeddings*")] == (["d.embeddings.cache"] if more else [])
    # Pairs serve a threshold above theirs, none below, and no other texts.
    again = [tmp_path / "d.jsonl", "--merge", "--rouge_threshold"]
    assert curate(*begin, *again, 0.8).returncode == 0
    assert curate(*begin, tmp_path / "c.jsonl", "--rouge_threshold", 0.8).returncode == 0
    assert files(tmp_path, "d") == files(tmp_path)
    if more:
        return
    assert "search that shard again for a lower one" in curate(*begin, *again, 0.5).stderr
    assert "among other texts" in curate(*begin, *again, 0.8, "--min_instruction_words", 7).stderr


def test_a_damaged_file_of_pairs_is_refused_and_searched_again(tmp_path):
    source = written(tmp_path / "a.jsonl", *near_copies(100))
    begin = ["--input_path", source, "--output_path", tmp_path / "c.jsonl", "--shards", 1]
    assert curate(*begin, "--shard_index", 0).returncode == 0
    pairs = tmp_path / "c.pairs.0-of-1.bin"
    content = pairs.read_bytes()
    pairs.write_bytes(content[:-5])
    result = curate(*begin)
    assert result.returncode == 2 and "is not what a shard wrote" in result.stderr
    assert curate(*begin, "--shard_index", 0).returncode == 0 and pairs.read_bytes() == content


# ---- words and meanings together


@pytest.mark.parametrize("reference", ["kept", "all"])
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([40, 513, 1100]), st.sampled_from([0.5, 0.7]))
def test_joint_decisions_are_those_of_a_loop_over_the_indices(reference, seed, number, threshold):
    texts = [row["instruction"] for row in near_copies(number, seed)]
    vectors = np.random.default_rng(seed).normal(size=(number, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[1::3] = vectors[: len(vectors[1::3])]  # ties
    bound = 0.999
    rouge, meanings, wanted = RougeIndex(), EmbeddingIndex(None), []
    for at, text in enumerate(texts):
        near, similar = rouge.nearest(text), meanings.nearest(vectors[at])
        if near and near.score >= threshold:
            wanted.append(("rouge_l", (int(near.id), near.score)))
            continue
        new = similar is None or similar.score < bound
        if new or reference == "all":
            meanings.add([str(at)], vectors[at][None])
        if new:
            rouge.add([str(at)], [text])
        wanted.append((None, None) if new else ("embedding", (int(similar.id), similar.score)))
    words = SearchedWords(texts, threshold, "below", "rouge")
    assert keep_new(words, vectors, bound, reference) == wanted
    pairs = [similar_pairs(texts, threshold, shard=shard, shards=3) for shard in (1, 2, 0)]
    assert keep_new(KnownPairs(number, np.concatenate(pairs)), vectors, bound, reference) == wanted


def test_an_empty_file_has_no_decisions():
    assert keep_new(SearchedWords([], 0.7, "below", "rouge"), np.empty((0, 0), np.float32), 0.9) == []
