"""Launches with categories, in their own processes."""

import sys
from pathlib import Path

import pytest

from self_instruct.report.candidates import Candidate, Run, read_run
from self_instruct.report.explain import explain
from self_instruct.report.watch import Watcher
from tests.generation.test_categories_recipe import MIX, recipe, reply, write
from tests.support.category_runs import Author, run_recipe, write_category
from tests.support.runs import IO, dataset, generate, rows, run, run_ranks


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    """Launch one process that replays completions written in this process; return it with its options."""
    place = tmp_path_factory.mktemp("launched")
    files = place / "categories"
    write_category(files, "plain", tasks=3, more="temperature: 0.25\n")
    write_category(files, "answered", steps=2, tasks=4, more="answered_alone: none\n")
    write_category(files, "fielded", format="iio", tasks=1)
    (files / "topics.txt").write_text("harbours\nclocks\nrivers\nbread\n")
    run_recipe(recipe(files, 40, MIX, 8, "--recipe", "chat"), place / "author", Author(reply))
    options: list[object] = [
        "--categories", MIX, "--recipe", "chat", "--categories_path", files, "--topics_path", files / "topics.txt",
        "--num_instructions_to_generate", 40, "--horizon", 8, "--engine", "scripted",
        "--script_path", place / "author/completions.jsonl",
    ]  # fmt: skip
    ended = generate(*options, "--batch_dir", place / "one")
    assert ended.returncode == 0, ended.stderr
    assert "Done: 40 of 40 records." in ended.stdout and "\nanswered" in ended.stdout
    return place, options


def test_a_replayed_launch_writes_the_same_records(launched):
    place, _ = launched
    for name in ("machine_generated_instructions.jsonl", "rejected.jsonl"):
        ours, theirs = ((place / folder / name).read_bytes() for folder in ("author", "one"))
        assert ours.count(b"\n") == theirs.count(b"\n") > 0
    assert [row["instruction"] for row in rows(place / "one/machine_generated_instructions.jsonl")] == [
        row["instruction"] for row in rows(place / "author/machine_generated_instructions.jsonl")
    ]


def test_three_ranks_write_the_same_files_as_one(launched):
    place, options = launched
    kept = rows(place / "one/machine_generated_instructions.jsonl")
    assert {"plain", "answered"} <= {row["provenance"]["category"] for row in kept if "response" in row["provenance"]}
    for ended in run_ranks(3, IO, *options, "--batch_dir", place / "three"):
        assert ended.returncode == 0, ended.stderr
    assert dataset(place / "three") == dataset(place / "one")


def test_other_commands_read_the_run(launched):
    place, options = launched
    kept = rows(place / "one/machine_generated_instructions.jsonl")
    answered = next(row for row in kept if row["provenance"]["category"] == "answered")["provenance"]
    explained = run(sys.executable, "-m", "self_instruct.explain", place / "one", answered["id"])
    assert explained.returncode == 0, explained.stderr
    assert f"Requested from the category answered, with:\n    topic '{answered['topic']}'" in explained.stdout
    assert f"Answered later (request {answered['response']['request']}, " in explained.stdout
    assert "temperature 0.8," in explained.stdout
    read = read_run(place / "one")
    plain = next(
        item for item in read.candidates.values() if item.row.get("provenance", {}).get("category") == "plain"
    )
    assert "temperature 0.25, top_p 0.95" in "".join(explain(read, plain))
    assert plain.row["provenance"]["sampling"]["temperature"] == 0.25
    assert "seed task: The demonstration of answered asks for something plain." in explained.stdout

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


def test_a_changed_file_and_an_unknown_category_are_refused_before_anything_is_loaded(launched, tmp_path):
    place, options = launched
    write_category(tmp_path / "mine", "answered", steps=2, tasks=5)
    for name in ("plain", "fielded"):
        (tmp_path / "mine" / f"{name}.yaml").write_bytes((place / "categories" / f"{name}.yaml").read_bytes())
    ended = generate(*options, "--batch_dir", place / "one", "--categories_path", tmp_path / "mine")
    assert ended.returncode == 2 and "the file of category answered has changed" in ended.stderr
    ended = generate("--categories", "genral", "--batch_dir", tmp_path / "run")
    assert ended.returncode == 2 and "did you mean general?" in ended.stderr and not (tmp_path / "run").exists()


