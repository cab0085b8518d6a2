"""Thresholds and vectors of a curation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import self_instruct as si
from self_instruct.novelty import together
from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.novelty.rouge import RougeIndex
from tests.support.curation_runs import BY_MEANING, curate, files, near_copies, written


def test_another_threshold_loads_no_model(tmp_path):
    source = written(tmp_path / "a.jsonl", *near_copies(300))
    command = ["--input_path", source, "--output_path", tmp_path / "c.jsonl", *BY_MEANING]
    assert "Embeddings: computed and cached." in curate(*command).stdout
    cache, before = tmp_path / "c.embeddings.cache", files(tmp_path)
    times = cache.stat().st_mtime_ns
    result = curate(*command, "--embedding_threshold", 0.7, "--rouge_threshold", 0.9)
    assert result.returncode == 0 and "no model was loaded" in result.stdout and "Loading" not in result.stderr
    assert files(tmp_path)[0] != before[0] and cache.stat().st_mtime_ns == times
    assert curate(*command).returncode == 0 and files(tmp_path) == before


# ---- ROUGE-L and embeddings together


@pytest.fixture(scope="module")
def blocks_of_16():
    """Make blocks small, so that few texts fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together, "_BLOCK", 16)
        yield


@pytest.mark.parametrize("reference", ["kept", "all"])
@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([15, 17, 40, 90]), st.sampled_from([0.5, 0.7]))
def test_joint_decisions_equal_those_of_the_sequential_indices(blocks_of_16, reference, seed, number, threshold):
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
    assert together.keep_new(texts, vectors, bound, reference, (threshold, "below", "rouge")) == wanted


def test_no_texts_give_no_decisions():
    assert together.keep_new([], np.empty((0, 0), np.float32), 0.9) == []


HELLO = {"role": "user", "content": "Hello, I need some help please"}
TOPICS = (
    "my parcel is late and nobody answers",
    "which bread rises without any yeast",
    "sort seven numbers in a loop",
)


def _chat(text):
    turns = [HELLO, {"role": "assistant", "content": "Of course, with what?"}, {"role": "user", "content": text}]
    return {"messages": [*turns, {"role": "assistant", "content": f"About {text}, I would say this."}]}


@pytest.mark.parametrize(("compare", "kept"), [(None, 3), ("conversation", 3), ("task", 1), ("instruction", 1)])
def test_whole_conversation_is_compared_unless_an_option_says_otherwise(compare, kept):
    options = {} if compare is None else {"compare": compare}
    done = si.curate([_chat(text) for text in TOPICS], **options)
    assert len(done.kept) == kept
    assert done.report["options"]["compare"] == compare and done.report["compared"] == (
        compare or "task, or conversation for several turns"
    )


def test_equal_conversations_are_exact_duplicates():
    chats = [_chat(TOPICS[0]), _chat(TOPICS[0]), _chat(TOPICS[1])]
    done = si.curate(chats, filter_rules=["duplicates"], rouge_threshold=1.01)
    assert len(done.kept) == 2 and [row.reason for row in done.rejected] == ["duplicate"]
