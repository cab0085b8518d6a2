"""Reading the candidates of a run, and finding one."""

import json
import shutil
from pathlib import Path

import pytest

from self_instruct.errors import UserError
from self_instruct.report.candidates import LISTED, Run, find, read_run, shortened
from tests.support.reference_rouge import rouge_scorer
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


def test_rows_of_both_files_are_candidates_with_their_outcome(run: Run, folder: Path) -> None:
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


def test_missing_journal_and_changed_seeds_are_left_out(folder: Path, tmp_path: Path) -> None:
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
        ("run.yaml", "options: {}", "is incomplete, or names an unknown format"),
        ("run.yaml", "format: poem\noptions: {}", "is incomplete, or names an unknown format"),
        ("run.yaml", "format: instruction_output\noptions: {output_trigger: 3}", "is incomplete"),
        (DATASET[0], "{}\n", f"{DATASET[0]}:1: is not a row written by a run"),
        (DATASET[1], '{"id": "x", "instruction": "", "input": "", "output": "", "request": 1}\n', ":1: is not a row"),
        (
            DATASET[1],
            '{"id": "000001-01", "instruction": 3, "input": "", "output": "", "request": 1}\n',
            ":1: is not a row",
        ),
        (DATASET[1], "{\n", ":1: is not JSON"),
        ("completions.jsonl", "{}\n", ":1: is not a journal entry"),
    ],
)
def test_damaged_file_is_named(folder: Path, tmp_path: Path, name: str, content: str | None, message: str) -> None:
    place = copied(folder, tmp_path) / name
    place.unlink() if content is None else place.write_text(content)
    with pytest.raises(UserError) as caught:
        read_run(tmp_path / "copy")
    assert message in str(caught.value)


def test_directory_without_candidates_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = copied(folder, tmp_path)
    for name in DATASET[:2]:
        (copy / name).unlink()
    with pytest.raises(UserError, match="holds no candidate yet"):
        read_run(copy)


# ---- finding


def test_candidates_are_found_by_id(run: Run) -> None:
    for name in run.candidates:
        assert find(run, name) == (run.candidates[name], [])


def test_full_text_finds_a_candidate_or_lists_all_that_have_it(run: Run) -> None:
    texts = [item.text for item in run.candidates.values()]
    for item in run.candidates.values():
        if texts.count(item.text) == 1:
            assert find(run, f" {item.text}\n") == (item, [])
        else:
            message = mistake(run, item.text)
            assert f"matches {texts.count(item.text)} candidates" in message
            assert item.record.id in message or texts.count(item.text) > LISTED
    assert len(set(texts)) < len(texts)


def test_part_of_a_text_is_searched_in_tasks_before_outputs(run: Run) -> None:
    item = next(item for item in run.candidates.values() if item.accepted)
    assert find(run, item.text[5:]) == (item, ["The text is part of its task."])
    outputs = [other.record.output for other in run.candidates.values()]
    item = next(
        item for item in run.candidates.values() if item.record.output and outputs.count(item.record.output) == 1
    )
    found = [other for other in run.candidates.values() if item.record.output in other.record.output]
    if len(found) == 1:
        assert find(run, item.record.output) == (item, ["The text is part of its output."])


def test_several_matches_are_listed_up_to_ten(run: Run) -> None:
    matches = [item for item in run.candidates.values() if "the" in item.text]
    lines = mistake(run, "the").splitlines()
    assert lines[0] == f"'the' matches {len(matches)} candidates; give the id of one, or more of its text:"
    assert len(lines) == 2 + LISTED and lines[-1] == f"  and {len(matches) - LISTED} more"
    assert [line.split()[0] for line in lines[1:-1]] == [item.record.id for item in matches[:LISTED]]


def test_other_words_find_the_most_similar_candidate(run: Run) -> None:
    scorer = rouge_scorer().RougeScorer(["rougeL"], use_stemmer=False)
    items = list(run.candidates.values())
    for item in items[:60:7]:
        words = f"Please {item.text} quickly now"
        scores = [scorer.score(other.text, words)["rougeL"].fmeasure for other in items]
        best = [other for other, score in zip(items, scores, strict=True) if abs(score - max(scores)) < 1e-9]
        if len(best) == 1:
            found, note = find(run, words)
            assert found == best[0] and f"{max(scores):.2f}" in note[0]
        else:
            assert f"matches {len(best)} candidates" in mistake(run, words)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("code_001", "code_001 is a seed task, and rules are not applied to those"),
        ("999999-01", "has no candidate 999999-01; it has candidates of requests 0 to "),
        ("", "ID_OR_TEXT is empty"),
        (" \n", "ID_OR_TEXT is empty"),
        ("zzyzx", "no candidate shares a word with 'zzyzx'"),
        ("好", "no candidate shares a word with '好'"),
    ],
)
def test_failed_search_names_the_reason(run: Run, wanted: str, message: str) -> None:
    assert message in mistake(run, wanted)


def test_text_is_shortened_to_one_line() -> None:
    assert shortened("a\n b", 9) == "a b"
    assert shortened("x" * 20, 10) == "xxxxxx ..." and len(shortened("x" * 20, 10)) == 10


def test_fixture_covers_all_stages(folder: Path) -> None:
    assert {row["stage"] for row in rows(folder / DATASET[1])} == {"parse", "filter", "novelty"}
    assert json.loads((folder / DATASET[2]).read_text())["accepted"] > 20
