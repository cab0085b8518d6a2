"""Trackers, with the real TensorBoard."""

import logging
from collections import Counter

import pytest

from self_instruct.errors import UserError
from self_instruct.generation import tracking
from self_instruct.generation.tracking import Tracker, check_installed, figures
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.tally import Tally
from tests.support.runs import generate, scripted
from tests.support.scripts import write_script


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(item.step, item.value) for item in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_the_counts_and_a_continued_run_continues_its_curves(tmp_path):
    options = [
        *scripted(write_script(tmp_path / "script.jsonl", 60), tmp_path / "run", 30),
        "--report_to",
        "tensorboard",
    ]
    assert generate(*options).returncode == 0
    first = scalars(tmp_path / "run/tensorboard")
    assert first["accepted"][-1][1] == 30 and first["pool_size"][-1][1] == 72 + 30
    assert 0 < first["yield"][-1][1] < 1 and first["drops/novelty/rouge_l"][-1][1] > 0
    assert generate(*options, "--num_instructions_to_generate", 40).returncode == 0
    both = scalars(tmp_path / "run/tensorboard")
    steps = [step for step, _ in both["accepted"]]
    assert steps == sorted(set(steps)) and both["accepted"][: len(first["accepted"])] == first["accepted"]
    assert both["accepted"][-1][1] == 40 and both["requests"][-1][1] == steps[-1]


def test_a_tracker_whose_package_is_missing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    check_installed("none")
    with pytest.raises(UserError, match=r"--report_to wandb needs its package: pip install wandb"):
        check_installed("wandb")


class Broken:
    """A tracker whose server is unreachable."""

    calls = 0

    def log(self, values, step):
        self.calls += 1
        raise ConnectionError("the server has gone")

    def finish(self):
        raise AssertionError("a dropped tracker must not be finished")


def test_a_failing_tracker_is_dropped_and_the_run_continues(tmp_path, monkeypatch, caplog):
    broken = Broken()
    monkeypatch.setattr(tracking, "_started", lambda *rest: broken)
    tracker = Tracker("wandb", tmp_path, 5, {})
    with caplog.at_level(logging.WARNING):
        for requests in range(1, 4):
            tracker.report(Funnel(completions=Counter(stop=requests)), 1.0)
        tracker.close()
    assert broken.calls == 1
    assert caplog.messages == [
        "--report_to wandb failed (ConnectionError: the server has gone); the run continues without it"
    ]


def test_reports_keep_their_interval_and_count_each_drop(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(Broken, "log", lambda self, values, step: given.append((step, values)))
    monkeypatch.setattr(tracking, "_started", lambda *rest: Broken())
    tracker = Tracker("tensorboard", tmp_path, 5, {})
    funnel = Funnel(completions=Counter(stop=3), tally=Tally(4, Counter({("filter", "loops"): 2})))
    for _ in range(2):
        tracker.update(funnel, 7.0)
        funnel.completions["stop"] += 1
    tracker.report(funnel, 8.0)
    tracker.report(funnel, 9.0)
    assert [step for step, _ in given] == [3, 5] and given[0][1] == figures(funnel, 7.0, 5) | {"requests": 3}
    assert given[0][1]["drops/filter/loops"] == 2 and given[0][1]["pool_size"] == 9
