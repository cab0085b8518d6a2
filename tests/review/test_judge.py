"""Parsing judgements, and refusing contradictory ones; counts and thresholds."""

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.review.judge import (
    EXAMPLES,
    FORMAT,
    PATTERN,
    SCHEMA,
    Judgement,
    examples,
    judge_of,
    judged_record,
    read_judgement,
    statistics,
    table,
)
from self_instruct.review.predictions import header_hash, sha256_of_record
from tests.review.test_consistency import prediction

GOOD = "helpful: 4, correct: 5, clear: 3\nverdict: good"


def read(text: str | None, reason: str | None = None) -> Judgement:
    return read_judgement(prediction(text, None, None, reason))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (GOOD, "good"), (GOOD.replace("good", "bad"), "bad"), (GOOD.upper(), "good"), (GOOD.replace(",", ""), "unknown"),
        ("**Helpful:** 4/5\n**Correct:** 5 out of 5\n**Clear:** 3\n**Verdict:** Good.", "good"),
        (f"{GOOD}\nverdict: good", "good"),
        ("helpful = 4; correct = 5; clear = 3\nverdict = bad", "bad"),
        ("helpful: 4.0, correct: 5.0, clear: 3.00\nverdict: good", "good"),
        ("<think>Is it correct: 1, or bad?</think>\n" + GOOD, "good"),
        ("Helpful: 4 (does all 3 parts)\nCorrect: 5\nClear: 3 - wordy\nVerdict: good, in short.", "good"),
        ('{"helpful": 4, "correct": 5, "clear": 3, "verdict": "good"}', "good"),
        ('{"verdict": "bad", "helpful": 4, "correct": 5, "clear": 3}', "bad"),
        ('{\n  "helpful":\n  4, "correct"\n: 5,\n\n"clear":\t3, "verdict":\n\n"good"\n}', "good"),
    ],
)  # fmt: skip
def test_a_judgement_is_read_in_the_usual_forms(text: str, verdict: str) -> None:
    found = read(text)
    assert found.verdict == verdict
    assert verdict == "unknown" or found.scores == {"helpful": 4, "correct": 5, "clear": 3}


@pytest.mark.parametrize(
    "text",
    ["", "good", "verdict: good", "It is a good answer.", GOOD.replace("good", "not good"), GOOD.replace("good",
    "good or bad"),
     GOOD.replace("good", "goodish"), GOOD + "\nverdict: bad", GOOD.replace("4", "6"), GOOD.replace("4", "0"),
     GOOD.replace("4", "4.5"), GOOD.replace("4", "4/10"), GOOD.replace("4", "4-5"), GOOD.replace("4", "4 or 5"),
     "<think>" + GOOD,
     GOOD.replace("4", "four"), GOOD.replace("4", "45"), GOOD.replace("helpful: 4, ", ""), "helpful: 1, " + GOOD,
     GOOD.split("\n")[0],
     GOOD.replace("good", ""), "I refuse to judge this as good."],
)  # fmt: skip
def test_unreadable_text_is_unknown_and_never_good(text: str) -> None:
    found = read(text)
    assert (found.verdict, found.scores, found.mean, found.passes(1)) == ("unknown", {}, None, False) and found.reason


def test_a_missing_judgement_is_unknown() -> None:
    assert read(None, "error").reason == "error" and read(None, "cut_by_length").verdict == "unknown"
    assert read_judgement(None) == Judgement("unknown", {}, "not_judged")


def test_a_record_passes_if_it_is_good_and_its_mean_reaches_the_threshold() -> None:
    assert read(GOOD).mean == 4 and read(GOOD).passes(4) and not read(GOOD).passes(4.1)
    assert not read(GOOD.replace("good", "bad")).passes(1)


def test_the_examples_parse_to_their_verdicts_and_include_both() -> None:
    shown = examples()
    assert [read(record.output).verdict for record in shown] == [example[2][3] for example in EXAMPLES]
    assert {example[2][3] for example in EXAMPLES} == {"good", "bad"}
    assert all(FORMAT.parse(FORMAT.render(record, 1).split("\n", 1)[1], 1)[0].reason is None for record in shown)
    assert judged_record(Record("a", "Do.", "This.", "Done.")) == Record("a", "Do.\nThis.", "Done.", "")


