"""Tuning: which variants are tried, which one is the best, and the table."""

import signal
import subprocess
import sys
import time

import pytest
import yaml

from self_instruct.errors import UserError
from self_instruct.review import tuning
from self_instruct.review.tuning import Tuning, Variant, VariantResult, as_yaml, best_of, table
from self_instruct.runs.lock import Lock


def result(distinct: int, tokens: int = 1000, good: int | None = None) -> VariantResult:
    return VariantResult(distinct + 4, distinct + 2, distinct, distinct, good, tokens // 4, tokens - tokens // 4)


class Scored(Tuning):
    """A tuning whose variants have the given numbers of distinct records, 10 if none is given; one of None cannot run."""

    scores: dict[str, int | None]

    def _result(self, variant: Variant) -> VariantResult:
        distinct = self.scores.get(variant.name, 10)
        return VariantResult(problem="needs a chat template") if distinct is None else result(distinct)


def names(tmp_path, scores: dict[str, int | None], **given) -> tuple[list[str], Variant]:
    tuning = Scored(tmp_path, given, 1000)
    object.__setattr__(tuning, "scores", scores)
    found = list(tuning.results())
    return [variant.name for variant, _ in found], best_of(found)


def test_each_stage_varies_the_best_so_far(tmp_path):
    tried, best = names(tmp_path, {"magpie": 20, "magpie-temperature-1": 40})
    assert tried == ["chat", "magpie", "few_shot", "magpie-temperature-0.6", "magpie-temperature-1"]
    assert best.options == {"recipe": "magpie", "temperature": 1.0}


def test_a_base_model_is_tuned_by_demonstrations_and_trigger_words(tmp_path):
    scores = {"chat": None, "magpie": None, "few_shot-3-demonstrations": 30, "few_shot-3-demonstrations-question": 60}
    tried, best = names(tmp_path, scores)
    stem = "few_shot-3-demonstrations"
    assert tried == [
        "chat", "magpie", "few_shot", stem, f"{stem}-task", f"{stem}-question", f"{stem}-question-temperature-0.6",
        f"{stem}-question-temperature-1",
    ]  # fmt: skip
    assert best.options == {
        "recipe": "few_shot", "num_prompt_instructions": 3, "num_prompt_synthetic_instructions": 1,
        "instruction_trigger": "Question", "output_trigger": "Answer",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ({"recipe": "chat", "temperature": 0.5}, ["given", "given-3-demonstrations"]),
        ({"recipe": "magpie"}, ["given", "given-temperature-0.6", "given-temperature-1"]),
        ({"instruction_trigger": "Q", "num_prompt_instructions": 2, "temperature": 1}, ["few_shot"]),
    ],
)
def test_options_that_are_given_are_not_varied(tmp_path, given, tried):
    assert names(tmp_path, {}, **given)[0] == tried


def test_nothing_else_is_tried_if_no_recipe_can_run(tmp_path):
    tuning = Scored(tmp_path, {}, 1000)
    object.__setattr__(tuning, "scores", dict.fromkeys(["chat", "magpie", "few_shot"]))
    assert [variant.name for variant, _ in tuning.results()] == ["chat", "magpie", "few_shot"]


def test_a_variant_wins_by_more_than_a_standard_error():
    assert not result(11).beats(result(9)) and result(13).beats(result(9))
    assert result(1).beats(result(0)) and not result(0).beats(result(0))
    assert result(9, 500).beats(result(9, 1000)), "fewer tokens for as many records"
    assert result(9, good=9).beats(result(90, good=1))


def test_the_table_marks_the_best_and_shortens_problems():
    found = [(Variant("chat"), VariantResult(problem="needs " * 40)), (Variant("few_shot"), result(8, 2000, good=5))]
    head, first, second = table(found, best_of(found))
    assert head.split() == [
        "written", "readable", "accepted", "distinct", "good", "prompt", "tokens", "new", "tokens", "per", "1,000", "tokens",
    ]  # fmt: skip
    assert first.startswith("  chat      needs needs") and first.endswith(" ...") and len(first) < 110
    assert second.split() == ["*", "few_shot", "12", "10", "8", "8", "5", "500", "1,500", "2.50"]


def test_no_useful_record_is_a_mistake():
    with pytest.raises(UserError, match=r"no variant wrote a record that counts; see completions\.jsonl"):
        best_of([(Variant("chat"), VariantResult(problem="needs x")), (Variant("few_shot"), result(0))])
    with pytest.raises(UserError, match=r"^no seeds$"):
        best_of(
            [
                (Variant("chat"), VariantResult(problem="needs x")),
                (Variant("few_shot"), VariantResult(problem="no seeds")),
            ]
        )


def test_a_variant_has_a_short_horizon_and_continues_only_with_the_same_options(tmp_path):
    chat = Variant("chat", {"recipe": "chat"})
    path = Tuning(tmp_path, {"top_p": 0.9}, 1000)._options_file(chat)
    assert yaml.safe_load(path.read_text()) == {"horizon": 8, "top_p": 0.9, "recipe": "chat"}
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "completions.jsonl").touch()
    with pytest.raises(UserError, match="other options"):
        Tuning(tmp_path, {"top_p": 0.8}, 1000)._options_file(chat)
    path.write_text(as_yaml({"top_p": 0.9, "recipe": "chat"}))  # as earlier versions wrote it
    assert Tuning(tmp_path, {"top_p": 0.9}, 1000)._options_file(chat).read_text().startswith("top_p")
    given = Tuning(tmp_path, {"top_p": 0.9, "horizon": 2}, 1000)._options_file(Variant("magpie"))
    assert yaml.safe_load(given.read_text())["horizon"] == 2


def test_a_run_that_another_process_still_writes_is_no_variant_that_cannot_be_run(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "_LOCKED_SECONDS", 0.0)
    monkeypatch.setattr(subprocess, "Popen", None)
    (tmp_path / "given").mkdir()
    lock = Lock(tmp_path / "given" / "completions.jsonl.lock")
    with pytest.raises(UserError, match="given: another launch is writing to it"):
        Tuning(tmp_path, {}, 100)._result(Variant("given"))
    lock.release()
    with pytest.raises(TypeError, match="NoneType"):  # a process is started
        Tuning(tmp_path, {}, 100)._result(Variant("given"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_a_killed_comparison_leaves_no_process_that_generates(tmp_path):
    script = tmp_path / "python"
    script.write_text(
        f"#!/bin/sh\ntrap 'touch {tmp_path}/ended; exit' TERM\necho started\nwhile :; do sleep 0.01; done\n"
    )
    script.chmod(0o755)
    code = f"import sys; from self_instruct.review.tuning import _run, Path; sys.executable = {str(script)!r}; "
    code += "import subprocess; subprocess.DEVNULL = None; _run(Path('none'), 'generate')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGKILL)
        while not (tmp_path / "ended").exists():
            time.sleep(0.01)
