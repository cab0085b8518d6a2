"""Self-consistency: deciding from predictions which records to keep."""

from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.review.consistency import Agreement, Thresholds, _config_of, agreement, statistics, table
from self_instruct.review.predictions import Prediction


def prediction(
    text: str | None, rouge_l: float | None, embedding: float | None, reason: str | None = None
) -> Prediction:
    return Prediction(
        record="000000-01", record_sha256="", trial=0, prediction=text, reason=reason, rouge_l=rouge_l, embedding=embedding,
        embedding_model="minilm" if embedding is not None else None, model="toy", model_revision="local-1", options={},
        header_sha256="", prompt_sha256="", seed_ids=[], text="", finish_reason="stop", prompt_tokens=1,
        completion_tokens=1, rank=0, created_at=None,
    )  # fmt: skip


PREDICTIONS = [prediction("a", 0.2, 0.6), prediction("b", 0.8, 0.1), prediction(None, None, None, "cut_by_length")]


@pytest.mark.parametrize(("rule", "expected"), [("mean", (0.35, 0.5)), ("best", (0.6, 0.8))])
def test_a_rule_applies_to_each_score_over_readable_trials(rule, expected):
    found = agreement(PREDICTIONS, rule)
    assert (found.embedding, found.rouge_l, found.trials) == pytest.approx((*expected, 2))


def test_there_is_no_score_without_embeddings_or_predictions():
    assert agreement(PREDICTIONS, "mean", embeddings=False) == Agreement(None, pytest.approx(0.5), 2)
    assert agreement(PREDICTIONS[2:], "best") == agreement([], "mean") == Agreement(None, None, 0)


@pytest.mark.parametrize(
    ("found", "thresholds", "reason"),
    [
        (Agreement(0.5, 0.1, 3), Thresholds(0.5, None), None),
        (Agreement(0.499, 1.0, 3), Thresholds(0.5, None), "embedding"),
        (Agreement(0.5, 0.1, 3), Thresholds(0.5, 0.2), "rouge_l"),
        (Agreement(0.5, 0.2, 3), Thresholds(0.5, 0.2), None),
        (Agreement(None, 0.2, 3), Thresholds(None, 0.2), None),
        (Agreement(None, 0.2, 3), Thresholds(0.5, 0.2), "embedding"),
        (Agreement(-0.3, 0.0, 1), Thresholds(-1, 0), None),
        (Agreement(None, None, 0), Thresholds(-1, 0), "no_prediction"),
    ],
)
def test_a_record_is_kept_at_the_threshold_and_dropped_below(found, thresholds, reason):
    assert thresholds.drop_reason(found) == reason


@given(
    st.lists(st.lists(st.none() | st.tuples(st.floats(0, 1), st.floats(-1, 1)), max_size=4), max_size=8),
    st.sampled_from(["mean", "best"]),
    st.floats(-1, 1),
)
def test_the_counts_add_up_and_agree_with_a_plain_count(records, rule, threshold):
    trials = [[prediction("x", *scores) if scores else prediction(None, None, None, "error") for scores in record]
              for record in records]  # fmt: skip
    agreements = [agreement(record, rule) for record in trials]
    thresholds = Thresholds(threshold, None)
    counts = statistics(agreements, [item for record in trials for item in record], thresholds, rule)
    assert counts["kept"] + sum(counts["drops"].values()) == counts["records"] == len(records)
    plain = {"mean": fmean, "best": max}[rule]
    scores = [plain([pair[1] for pair in record if pair]) for record in records if any(record)]
    assert counts["kept"] == sum(score >= threshold for score in scores)
    assert [row["embedding"] for row in counts["kept_at"]] == [sum(s >= t / 10 for s in scores) for t in range(10)]
    assert sum(counts["predictions"].values()) == sum(map(len, records))


def test_the_table_shows_kept_records_thresholds_and_drops():
    agreements = [agreement(PREDICTIONS, "mean"), agreement(PREDICTIONS[2:], "mean")]
    shown = table(statistics(agreements, [*PREDICTIONS, PREDICTIONS[2]], Thresholds(0.3, 0.4), "mean"))
    assert shown.startswith("1 of 2 records were kept: mean cosine at least 0.3, mean ROUGE-L at least 0.4.")
    lines = [line.split() for line in shown.splitlines()]
    assert ["0.3", "1", "1"] in lines and ["0.4", "0", "1"] in lines and ["0.9", "0", "0"] in lines
    assert ["cut_by_length", "-2"] in lines and ["no_prediction", "-1"] in lines and ["kept", "1"] in lines


LOCAL = {"engine": "huggingface", "model_name_or_path": "ours", "adapter": "lora", "quantization": "4bit"}
SERVER = {"engine": "openai", "api_base": ["http://a"], "api_model": "m", "model_name_or_path": None}


@pytest.mark.parametrize(
    ("earlier", "given", "expected"),
    [
        (LOCAL, {}, ("huggingface", "ours", "lora", "4bit")),
        (LOCAL, {"engine": "huggingface"}, ("huggingface", "ours", "lora", "4bit")),
        (LOCAL, {"model_name_or_path": "other"}, ("huggingface", "other", None, None)),
        (LOCAL, {"api_base": ["http://b"], "api_model": "n"}, ("openai", None, None, None)),
        (LOCAL, {"engine": "openai", "model_name_or_path": "tokenizer"}, ("openai", "tokenizer", None, None)),
        (SERVER, {"model_name_or_path": "other"}, ("huggingface", "other", None, None)),
        (SERVER, {"api_base": ["http://b"], "model_name_or_path": "tokenizer"}, ("openai", "tokenizer", None, None)),
        (LOCAL, {"script_path": "s"}, ("scripted", None, None, None)),
    ],
)
def test_options_of_the_model_of_a_run_do_not_apply_to_another_model(earlier, given, expected):
    model = _config_of(earlier, given).model
    assert (model.engine, model.model_name_or_path, model.adapter, model.quantization) == expected
