"""Reading what became of a run's candidates, and finding one."""

import json
import shutil
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from self_instruct.errors import UserError
from self_instruct.report.candidates import LISTED, Run, find, read_run, shortened
from tests.support.runs import DATASET, ROOT, generate, rows, scripted
from tests.support.scripts import write_script


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("candidates")
    script = write_script(place / "script.jsonl", 40)
    assert generate(*scripted(script, place / "run", 500)).returncode == 0
    return place / "run"


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return read_run(folder)


def copied(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place / "copy"))


def mistake(run: Run, wanted: str) -> str:
    with pytest.raises(UserError) as caught:
        find(run, wanted)
    return str(caught.value)


# ---- reading


def test_every_row_of_both_files_is_a_candidate_with_its_outcome(run: Run, folder: Path) -> None:
    accepted, rejected = rows(folder / DATASET[0]), rows(folder / DATASET[1])
    assert len(run.candidates) == len(accepted) + len(rejected) and accepted and rejected
    for row in accepted:
        candidate = run.candidates[row["provenance"]["id"]]
        assert (candidate.outcome, candidate.text) == ("accepted", row["instruction"])
    for row in rejected:
        candidate = run.candidates[row["id"]]
        assert candidate.outcome.startswith(f"rejected, {row['stage']}: {row['reason']}")
        assert candidate.text == (row["instruction"] or row["text"])
    assert set(run.entries or {}) == {item.request for item in run.candidates.values()}
    assert len(run.seeds or {}) == 72


def test_what_is_not_at_hand_is_left_out(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path)
    (copy / "completions.jsonl").unlink()
    text = (copy / "run.yaml").read_text()
    (copy / "run.yaml").write_text(
        text.replace(str(ROOT / "seeds" / "code.jsonl"), str(ROOT / "seeds" / "general.jsonl"))
    )
    run = read_run(copy)
    assert run.entries is None and run.seeds is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.yaml", None, "holds no run.yaml; give the --batch_dir"),
        ("run.yaml", "options: {}", "is not whole, or names an unknown format"),
        ("run.yaml", "format: poem\noptions: {}", "is not whole, or names an unknown format"),
        ("run.yaml", "format: instruction_output\noptions: {output_trigger: 3}", "is not whole"),
        (DATASET[0], "{}\n", f"{DATASET[0]}:1: is no row that a run wrote"),
        (DATASET[1], '{"id": "x", "instruction": "", "input": "", "output": "", "request": 1}\n', ":1: is no row"),
        (
            DATASET[1],
            '{"id": "000001-01", "instruction": 3, "input": "", "output": "", "request": 1}\n',
            ":1: is no row",
        ),
        (DATASET[1], "{\n", ":1: is not JSON"),
        ("completions.jsonl", "{}\n", ":1: is not a journal entry"),
    ],
)
def test_a_damaged_directory_is_named(
    folder: Path, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    place = copied(folder, tmp_path) / name
    place.unlink() if content is None else place.write_text(content)
    with pytest.raises(UserError) as caught:
        read_run(tmp_path / "copy")
    assert message in str(caught.value)


def test_a_directory_without_candidates_is_named(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path)
    for name in DATASET[:2]:
        (copy / name).unlink()
    with pytest.raises(UserError, match="holds no candidate yet"):
        read_run(copy)


# ---- finding


def test_every_candidate_is_found_by_its_id(run: Run) -> None:
    for name in run.candidates:
        assert find(run, name) == (run.candidates[name], [])


def test_a_whole_text_is_found_or_all_that_have_it_are_listed(run: Run) -> None:
    texts = [item.text for item in run.candidates.values()]
    for item in run.candidates.values():
        if texts.count(item.text) == 1:
            assert find(run, f" {item.text}\n") == (item, [])
        else:
            message = mistake(run, item.text)
            assert f"fits {texts.count(item.text)} candidates" in message
            assert item.record.id in message or texts.count(item.text) > LISTED
    assert len(set(texts)) < len(texts)


def test_a_part_of_a_text_is_found_in_tasks_before_outputs(run: Run) -> None:
    item = next(item for item in run.candidates.values() if item.accepted)
    assert find(run, item.text[5:]) == (item, ["The text stands in its task."])
    outputs = [other.record.output for other in run.candidates.values()]
    item = next(
        item for item in run.candidates.values() if item.record.output and outputs.count(item.record.output) == 1
    )
    found = [other for other in run.candidates.values() if item.record.output in other.record.output]
    if len(found) == 1:
        assert find(run, item.record.output) == (item, ["The text stands in its output."])


def test_several_that_fit_are_listed_up_to_ten(run: Run) -> None:
    fits = [item for item in run.candidates.values() if "the" in item.text]
    lines = mistake(run, "the").splitlines()
    assert lines[0] == f"'the' fits {len(fits)} candidates; give the id of one, or more of its text:"
    assert len(lines) == 2 + LISTED and lines[-1] == f"  and {len(fits) - LISTED} more"
    assert [line.split()[0] for line in lines[1:-1]] == [item.record.id for item in fits[:LISTED]]


def test_other_words_find_the_nearest_by_rouge(run: Run) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    items = list(run.candidates.values())
    for item in items[:60:7]:
        words = f"Please {item.text} quickly now"
        scores = [scorer.score(other.text, words)["rougeL"].fmeasure for other in items]
        best = [other for other, score in zip(items, scores, strict=True) if abs(score - max(scores)) < 1e-9]
        if len(best) == 1:
            found, told = find(run, words)
            assert found == best[0] and f"{max(scores):.2f}" in told[0]
        else:
            assert f"fits {len(best)} candidates" in mistake(run, words)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("code_001", "code_001 is a seed task, which is never judged"),
        ("999999-01", "has no candidate 999999-01; those of requests 0 to "),
        ("", "ID_OR_TEXT is empty"),
        (" \n", "ID_OR_TEXT is empty"),
        ("zzyzx", "no candidate has a word of 'zzyzx'"),
        ("好", "no candidate has a word of '好'"),
    ],
)
def test_what_cannot_be_found_is_said(run: Run, wanted: str, message: str) -> None:
    assert message in mistake(run, wanted)


def test_a_text_is_shortened_to_one_line_that_fits() -> None:
    assert shortened("a\n b", 9) == "a b"
    assert shortened("x" * 20, 10) == "xxxxxx ..." and len(shortened("x" * 20, 10)) == 10


def test_the_fixture_holds_every_stage(folder: Path) -> None:
    assert {row["stage"] for row in rows(folder / DATASET[1])} == {"parse", "filter", "novelty"}
    assert json.loads((folder / DATASET[2]).read_text())["accepted"] > 20