def test_refilter_options_override_those_of_categories(tmp_path):
    files = tmp_path / "categories"
    write_category(files, "plain", tasks=3, more="rouge_threshold: 0.9\ntemperature: 0.25\n")
    write_category(files, "fielded", format="iio", tasks=1, more="rouge_threshold: 0.95\nmax_instruction_words: 90\n")
    (files / "topics.txt").write_text("harbours\nclocks\nrivers\nbread\n")
    author = recipe(files, 40, "plain,fielded")
    run_recipe(author, tmp_path / "author", Author(write))
    ended = generate(
        "--categories", "plain,fielded", "--categories_path", files, "--topics_path", files / "topics.txt",
        "--num_instructions_to_generate", 40, "--horizon", 8, "--engine", "scripted", "--script_path",
        tmp_path / "author/completions.jsonl", "--batch_dir", tmp_path / "run",
        "--rouge_threshold", 0.3, "--temperature", 0.5, "--max_instruction_words", 80, "--filter_rules", "length",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    # Only one category sets its own temperature and length, and no category sets filters.
    notices = [line for line in ended.stderr.splitlines() if "no effect" in line]
    assert len(notices) == 1 and notices[0].startswith("--rouge_threshold 0.3: no effect, because each category sets")

    def refiltered(old: Path, name: str, *options: object) -> Path:
        again = run(sys.executable, "-m", "self_instruct.refilter", old, tmp_path / name, *options)
        assert again.returncode == 0, again.stderr
        assert "no effect" not in again.stderr
        return tmp_path / name

    def found(folder: Path, name: str) -> tuple[Run, Candidate]:
        read = read_run(folder)
        return read, read.candidates[name]

    def kept(folder: Path) -> list[dict]:
        return rows(folder / "machine_generated_instructions.jsonl")

    same = refiltered(tmp_path / "run", "same")
    strict = refiltered(tmp_path / "run", "strict", "--rouge_threshold", 0.05)
    assert "over_categories" not in (same / "run.yaml").read_text()
    assert "over_categories:\n- rouge_threshold\n" in (strict / "run.yaml").read_text()
    assert len(kept(same)) >= 40 > len(kept(strict)) and all(
        row["provenance"]["rouge_l"] < 0.05 for row in kept(strict)
    )

    near = next(row for row in rows(strict / "rejected.jsonl") if row["reason"] == "rouge_l")
    assert "Decided by --rouge_threshold 0.05," in "".join(explain(*found(strict, near["id"])))
    copy = next(row for row in rows(same / "rejected.jsonl") if row["reason"] == "rouge_l")
    own = {"plain": 0.9, "fielded": 0.95}[copy["category"]]
    assert f"Decided by --rouge_threshold {own}," in "".join(explain(*found(same, copy["id"])))

    # With the journal beside it the result can be refiltered again, but no run with other rules continues in it.
    (strict / "completions.jsonl").write_bytes((tmp_path / "run/completions.jsonl").read_bytes())
    again = refiltered(strict, "again")
    assert dataset(again) == dataset(strict) and "- rouge_threshold" in (again / "run.yaml").read_text()
    both = refiltered(strict, "both", "--max_instruction_words", 4)
    assert "over_categories:\n- max_instruction_words\n- rouge_threshold\n" in (both / "run.yaml").read_text()
    assert kept(both) == []


def test_the_notice_names_only_given_options_that_every_category_replaces(tmp_path):
    files = tmp_path / "categories"
    write_category(files, "plain", more="rouge_threshold: 0.9\ntemperature: 0.25\nfilter_keywords: []\n")
    write_category(files, "other", more="rouge_threshold: 0.9\ntop_p: 0.5\nfilter_keywords: []\n")
    (tmp_path / "run.yaml").write_text("rouge_threshold: 0.3\ntemperature: 0.5\nfilter_keywords: [a, b]\n")
    options = ["--categories", "plain,other", "--categories_path", files, "--dry_run"]

    def without_effect(*more: object) -> list[str]:
        ended = generate(*options, *more)
        assert ended.returncode == 0, ended.stderr
        return [line.partition(": no effect")[0] for line in ended.stderr.splitlines() if "no effect" in line]

    assert without_effect() == without_effect("--preset", "alpaca") == without_effect("--rouge_threshold", 0.9) == []
    assert without_effect("--config", tmp_path / "run.yaml") == ["--rouge_threshold 0.3, --filter_keywords a b"]
    assert without_effect("--preset", "alpaca", "--threshold", 0.2) == ["--rouge_threshold 0.2"]


def test_overwriting_keeps_the_old_run_and_reproduces_it(launched):
    place, options = launched
    before = dataset(place / "one")
    ended = generate(*options, "--batch_dir", place / "one", "--overwrite")
    assert ended.returncode == 2 and "add --yes" in ended.stderr
    ended = generate(*options, "--batch_dir", place / "one", "--overwrite", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert dataset(place / "one") == dataset(place / "one.backup-1") == before
    assert "--overwrite" not in ended.stdout
