"""The forecast of a run."""

import math
import random

import pytest

from self_instruct.generation.forecast import Forecast, tokens_per_record


def test_tokens_per_record_is_a_ratio_of_sums():
    expected, low, high = tokens_per_record([(100, 1), (300, 3), (50, 0), (150, 2)])
    assert expected == pytest.approx(600 / 6) and low < 100 < high


def test_equal_requests_give_a_range_without_width():
    assert tokens_per_record([(120, 4)] * 9) == pytest.approx((30, 30, 30))


@pytest.mark.parametrize("samples", [[], [(500, 0)], [(500, 0), (10, 0)]])
def test_there_is_no_ratio_without_a_record(samples):
    assert tokens_per_record(samples) is None


def test_one_request_gives_an_open_range():
    assert tokens_per_record([(80, 2)]) == (40, 0, math.inf)


def test_the_range_contains_the_true_value_in_about_95_percent_of_cases():
    rng = random.Random(5)
    hits = 0
    for _ in range(400):
        samples = []
        for _ in range(40):
            kept = rng.randint(0, 6)
            samples.append((round(kept * 60 + rng.gauss(40, 15)), kept))
        _, low, high = tokens_per_record(samples)
        hits += low <= 60 + 40 / 3 <= high
    assert 0.90 <= hits / 400 <= 0.99


def test_hours_and_cost_follow_from_speed_and_records():
    forecast = Forecast(36_000, 1_000.0, (200.0, 100.0, 400.0), devices=4, price=2.5)
    assert forecast.hours == pytest.approx((2.0, 1.0, 4.0))
    text = "\n".join(forecast.lines())
    assert (
        "2:00:00 (1:00:00 to 4:00:00)" in text
        and "8 (4 to 16)" in text
        and "20 (10 to 40)" in text
        and "36,000" in text
    )


def test_without_a_gpu_there_are_no_gpu_hours():
    text = "\n".join(Forecast(100, 50.0, (100.0, 0.0, math.inf), devices=0, price=3.0).lines())
    assert "GPU" not in text and "cost" not in text and "unknown" in text