def test_counts_and_the_table() -> None:
    judgements = [
        read(GOOD),
        read(GOOD.replace("good", "bad")),
        read("?"),
        read(None, "error"),
        read(GOOD.replace("4, ", "5, ").replace("3", "5")),
    ]
    counts = statistics(judgements, 4.5)
    assert (counts["records"], counts["kept"], counts["verdicts"]) == (5, 1, {"good": 2, "bad": 1, "unknown": 2})
    assert counts["unknown"] == {"error": 1, "no_scores": 1}
    assert counts["scores"]["helpful"] == {"1": 0, "2": 0, "3": 0, "4": 2, "5": 1}
    assert counts["means"]["4.0"] == 2 and counts["means"]["4.5"] == 1 and sum(counts["means"].values()) == 3
    assert [row["records"] for row in counts["kept_at"]] == [2] * 7 + [1, 1]
    assert json.loads(json.dumps(counts)) == counts
    shown = table(counts)
    assert "1 of 5 records were kept" in shown and "4.0-4.5" in shown and "#" * 40 in shown
    assert "0 of 0 records were kept" in table(statistics([], 3))


@pytest.mark.parametrize(
    ("task", "answer"), [("Name a bird.", ""), ("Name a bird.", " \n\u200b"), ("\u2060", "penguin")]
)
def test_half_a_record_is_not_asked_about_and_never_good(tmp_path, task: str, answer: str) -> None:
    rows = [{"instruction": "Name a fish.", "output": "carp"}, {"instruction": task, "output": answer}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {
        "input_path": [str(tmp_path / "in.jsonl")],
        "output_path": str(tmp_path / "out.jsonl"),
        "engine": "scripted",
    }
    made = judge_of(given)
    assert len(made.trials) == 1
    stored = {
        (name, 0): replace(prediction(GOOD, None, None), record_sha256=sha256_of_record(record))
        for name, record in made.records.items()
    }
    decided = made.decide(stored)
    assert len(decided.kept) == 1
    assert decided.counts["unknown"] == {"nothing_to_judge": 1}


def test_a_judgement_that_matches_the_pattern_of_constrain_is_read_like_those_of_the_demonstrations() -> None:
    assert re.fullmatch(PATTERN, GOOD) and not re.fullmatch(PATTERN, GOOD + ".") and not re.fullmatch(PATTERN, "good")
    assert all(re.fullmatch(PATTERN, record.output) for record in examples())


def test_every_answer_to_the_schema_of_constrain_is_read() -> None:
    properties = json.loads(SCHEMA)["properties"]
    for values in product(*(item["enum"] for item in properties.values())):
        found = read(json.dumps(dict(zip(properties, values, strict=True)), indent=2))
        assert (*found.scores.values(), found.verdict) == values


def test_stored_judgements_are_not_continued_with_another_constraint(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"instruction": "Add 1 and 1.", "output": "2"}\n' * 2)
    given = {
        "input_path": [str(tmp_path / "in.jsonl")],
        "output_path": str(tmp_path / "out.jsonl"),
        "engine": "huggingface",
    }
    free, constrained = judge_of(given), judge_of({**given, "constrain": True})
    assert constrained.deciding_options["constrain"] == PATTERN and free.deciding_options["constrain"] is False
    for stored, now, refused in (
        (free.deciding_options, constrained, True), (constrained.deciding_options, free, True),
        ({**constrained.deciding_options, "constrain": "other"}, constrained, True),
        ({k: v for k, v in free.deciding_options.items() if k != "constrain"}, free, False),
    ):  # fmt: skip
        item = replace(
            prediction(GOOD, None, None), options=stored, header_sha256=header_hash(now.header), record="other"
        )
        with pytest.raises(UserError, match="--constrain was") if refused else nullcontext():
            now.check({("other", 0): item})
