"""Launches from categories as users make them, in processes of their own: pytest tests/test_category_launch.py"""

import os
import sys
from pathlib import Path

import pytest

from self_instruct.candidates import read_run
from self_instruct.explain import explain
from self_instruct.watching import Watcher
from tests.category_runs import Author, run_mixture, write_category
from tests.runs import IO, dataset, generate, rows, run
from tests.test_mixture import mixture, write

BIN = os.path.dirname(sys.executable)


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    """A launch of one process that replays what was written in this process, and its options."""
    place = tmp_path_factory.mktemp("launched")
    files = place / "categories"
    write_category(files, "plain", tasks=3, more="temperature: 0.25\n")
    write_category(files, "answered", steps=2, tasks=4)
    write_category(files, "fielded", format="iio", tasks=1)
    (files / "topics.txt").write_text("harbours\nclocks\nrivers\nbread\n")
    run_mixture(mixture(files), place / "author", Author(write))
    options: list[object] = [
        "--categories", "plain:50,answered:30,fielded:20", "--categories_path", files, "--topics_path", files / "topics.txt",
        "--num_instructions_to_generate", 40, "--horizon", 8, "--engine", "scripted",
        "--script_path", place / "author/completions.jsonl",
    ]  # fmt: skip
    ended = generate(*options, "--batch_dir", place / "one")
    assert ended.returncode == 0, ended.stderr
    assert "Stopped: all 40 records are there." in ended.stdout and "\nanswered" in ended.stdout
    return place, options


def test_a_launch_gives_what_the_parts_gave_in_one_process(launched):
    place, _ = launched
    for name in ("machine_generated_instructions.jsonl", "rejected.jsonl"):
        ours, theirs = ((place / folder / name).read_bytes() for folder in ("author", "one"))
        assert ours.count(b"\n") == theirs.count(b"\n") > 0
    assert [row["instruction"] for row in rows(place / "one/machine_generated_instructions.jsonl")] == [
        row["instruction"] for row in rows(place / "author/machine_generated_instructions.jsonl")
    ]


def test_three_ranks_give_the_files_of_one(launched):
    place, options = launched
    ended = run(f"{BIN}/torchrun", "--standalone", "--nproc_per_node", 3, IO, *options, "--batch_dir", place / "three")
    assert ended.returncode == 0, ended.stderr
    assert dataset(place / "three") == dataset(place / "one")


def test_other_commands_read_the_run(launched):
    place, options = launched
    kept = rows(place / "one/machine_generated_instructions.jsonl")
    answered = next(row for row in kept if row["provenance"]["category"] == "answered")["provenance"]
    told = run(sys.executable, "-m", "self_instruct.explain", place / "one", answered["id"])
    assert told.returncode == 0, told.stderr
    assert f"Asked for as answered, with:\n    topic '{answered['topic']}'" in told.stdout
    assert f"Answered later (request {answered['response']['request']}, " in told.stdout
    assert "temperature 0.8," in told.stdout
    read = read_run(place / "one")
    plain = next(
        item for item in read.candidates.values() if item.row.get("provenance", {}).get("category") == "plain"
    )
    assert "temperature 0.25, top_p 0.95" in "".join(explain(read, plain))
    assert plain.row["provenance"]["sampling"]["temperature"] == 0.25
    assert "seed task: The demonstration of answered asks for something plain." in told.stdout

    watcher = Watcher(place / "one")
    watcher.catch_up()
    drops = {(row["stage"], row["reason"]) for row in rows(place / "one/rejected.jsonl")}
    assert watcher.funnel.accepted == 40 and set(watcher.funnel.drops) == drops

    again = run(
        sys.executable, "-m", "self_instruct.refilter", place / "one", place / "strict", "--rouge_threshold", 0.4
    )
    assert again.returncode == 0, again.stderr
    assert 0 < len(rows(place / "strict/machine_generated_instructions.jsonl")) < 40

    changed = generate(*options, "--batch_dir", place / "one", "--categories", "plain:1,answered:1,fielded:1")
    assert (
        changed.returncode == 2 and "--categories was 'plain:50,answered:30,fielded:20' and is now" in changed.stderr
    )


def test_a_changed_file_and_an_unknown_category_are_told_before_anything_is_loaded(launched, tmp_path):
    place, options = launched
    write_category(tmp_path / "mine", "answered", steps=2, tasks=5)
    for name in ("plain", "fielded"):
        (tmp_path / "mine" / f"{name}.yaml").write_bytes((place / "categories" / f"{name}.yaml").read_bytes())
    ended = generate(*options, "--batch_dir", place / "one", "--categories_path", tmp_path / "mine")
    assert ended.returncode == 2 and "the file of category answered is another one" in ended.stderr
    ended = generate("--categories", "genral", "--batch_dir", tmp_path / "run")
    assert ended.returncode == 2 and "did you mean general?" in ended.stderr and not (tmp_path / "run").exists()


def test_overwriting_keeps_the_old_run_and_gives_the_same_anew(launched):
    place, options = launched
    before = dataset(place / "one")
    ended = generate(*options, "--batch_dir", place / "one", "--overwrite")
    assert ended.returncode == 2 and "add --yes" in ended.stderr
    ended = generate(*options, "--batch_dir", place / "one", "--overwrite", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert dataset(place / "one") == dataset(place / "one.backup-1") == before
    assert "--overwrite" not in ended.stdout
