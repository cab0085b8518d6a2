"""A new dataset from an old journal: pytest tests/test_refilter.py"""

import sys

import pytest

from tests.runs import DATASET, ROOT, dataset, generate, rows, run, scripted
from tests.scripts import write_script


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    script = write_script(folder / "script.jsonl", 60)
    assert generate(*scripted(script, folder / "run", 10_000)).returncode == 0
    return folder / "run"


def refilter(*options):
    return run(sys.executable, "-m", "self_instruct.refilter", *options, cwd=ROOT)


def test_the_same_options_give_the_same_dataset(old, tmp_path):
    result = refilter(old, tmp_path / "new")
    assert result.returncode == 0, result.stderr
    new = dataset(tmp_path / "new")
    assert all(new[name] == dataset(old)[name] for name in DATASET[:2])


@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_another_threshold_decides_anew(old, tmp_path, threshold):
    assert refilter(old, tmp_path / "new", "--rouge_threshold", threshold).returncode == 0
    new, before = (rows(folder / DATASET[0]) for folder in (tmp_path / "new", old))
    assert all(row["provenance"]["rouge_l"] < threshold for row in new)
    assert (len(new) > len(before)) == (threshold > 0.6) and len(new) != len(before)
    written = sum(len(rows(tmp_path / "new" / name)) for name in DATASET[:2])
    assert written == sum(len(rows(old / name)) for name in DATASET[:2])
    assert f"rouge_threshold: {threshold}" in (tmp_path / "new/run.yaml").read_text()


def test_a_number_of_records_and_other_filters_can_be_asked_for(old, tmp_path):
    assert (
        refilter(old, tmp_path / "new", "--num_instructions_to_generate", 7, "--filter_keywords", "kettle").returncode
        == 0
    )
    assert len(rows(tmp_path / "new" / DATASET[0])) == 7
    assert {row["reason"] for row in rows(tmp_path / "new" / DATASET[1])} >= {"keyword"}


def test_it_refilters_its_own_result_no_more_than_it_can(old, tmp_path):
    assert refilter(old, tmp_path / "new").returncode == 0
    result = refilter(tmp_path / "new", tmp_path / "newer")
    assert result.returncode == 2 and "holds no completions.jsonl" in result.stderr


def test_other_seeds_are_refused_unless_they_are_asked_for(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 20)
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_bytes((ROOT / "seeds/code.jsonl").read_bytes())
    assert generate(*scripted(script, tmp_path / "run", 5), "--seed_tasks_path", seeds).returncode == 0
    seeds.write_bytes(b"".join(seeds.read_bytes().splitlines(keepends=True)[:9]))
    result = refilter(tmp_path / "run", tmp_path / "new")
    assert result.returncode == 2 and "is not what it was" in result.stderr
    assert refilter(tmp_path / "run", tmp_path / "new", "--seed_tasks_path", seeds).returncode == 0
