"""The explanation of a candidate, on the files of a real run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from self_instruct.report.candidates import read_run
from self_instruct.report.explain import explain
from tests.support.runs import DATASET, ROOT, generate, rows, run, scripted

FIRST = "Sort the ledger by weight, then by colour."
BLOCKS = [
    (FIRST, "sorted(ledger)"), ("Sort the ledger by weight, then by colour!", "sorted(ledger)"), ("Sort it.", "x"),
    ("Write a program that waits.", "x"), ("Draw the orchard in spring.", "a tree"), ("Rank all comets seen in winter.", "x"),
    ("Rank all comets seen in winter.", "x"),
]  # fmt: skip


def completion(blocks: list[tuple[str, str]], number: int = 5) -> str:
    parts = [f"{at}. Instruction:\n{text}\n\n{at}. Output:\n{output}\n###\n" for at, (text, output) in
             enumerate(blocks, start=number)]  # fmt: skip
    return "".join(parts).split("\n", 1)[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of four requests: seven blocks; a broken and a cut one; no completion in the script; one more block."""
    place = tmp_path_factory.mktemp("explain")
    lines = [
        {"request": 0, "text": completion(BLOCKS)},
        {"request": 1, "text": "Broken block\n6. Outcome\n###\n6. Instruction:\nCut", "finish_reason": "length"},
        {"request": 3, "text": completion([("Count the lanterns twice, underwater.", "2")])},
    ]
    (place / "script.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    more = [
        "--max_requests",
        4,
        "--filter_keywords",
        "default",
        "--filter_rules",
        "length",
        "keywords",
        "openings",
        "duplicates",
    ]
    result = generate(*scripted(place / "script.jsonl", place / "run", 500), *more)
    assert result.returncode == 0, result.stderr
    return place / "run"


def explained(folder: Path, wanted: str) -> str:
    result = command(folder, wanted)
    assert result.returncode == 0, result.stderr
    return result.stdout


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "self_instruct.explain", *arguments, cwd=ROOT)


def paragraphs(folder: Path, name: str) -> list[str]:
    made = read_run(folder)
    return list(explain(made, made.candidates[name]))


def test_accepted_record_is_explained(folder: Path) -> None:
    shown = explained(folder, "000003-01")
    record = next(row for row in rows(folder / DATASET[0]) if row["provenance"]["id"] == "000003-01")
    about = record["provenance"]
    entry = next(row for row in rows(folder / "completions.jsonl") if row["request"] == 3)
    assert shown.startswith("[000003-01] accepted\n\nIts instruction:\n    Count the lanterns twice, underwater.\n")
    assert (
        "It passed all filter rules (length keywords openings duplicates requests unanswered python copied_output), "
        "and no earlier record was too similar." in shown
    )
    assert f"Most similar, ROUGE-L F1 {about['rouge_l']:.3f}: [{about['most_similar']['id']}]" in shown
    assert (
        f"Written as block 1 of 1 (request 3, {entry['completion_tokens']} tokens, ended by stop):\n    5. Instr"
        in shown
    )
    assert f"The prompt showed the model {len(entry['seed_ids'] + entry['parent_ids'])} tasks:" in shown
    seeds = {row["id"]: row["instruction"] for row in rows(ROOT / "seeds" / "code.jsonl")}
    for name in entry["seed_ids"]:
        assert f"[{name}] seed task: {' '.join(seeds[name].split())[:60]}" in shown
    assert "temperature 0.8, top_p 0.95" in shown


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("000000-02", ["rejected, novelty: rouge_l", "Decided by --rouge_threshold 0.6",
                       f"Most similar, ROUGE-L F1 1.000: [000000-01] accepted\n    {FIRST}"]),
        ("000000-03", ["rejected, filter: too_short (2 words)", "Decided by --min_instruction_words 4"]),
        ("000000-04", ["rejected, filter: opening (Write a program)", "--filter_openings ['Write a program']"]),
        ("000000-05", ["rejected, filter: keyword (Draw)", "Decided by --filter_keywords ['default']"]),
        ("000000-07", ["rejected, filter: duplicate (000000-06)",
                       "The same as [000000-06] accepted\n    Rank all comets seen in winter."]),
        ("000001-01", ["rejected, parse: missing_output", "Written as block 1 of 2", "Broken block\n    6. Outcome"]),
        ("000001-02", ["rejected, parse: cut_by_length", "Decided by --max_new_tokens 1024", "Written as block 2 of 2"]),
        ("000002-00", ["rejected, generation: error", "The engine failed on request 2: the script has no completion"]),
    ],
)  # fmt: skip
def test_rejected_candidate_is_explained_by_rule_and_options(folder: Path, name: str, expected: list[str]) -> None:
    shown = "\n\n".join(paragraphs(folder, name))
    for part in expected:
        assert part in shown
    assert "Sampled with:\n" in shown


def test_block_is_the_part_of_the_completion_of_the_candidate(folder: Path) -> None:
    made = read_run(folder)
    for at, (text, output) in enumerate(BLOCKS, start=1):
        written = next(part for part in paragraphs(folder, f"000000-{at:02d}") if part.startswith("Written"))
        assert written.splitlines()[1:] == [
            f"    {4 + at}. Instruction:", f"    {text}", "", f"    {4 + at}. Output:", f"    {output}",
        ]  # fmt: skip
        assert made.candidates[f"000000-{at:02d}"].record.instruction == text


def test_text_may_be_given_instead_of_an_id(folder: Path) -> None:
    assert explained(folder, FIRST) == explained(folder, "000000-01")
    assert explained(folder, "lanterns twice").startswith("The text is part of its task.\n\n[000003-01] accepted")
    assert explained(folder, "a picture of trees in spring").startswith(
        "No candidate contains this text; the most similar one has a "
    )


def test_refiltered_directory_is_explained_without_journal(folder: Path, tmp_path: Path) -> None:
    again = [folder, tmp_path / "new", "--rouge_threshold", "0.99"]
    assert run(sys.executable, "-m", "self_instruct.refilter", *again, cwd=ROOT).returncode == 0
    for name in ("000000-01", "000000-03"):
        shown = "\n\n".join(paragraphs(tmp_path / "new", name))
        assert "holds no completions.jsonl; the completion is in the run that this directory was made from" in shown
        assert ("The prompt showed the model" in shown) == (name == "000000-01")


def test_changed_journal_is_reported(folder: Path, tmp_path: Path) -> None:
    for name in ("run.yaml", *DATASET[:2]):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lines = (folder / "completions.jsonl").read_text().splitlines()
    first = {**json.loads(lines[0]), "text": "x"}
    (tmp_path / "completions.jsonl").write_text("\n".join([json.dumps(first), *lines[1:3]]) + "\n")
    assert "holds a different completion than this candidate came from" in "\n".join(paragraphs(tmp_path, "000000-07"))
    assert "has no completion of request 3" in "\n".join(paragraphs(tmp_path, "000003-01"))


def test_changed_seed_file_leaves_ids_only(folder: Path, tmp_path: Path) -> None:
    for place in folder.glob("*.*"):
        (tmp_path / place.name).write_bytes(place.read_bytes())
    text = (tmp_path / "run.yaml").read_text()
    (tmp_path / "run.yaml").write_text(text.replace("seed_tasks_sha256: ", "seed_tasks_sha256: 0"))
    assert "(not available: the seed file was moved or has changed)" in "\n".join(paragraphs(tmp_path, "000000-01"))
