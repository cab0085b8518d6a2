"""The funnel: its counts, the yield that ends a run, its warnings, its table and report.json."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.novelty.diversity import by_words, coverage, novel_sum, vendi_score
from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.novelty.vector_cache import FILE_NAME, CachedEncoder
from self_instruct.records import Drop, Record
from self_instruct.runs.funnel import Funnel
from self_instruct.runs.journal import Entry
from self_instruct.runs.report import write_report
from self_instruct.runs.verdict import Verdict
from tests.support.report_files import HashedEncoder

KEPT = None
EMPTY, SHORT, LOOPS = Drop("parse", "empty_block"), Drop("filter", "too_short"), Drop("filter", "loops")
LATE = Drop("limit", "target_reached")
ROUGE, FAILED = Drop("novelty", "rouge_l"), Drop("generation", "error")


def entry(reason: str = "stop") -> Entry:
    return Entry(0, [], [], 1, "", "", reason, 100, 7, 0, None)


def verdicts(*drops: Drop | None) -> list[Verdict]:
    return [Verdict(Record("x", "a", "", "b"), drop) for drop in drops]


def funnel(*completions: tuple[Drop | None, ...], patience: int = 100) -> Funnel:
    made = Funnel(patience)
    for drops in completions:
        made.count(entry("error" if drops == (FAILED,) else "stop"), verdicts(*drops))
    return made


def test_the_table_shows_drops_of_validators_even_without_categories() -> None:
    rows = [line.split() for line in funnel((KEPT, Drop("validate", "no_code"), ROUGE)).table().splitlines()]
    assert ["validate", "no_code", "-1"] in rows and rows[-1][-1] == "1"
    assert "validate" not in funnel((KEPT, ROUGE)).table()


def test_each_verdict_is_counted_once() -> None:
    made = funnel((KEPT, EMPTY, SHORT), (FAILED,), (KEPT, ROUGE, SHORT, LOOPS), ())
    assert (made.requests, made.blocks, made.parsed, made.accepted) == (4, 7, 6, 2)
    assert made.yield_ == 2 / 6
    assert made.completions == {"stop": 3, "error": 1}
    assert (made.prompt_tokens, made.completion_tokens) == (400, 28)


@pytest.mark.parametrize(
    ("cut", "whole", "shown"), [(3, 7, "3 of 10 answers were cut off"), (1, 9, None), (0, 0, None)]
)
def test_a_run_says_if_many_answers_were_cut_off(cut: int, whole: int, shown: str | None) -> None:
    made = funnel((KEPT,), (KEPT,))  # requests for tasks
    made.count(entry("length"), verdicts(Drop("parse", "cut_by_length")))
    for reason in ["length"] * cut + ["stop"] * whole:
        made.count(replace(entry(reason), step=2, answers="000000-01"), verdicts(KEPT))
    table = made.table()
    assert (shown in table and "--answer_max_new_tokens" in table) if shown else "answers were cut" not in table


def test_the_yield_of_a_run_without_blocks_is_zero() -> None:
    assert (funnel().yield_, funnel((FAILED,)).yield_, funnel((EMPTY,)).yield_) == (0, 0, 0)


@given(st.lists(st.lists(st.sampled_from([KEPT, EMPTY, SHORT, LOOPS, ROUGE]), max_size=6), max_size=12))
@settings(deadline=None, derandomize=True)
def test_every_block_is_counted_as_accepted_or_dropped(completions: list[list[Drop | None]]) -> None:
    made = funnel(*map(tuple, completions))
    report = made.as_dict("x")
    dropped = sum(sum(reasons.values()) for reasons in report["drops"].values())
    assert report["blocks"] == sum(map(len, completions)) == dropped + report["accepted"]
    assert report["parsed"] == report["blocks"] - sum(report["drops"]["parse"].values())
    assert report["accepted"] == sum(drops.count(KEPT) for drops in completions)
    assert report["requests"] == len(completions)


# ---- recent yield


def test_there_is_no_recent_yield_before_patience_requests() -> None:
    made = Funnel(patience=3)
    seen = []
    for drops in [(KEPT,), (SHORT,), (EMPTY,), (SHORT,), (SHORT,)]:
        made.count(entry(), verdicts(*drops))
        seen.append(made.recent_yield)
    assert seen == [None, None, 0.5, 0.0, 0.0]


def test_recent_yield_covers_exactly_the_last_patience_requests() -> None:
    assert funnel(*[(KEPT,)] * 5, (SHORT,), (KEPT, SHORT), patience=2).recent_yield == pytest.approx(1 / 3)
    assert funnel(*[(KEPT,)] * 5, (SHORT,), (KEPT, SHORT), patience=3).recent_yield == pytest.approx(2 / 4)


@pytest.mark.parametrize("drops", [(EMPTY,), ()])
def test_the_recent_yield_of_requests_without_parsed_blocks_is_zero(drops: tuple[Drop, ...]) -> None:
    assert funnel(drops, drops, patience=2).recent_yield == 0.0


def test_broken_blocks_and_errors_do_not_count_against_the_yield() -> None:
    made = funnel((KEPT, EMPTY), (FAILED,), (EMPTY, EMPTY), patience=2)
    assert (made.recent_yield, made.yield_) == (1.0, 1.0)


DROPPED = (
    "the filters dropped {} blocks that could be read, most ({}) for {}: see them in rejected.jsonl; --filter_rules "
    "leaves a rule out"
)
REPEATS = "the model repeats itself or cannot follow the format"


@pytest.mark.parametrize(
    ("completions", "cause"),
    [
        ([(SHORT, SHORT, EMPTY), (SHORT, ROUGE), (ROUGE, SHORT)], DROPPED.format("4 of the 6", 4, "too_short")),
        ([(LOOPS, SHORT), (LOOPS, SHORT, LOOPS), (KEPT,)], DROPPED.format("5 of the 6", 3, "loops")),
        ([(SHORT, SHORT), (SHORT, ROUGE), (ROUGE, ROUGE)], REPEATS),
        ([(SHORT, SHORT), (ROUGE,), (ROUGE,)], REPEATS),
    ],
)
def test_the_likely_cause_is_the_most_frequent_recent_drop(
    completions: list[tuple[Drop | None, ...]], cause: str
) -> None:
    made = Funnel(2 if len(completions[1]) == 1 else 3, {"length": ("too_short", "too_long")})
    for drops in completions:
        made.count(entry(), verdicts(*drops))
    assert made.likely_cause == cause
    assert not funnel((Drop("filter", "avoided"),)).likely_cause.endswith(
        "rule out"
    )  # a list of topics has no filter rules


def test_candidates_after_the_target_are_not_decided() -> None:
    made = funnel((KEPT, LATE, EMPTY, LATE))
    assert (made.blocks, made.parsed, made.accepted, made.yield_) == (4, 1, 1, 1.0)
    assert ["limit", "target_reached", "-2"] in [line.split() for line in made.table().splitlines()]


# ---- the table


def test_the_table_shows_what_each_stage_leaves_and_sorts_reasons_by_count() -> None:
    made = funnel((KEPT, EMPTY, SHORT, LOOPS, LOOPS, ROUGE), (SHORT, FAILED))
    rows = [line.split() for line in made.table().splitlines()]
    assert rows == [
        ["blocks", "written", "7"],
        ["parse", "empty_block", "-1"],
        ["could", "be", "read", "6"],
        ["filter", "loops", "-2"],
        ["filter", "too_short", "-2"],
        ["passed", "the", "filters", "2"],
        ["novelty", "rouge_l", "-1"],
        ["are", "new", "1"],
    ]


def test_the_table_shows_the_number_of_failed_requests() -> None:
    assert "2 requests failed with an error of the engine" in funnel((KEPT,), (FAILED,), (FAILED,)).table()
    assert "error" not in funnel((KEPT,)).table()


def test_large_counts_stay_in_their_columns() -> None:
    made = funnel(*[(SHORT,)] * 3)
    made.drops["filter", "too_short"] = 999_999
    lines = made.table().splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0].endswith("999,999") and lines[2].endswith("-999,999")


# ---- warnings

RULES = {"length": ("too_short", "too_long"), "loops": ("loops",)}


def warned(*completions: tuple[Drop | None, ...]) -> list[tuple[str, str, int, int]]:
    made = Funnel(rules=RULES)
    for drops in completions:
        made.count(entry(), verdicts(*drops))
    return [(item.rule, item.warning, item.dropped, item.parsed) for item in made.warnings]


@pytest.mark.parametrize(("blocks", "idle"), [(199, []), (200, ["length", "loops"]), (500, ["length", "loops"])])
def test_a_rule_that_never_fired_is_reported_after_enough_blocks(blocks: int, idle: list[str]) -> None:
    assert warned((KEPT,) * blocks) == [(rule, "never_fired", 0, blocks) for rule in idle]
    assert warned((ROUGE,) * blocks) == [(rule, "never_fired", 0, blocks) for rule in idle]


def test_one_drop_means_that_a_rule_fired_and_undecided_blocks_do_not_count() -> None:
    assert warned((KEPT,) * 300, (SHORT,)) == [("loops", "never_fired", 0, 301)]
    assert warned((KEPT,) * 150, (EMPTY, LATE) * 100) == []
    assert warned() == []


@pytest.mark.parametrize(("short", "long", "much"), [(3, 0, False), (2, 1, False), (4, 0, True), (2, 2, True)])
def test_a_rule_that_drops_over_15_percent_is_reported_over_all_its_reasons(short: int, long: int, much: bool) -> None:
    drops = (SHORT,) * short + (Drop("filter", "too_long"),) * long
    kept = (KEPT,) * (20 - len(drops))
    assert warned(kept, drops) == ([("length", "drops_much", 4, 20)] if much else [])
    assert warned(kept, drops, (EMPTY, LATE) * 9) == warned(kept, drops)


def test_reasons_of_other_stages_or_unknown_rules_cause_no_warning() -> None:
    assert warned((Drop("novelty", "loops"), Drop("filter", "keyword"), LOOPS, *(KEPT,) * 7)) == []
    assert funnel((LOOPS,) * 9, (KEPT,) * 300).warnings == []


def test_warnings_are_in_the_report(tmp_path: Path) -> None:
    made = Funnel(rules=RULES)
    made.count(entry(), verdicts(*[SHORT] * 50, *[KEPT] * 150))
    write_report(tmp_path, made, "x")
    assert json.loads((tmp_path / "report.json").read_text())["warnings"] == [
        {"rule": "length", "warning": "drops_much", "dropped": 50, "parsed": 200},
        {"rule": "loops", "warning": "never_fired", "dropped": 0, "parsed": 200},
    ]


# ---- report.json


def test_the_report_contains_all_counts(tmp_path: Path) -> None:
    made = funnel((KEPT, EMPTY, SHORT), (FAILED,), (ROUGE, LOOPS, SHORT))
    write_report(tmp_path, made, "all 1 records are accepted")
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "stopped": "all 1 records are accepted",
        "requests": 3,
        "completions": {"error": 1, "stop": 2},
        "blocks": 6,
        "parsed": 5,
        "accepted": 1,
        "yield": 0.2,
        "drops": {
            "generation": {"error": 1},
            "parse": {"empty_block": 1},
            "filter": {"loops": 1, "too_short": 2},
            "novelty": {"rouge_l": 1},
            "limit": {},
        },
        "warnings": [],
        "tokens": {"prompt": 300, "completion": 21},
    }
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_the_report_has_the_diversity_of_a_round_number_of_records(tmp_path: Path) -> None:
    accepted = [Record("r", f"Write a poem about number {at}.", "", "x") for at in range(120)]
    write_report(tmp_path, funnel((KEPT,)), "x", accepted)
    found = json.loads((tmp_path / "report.json").read_text())["diversity"]
    assert found == {"records": 100, **by_words([record.instruction for record in accepted[:100]])}
    assert found["commonest_openings"] == 1.0
    encoder = CachedEncoder(HashedEncoder(), "hashed", tmp_path / FILE_NAME, writes=True)
    index = EmbeddingIndex(encoder)
    for at in range(0, 100, 10):
        index.encode([record.task for record in accepted[at : at + 10]])
    write_report(tmp_path, funnel((KEPT,)), "x", accepted)
    assert json.loads((tmp_path / "report.json").read_text())["diversity"] == found, "the last vectors are not stored"
    index.save()
    write_report(tmp_path, funnel((KEPT,)), "x", accepted)
    more = json.loads((tmp_path / "report.json").read_text())["diversity"]
    vectors = HashedEncoder().encode([record.task for record in accepted[:100]])
    assert more == {
        **found, "vendi_score": round(vendi_score(vectors), 4), "novel_sum": round(novel_sum(vectors), 4)
    }  # fmt: skip
    seeds = [
        Record(f"s{at}", f"{verb} a poem about number {at}.", "", "x")
        for at, verb in enumerate(["Write"] * 5 + ["Sing"] * 5)
    ]
    write_report(tmp_path, funnel((KEPT,)), "x", accepted, seeds)
    assert json.loads((tmp_path / "report.json").read_text())["diversity"] == more, "the seeds' vectors are not stored"
    index.encode([record.task for record in seeds])
    index.save()
    write_report(tmp_path, funnel((KEPT,)), "x", accepted, seeds)
    covered = json.loads((tmp_path / "report.json").read_text())["diversity"].pop("seed_coverage")
    assert covered == coverage(vectors, HashedEncoder().encode([seed.task for seed in seeds]))
    write_report(tmp_path, funnel((KEPT,)), "x", accepted[:49])
    assert "diversity" not in json.loads((tmp_path / "report.json").read_text())


def test_the_order_of_counting_does_not_change_the_report(tmp_path: Path) -> None:
    completions = [(KEPT, LOOPS), (SHORT, EMPTY), (FAILED,), (ROUGE,)]
    for name, order in (("one", completions), ("other", completions[::-1])):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, funnel(*order), "x")
    assert (tmp_path / "one" / "report.json").read_bytes() == (tmp_path / "other" / "report.json").read_bytes()


def test_a_later_report_replaces_the_earlier(tmp_path: Path) -> None:
    write_report(tmp_path, funnel((KEPT,) * 50), "a long reason that makes the file longer")
    write_report(tmp_path, funnel(), "short")
    assert json.loads((tmp_path / "report.json").read_text())["stopped"] == "short"


def test_completions_ended_by_repetition_are_counted_and_count_as_cut() -> None:
    made = funnel((KEPT,))
    assert "loop" not in made.table()
    made.count(entry("repetition"), verdicts(SHORT))
    assert "1 request ended early because the text had become a loop (--stop_repetition)" in made.table()
    assert made.as_dict("done")["completions"] == {"repetition": 1, "stop": 1}
    assert entry("repetition").cut and entry("length").cut and not entry().cut


def test_the_table_shows_the_share_of_thoughts_and_what_to_change() -> None:
    assert "thoughts" not in funnel((KEPT,)).table()
    made = Funnel()
    made.count(replace(entry(), reasoning_tokens=5), verdicts(KEPT))
    assert (
        "5 of 7 new tokens (71%) were thoughts, in 1 of 1 requests" in made.table() and "--max_new" not in made.table()
    )
    made.count(replace(entry(), reasoning_tokens=7), verdicts(Drop("parse", "only_reasoning")))
    assert "1 of these requests gave no answer for it: turn thinking off (--chat_template_kwargs" in made.table()
    assert made.as_dict("end")["tokens"] == {"prompt": 200, "completion": 14, "reasoning": 12}
