"""Writing accepted and rejected records: the columns, and the earlier files that stay until the new ones are complete."""

import json
from pathlib import Path
from typing import Any

import pytest

from self_instruct.records import Drop, Nearest, Record
from self_instruct.runs.journal import Entry
from self_instruct.runs.layout import ACCEPTED, REJECTED
from self_instruct.runs.verdict import Verdict
from self_instruct.runs.writer import Origin, Writer

ORIGIN = Origin(
    "org/model", "abc", "instruction_output", {"instruction": "Instruction"}, {"temperature": 0.8, "seed": 42}
)
ENTRY = Entry(7, ["s1", "s2"], ["000001-01"], 2, "hash", "raw", "stop", 100, 20, 1, "2024-05-31T00:00:00Z")


def kept(position: int = 1, output: str = "3", **nearest: Nearest | None) -> Verdict:
    return Verdict(Record(f"000007-{position:02d}", "Add.", "1 2", output, 2), None, **nearest)


def dropped(drop: Drop, text: str = "") -> Verdict:
    return Verdict(Record("000007-02", "Sub.", "", "x", 2), drop, text)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def published(folder: Path, *verdicts: Verdict) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    writer = Writer(folder, ORIGIN)
    writer.write(ENTRY, list(verdicts))
    writer.publish()
    writer.close()
    return lines(folder / ACCEPTED), lines(folder / REJECTED)


def test_an_accepted_record_is_written_with_its_provenance(tmp_path: Path) -> None:
    accepted, rejected = published(tmp_path, kept(rouge=Nearest("s1", 0.25), embedding=Nearest("s2", 0.5)))
    assert rejected == []
    assert accepted == [
        {
            "instruction": "Add.",
            "input": "1 2",
            "output": "3",
            "provenance": {
                "id": "000007-01",
                "most_similar": {"id": "s1", "score": 0.25},
                "rouge_l": 0.25,
                "embedding_similarity": 0.5,
                "request": 7,
                "seed_ids": ["s1", "s2"],
                "parent_ids": ["000001-01"],
                "depth": 2,
                "model": "org/model",
                "model_revision": "abc",
                "format": "instruction_output",
                "trigger_words": {"instruction": "Instruction"},
                "sampling": {"temperature": 0.8, "seed": 42},
                "finish_reason": "stop",
                "tokens": {"prompt": 100, "completion": 20},
                "created_at": "2024-05-31T00:00:00Z",
            },
        }
    ]


def test_all_accepted_lines_have_the_same_columns(tmp_path: Path) -> None:
    bare, full = published(tmp_path, kept(1), kept(2, rouge=Nearest("s1", 0.0), embedding=Nearest("s1", 0.1)))[0]
    assert list(bare) == list(full) and list(bare["provenance"]) == list(full["provenance"])
    assert [bare["provenance"][name] for name in ("most_similar", "rouge_l", "embedding_similarity")] == [None] * 3
    assert full["provenance"]["rouge_l"] == 0.0  # a score of zero is still a score


@pytest.mark.parametrize(
    ("drop", "text", "nearest"),
    [
        (Drop("parse", "missing_output"), "2. Instruction:\nSub.", None),
        (Drop("filter", "too_short"), "", None),
        (Drop("novelty", "rouge_l", nearest=Nearest("000001-01", 0.75)), "", {"id": "000001-01", "score": 0.75}),
        (Drop("generation", "error", "out of memory"), "", None),
    ],
)
def test_a_drop_is_written_with_its_reason_and_the_parsed_fields(
    tmp_path: Path, drop: Drop, text: str, nearest: dict[str, Any] | None
) -> None:
    accepted, rejected = published(tmp_path, dropped(drop, text))
    assert accepted == []
    assert rejected == [
        {"id": "000007-02", "stage": drop.stage, "reason": drop.reason, "detail": drop.detail, "nearest": nearest,
         "instruction": "Sub.", "input": "", "output": "x", "text": text, "request": 7}
    ]  # fmt: skip


def test_verdicts_keep_their_order_in_each_file(tmp_path: Path) -> None:
    verdicts = [kept(1), dropped(Drop("filter", "one")), kept(3), dropped(Drop("filter", "other")), kept(4)]
    accepted, rejected = published(tmp_path, *verdicts)
    assert [row["provenance"]["id"] for row in accepted] == ["000007-01", "000007-03", "000007-04"]
    assert [row["reason"] for row in rejected] == ["one", "other"]


@pytest.mark.parametrize("text", ["\ud800", "é 😀", "a\r\nb\u2028c\x00", "\\", '"'])
def test_any_text_is_read_back(tmp_path: Path, text: str) -> None:
    accepted, rejected = published(tmp_path, kept(output=text), dropped(Drop("parse", "empty_block"), text))
    assert [row["output"] for row in accepted] == [text] and [row["text"] for row in rejected] == [text]


# ---- replacing the files of an earlier launch


def earlier_launch(folder: Path) -> dict[str, bytes]:
    published(folder, kept(output="earlier"), dropped(Drop("filter", "earlier")))
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_earlier_files_stay_until_the_new_ones_are_published(tmp_path: Path) -> None:
    before = earlier_launch(tmp_path)
    writer = Writer(tmp_path, ORIGIN)
    writer.write(ENTRY, [kept(output="later"), kept(2)])
    assert {name: content for name, content in contents(tmp_path).items() if name in before} == before
    writer.publish()
    assert [row["output"] for row in lines(tmp_path / ACCEPTED)] == ["later", "3"]
    assert (tmp_path / REJECTED).read_bytes() == b""
    assert sorted(contents(tmp_path)) == [ACCEPTED, REJECTED]
    writer.close()


def test_closing_before_publishing_changes_nothing(tmp_path: Path) -> None:
    before = earlier_launch(tmp_path)
    writer = Writer(tmp_path, ORIGIN)
    writer.write(ENTRY, [kept(output="later")])
    writer.close()
    assert contents(tmp_path) == before


def test_lines_written_after_publishing_are_visible_immediately(tmp_path: Path) -> None:
    writer = Writer(tmp_path, ORIGIN)
    writer.publish()
    for position in (1, 2, 3):
        writer.write(ENTRY, [kept(position), dropped(Drop("filter", "x"))])
        assert len(lines(tmp_path / ACCEPTED)) == len(lines(tmp_path / REJECTED)) == position
    writer.close()


def test_temporary_files_of_a_killed_launch_are_overwritten(tmp_path: Path) -> None:
    for name in (ACCEPTED, REJECTED):
        (tmp_path / f"{name}.part").write_bytes(b"rubbish" * 1000)
    accepted, rejected = published(tmp_path, kept())
    assert (len(accepted), rejected) == (1, [])
    assert sorted(contents(tmp_path)) == [ACCEPTED, REJECTED]


def test_the_same_verdicts_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        published(tmp_path / name, kept(rouge=Nearest("s", 1 / 3)), dropped(Drop("filter", "x")))
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
