"""Rows chosen by their numbers and by diversity: every other row has its reason, and mistakes are one message."""

import json
from pathlib import Path

import numpy as np
import pytest

from self_instruct.commands import select
from self_instruct.datasets import select as module
from self_instruct.datasets.select import share_of
from self_instruct.errors import UserError
from self_instruct.runs.layout import ACCEPTED, SCORED
from tests.support.runs import rows

SCORES = [0.5, 1.2, None, 0.9, 0.7, 0.7, 0.1, 0.8]
ANGLES = [0, 0, 0, 10, 80, 82, 0, 12]  # of the vectors of the rows, in degrees


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with eight rows, whose vectors have the angles above."""
    lines = [
        {"id": f"r{at}", "instruction": f"Task {at}.", "output": "x", "ifd": score} for at, score in enumerate(SCORES)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "broken\n")

    class Angles:
        def __init__(self, *_: object) -> None:
            pass

        def of(self, texts: list[str]) -> np.ndarray:
            angles = np.radians([ANGLES[int(text[5])] for text in texts])
            return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    monkeypatch.setattr(module, "Vectors", Angles)
    return tmp_path


def chosen(folder: Path, *options: object, source: str = "in.jsonl") -> list[str]:
    argv = [folder / source, "--output_path", folder / "out.jsonl", *options]
    assert select.main([str(part) for part in argv]) in (0, 3)
    return [row["id"] for row in rows(folder / "out.jsonl")]


def test_every_row_that_is_not_chosen_has_its_reason(place: Path, capsys) -> None:
    options = ("--by", "ifd", "--top", 0.7, "--max", "ifd=1", "--min", "ifd=0.2", "--diverse", 0.5)
    # In limits are 0, 3, 4, 5, 7; at the top 3, 4, 5 (of equal rows the first) and 7; of these, first 3, then 5.
    assert chosen(place, *options) == ["r3", "r5"]
    found = {row.get("place", "").rpartition(":")[2]: row for row in rows(place / "out.rejected.jsonl")}
    assert {at: row["reason"] for at, row in found.items()} == {
        "1": "below_top", "2": "above_maximum", "3": "no_score", "5": "near_a_kept_row", "7": "below_minimum",
        "8": "near_a_kept_row", "9": "not_json",
    }  # fmt: skip
    assert found["1"]["detail"] == "ifd is 0.5; the lowest that was kept is 0.7"
    assert found["5"]["nearest"]["id"] == "r5" and found["5"]["nearest"]["score"] == pytest.approx(0.99939, abs=1e-5)
    report, printed = json.loads((place / "out.report.json").read_text()), capsys.readouterr().out
    assert report["kept"] == 2 and report["rows"] == 9 == 2 + sum(sum(n.values()) for n in report["drops"].values())
    assert "2 of 9 rows were kept." in printed and "a cosine of at least 0.999 with a kept row" in printed


def test_rows_are_written_unchanged_and_in_order(place: Path) -> None:
    assert chosen(place, "--by", "ifd", "--top", 0.4) == ["r1", "r3", "r7"]
    lines = (place / "in.jsonl").read_bytes().splitlines(keepends=True)
    assert (place / "out.jsonl").read_bytes() == lines[1] + lines[3] + lines[7]
    assert chosen(place, "--diverse", 0.25) == ["r0", "r5"]
    assert chosen(place, "--min", "ifd=2") == []


def test_scores_of_a_run_are_read_if_there_are_any(place: Path) -> None:
    line = {"instruction": "Task 1.", "input": "", "output": "x", "provenance": {"id": "000001-01", "rouge_l": 0.4}}
    (place / "run").mkdir()
    (place / "run" / ACCEPTED).write_text(json.dumps(line) + "\n")
    argv = [str(place / "run"), "--output_path", str(place / "out.jsonl"), "--top", "1", "--by"]
    assert select.main([*argv, "rouge_l"]) == 0 and len(rows(place / "out.jsonl")) == 1
    with pytest.raises(UserError, match="no row has a number in this column; no column has numbers"):
        select.main([*argv, "ifd"])
    (place / "run" / SCORED).write_text(json.dumps({**line, "ifd": 0.5}) + "\n")
    assert select.main([*argv, "ifd"]) == 0 and rows(place / "out.jsonl")[0]["ifd"] == 0.5


def test_scores_survive_a_conversion(place: Path) -> None:
    from self_instruct.commands import convert, merge

    convert.main([str(place / "in.jsonl"), "--to", "sharegpt", "--output_path", str(place / "c.json")])
    argv = [str(place / "c.json"), "--output_path", str(place / "out.jsonl"), "--by", "ifd", "--top", "0.1"]
    assert select.main(argv) == 0 and [row["instruction"] for row in rows(place / "out.jsonl")] == ["Task 1."]
    merge.main(["--sources", f"a={place / 'in.jsonl'}", "--output_path", str(place / "m.jsonl")])
    argv[0] = str(place / "m.jsonl")
    assert select.main(argv) == 0 and [row["instruction"] for row in rows(place / "out.jsonl")] == ["Task 1."]


def test_a_card_lists_the_selection(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from self_instruct.commands import card

    monkeypatch.chdir(place)
    assert select.main("in.jsonl --output_path out.jsonl --by ifd --top 0.5 --max ifd=1".split()) == 3
    assert card.main(["out.jsonl", "--output_path", "card"]) == 0
    text = (place / "card" / "README.md").read_text()
    assert "**1. Selected: 3 records.**" in text and f"{'below_top':<26} {-3:>12,}" in text
    command = "select in.jsonl \\\n    --by ifd \\\n    --top 0.5 \\\n    --max ifd=1 \\\n    --output_path out.jsonl"
    assert command in text


def test_a_share_is_rounded_up_and_not_by_the_error_of_floats() -> None:
    assert [share_of(0.1, 30), share_of(0.5, 5), share_of(1e-9, 7), share_of(1, 7)] == [3, 3, 1, 7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--by ifx --top 0.5", "--by ifx: no row has a number in this column; the columns with numbers are ifd"),
        ("--by ifd", "--by COLUMN and --top SHARE need each other"),
        ("--by ifd --top 0", "--top is 0.0, but must be above 0 and at most 1"),
        ("--by ifd --top 1.01", "--top is 1.01"),
        ("--by ifd --top nan", "--top is nan"),
        ("--diverse 2", "--diverse is 2.0"),
        ("--min ifd", "--min 'ifd': must be COLUMN=NUMBER"),
        ("--max ifd=inf", "--max 'ifd=inf': must be COLUMN=NUMBER"),
        ("--by instruction --top 1", "in.jsonl:1: the column instruction is 'Task 0.', not a number"),
        ("", "nothing is selected by"),
    ],
)
def test_mistakes_are_one_message(place: Path, options: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        chosen(place, *options.split())
    assert message in str(error.value) and not (place / "out.jsonl").exists()


def test_nan_counts_as_no_score_and_a_huge_number_is_refused(place: Path) -> None:
    line = '{"instruction": "Task 0.", "output": "x", "ifd": %s, "id": "%s"}\n'
    (place / "in.jsonl").write_text(line % ("NaN", "a") + line % ("0.5", "b"))
    assert chosen(place, "--min", "ifd=0") == ["b"]
    (place / "in.jsonl").write_text(line % ("1e999", "a"))
    with pytest.raises(UserError, match="ifd is 'inf', not a number"):
        chosen(place, "--min", "ifd=0")
