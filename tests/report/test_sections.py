"""The figures of the report: what they count, and their labels."""

import json

import numpy as np
import pytest

from self_instruct.errors import UserError
from self_instruct.novelty.verb_noun import verb_noun
from self_instruct.report.analysis import Analysis, analyse, neighbours
from self_instruct.report.charts import OVERLAP
from self_instruct.report.inputs import read_inputs
from self_instruct.report.sections import sections
from self_instruct.report.tables import diversity_of
from self_instruct.runs.layout import REPORT, OutputPaths
from tests.support.commands import run_command
from tests.support.report_files import with_vectors
from tests.support.runs import generate, rows, scripted
from tests.support.scripts import write_script


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Make two runs with different thresholds."""
    place = tmp_path_factory.mktemp("sections")
    script = write_script(place / "script.jsonl", 40)
    for name, threshold in (("one", 0.6), ("two", 0.4)):
        made = generate(*scripted(script, place / name, 20), "--rouge_threshold", threshold)
        assert made.returncode == 0, made.stderr
    return [place / "one", place / "two"]


def analysis_of(*paths):
    inputs = read_inputs([str(path) for path in paths])
    pairs = [[verb_noun(row.record.instruction) for row in source.rows] for source in inputs]
    return Analysis(inputs, pairs, [neighbours(source, None) for source in inputs], None, "no vectors")


def figures(*folders):
    return {
        figure.name: figure for section in sections(analysis_of(*folders), "pca", 100) for figure in section.figures
    }


def texts(spec):
    return [layer["data"]["values"][0]["label"] for layer in spec["layer"] if layer["mark"]["type"] == "text"]


def test_yield_counts_accepted_records_per_block_written(folders):
    figure = figures(folders[0])["yield"]
    accepted = rows(folders[0] / "machine_generated_instructions.jsonl")
    rejected = rows(folders[0] / "rejected.jsonl")
    requests = {row["provenance"]["request"] for row in accepted} | {row["request"] for row in rejected}
    for point in figure.spec["data"]["values"]:
        if 1 + max(requests) <= 24:  # then a window is one request
            kept = sum(row["provenance"]["request"] == point["request"] for row in accepted)
            written = kept + sum(row["request"] == point["request"] for row in rejected)
            assert point["yield"] == pytest.approx(kept / written, abs=1e-4)
    report = json.loads((folders[0] / REPORT).read_text())
    assert report["blocks"] == len(accepted) + len(rejected)
    assert figure.spec["encoding"]["y"]["title"] == "accepted per block written"
    assert "records accepted / blocks written" in figure.caption


def test_a_stage_of_one_run_is_in_the_funnel_of_both(folders):
    loose, strict = read_inputs([str(folder) for folder in folders])
    assert ("limit" in loose.stages) != ("limit" in strict.stages)  # only one run dropped a block beyond its target
    bars = figures(*folders)["funnel"].spec["data"]["values"]
    stages = [{bar["step"] for bar in bars if bar["run"] == name} for name in ("one", "two")]
    assert stages[0] == stages[1] >= {"were checked"}


def test_a_run_without_records_shows_its_funnel_and_reasons_only(folders, tmp_path, capsys):
    empty = tmp_path / "empty"
    assert run_command(["refilter", str(folders[0]), str(empty), "--min_instruction_words", "100"]) == 0
    assert run_command(["report", str(empty), "--output_path", str(tmp_path / "report.html")]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "No record was kept." in page and '<section id="records" hidden>' in page
    found = sections(analyse([str(empty)], None, tmp_path / "cache"), "pca", 100)
    assert [figure.name for section in found for figure in section.figures] == ["funnel", "yield", "reasons"]
    with pytest.raises(UserError, match="holds no accepted record; give it alone to see why"):
        read_inputs([str(folders[0]), str(empty)])


def test_medians_and_thresholds_are_labelled(folders):
    found = figures(folders[0])
    words = [len(row["instruction"].split()) for row in rows(folders[0] / "machine_generated_instructions.jsonl")]
    assert texts(found["length_instruction"].spec) == [f"median {np.median(words):,.0f} words"]
    median, threshold = texts(found["similarity_rouge_l"].spec)
    assert median.startswith("median 0.") and threshold == "threshold 0.6"
    both = texts(figures(*folders)["similarity_rouge_l"].spec)
    assert sorted(both, key=lambda text: float(text.split()[1])) == both and both.count("threshold 0.4") == 1
    assert [text for text in both if text.startswith("threshold")] == ["threshold 0.4", "threshold 0.6"]


def test_overlap_of_two_runs_is_in_the_legend(folders):
    layer = figures(*folders)["length_instruction"].spec["layer"][0]
    assert layer["encoding"]["color"]["scale"]["domain"] == ["one", "two", OVERLAP]
    alone = figures(folders[0])["length_instruction"].spec["layer"][0]
    assert alone["encoding"]["color"]["legend"] is None


def test_overlap_is_the_smaller_share_of_both_bars(folders):
    bars, common = figures(*folders)["length_output"].spec["layer"][:2]
    shares: dict[float, list[float]] = {}
    for value in figures(*folders)["length_output"].spec["data"]["values"]:
        shares.setdefault(value["low"], []).append(value["share"])
    assert bars["mark"] == common["mark"]
    assert {value["low"]: value["share"] for value in common["data"]["values"]} == {
        low: min(found) for low, found in shares.items() if len(found) == 2
    }


def test_a_verb_has_the_same_colour_in_all_wheels(folders):
    found = figures(*folders)
    colours = [
        {node["verb"]: node["colour"] for node in found[name].spec["data"][0]["values"] if "verb" in node}
        for name in ("verbs_1", "verbs_2")
    ]
    shared = colours[0].keys() & colours[1].keys()
    assert shared
    assert all(colours[0][verb] == colours[1][verb] for verb in shared)


def test_map_is_left_out_without_vectors(folders):
    assert not any(name.startswith("map") for name in figures(folders[0]))


def test_diversity_is_measured_at_the_same_number_of_records(tmp_path):
    for name, number in (("many", 130), ("few", 60), ("fewer", 49)):
        lines = [json.dumps({"instruction": f"Sort list {at} of names.", "output": "x"}) for at in range(number)]
        (tmp_path / name).with_suffix(".jsonl").write_text("\n".join(lines))
    table = diversity_of(analysis_of(tmp_path / "many.jsonl", tmp_path / "few.jsonl"))
    rows = {name: values for name, _, values in table.rows}
    assert (
        table.size == 50
        and rows["commonest openings"] == ["100.0%", "100.0%"]
        and rows["distinct-2"][0] == rows["distinct-2"][1]
    )
    assert rows["verb-object entropy"] == ["0.0", "0.0"] and "Vendi score" not in rows
    assert diversity_of(analysis_of(tmp_path / "many.jsonl", tmp_path / "fewer.jsonl")) is None


def test_a_reference_adds_its_coverage(tmp_path):
    paths = [tmp_path / f"{name}.jsonl" for name in ("a", "reference")]
    for path, number in zip(paths, (60, 20), strict=True):
        lines = [json.dumps({"instruction": f"Sort list {at} of names.", "output": "x"}) for at in range(number)]
        path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"--reference .* is compared by embeddings, but a.jsonl has no vectors"):
        analyse([str(paths[0])], None, tmp_path / "cache", reference=str(paths[1]))
    for path in paths:
        with_vectors(path, OutputPaths(path).vectors)
    rows = {name: values for name, _, values in diversity_of(
        analyse([str(paths[0])], None, tmp_path / "cache", reference=str(paths[1]))).rows}  # fmt: skip
    assert rows["coverage"] == ["100.0%"] and float(rows["NovelSum"][0]) > 0
    alone = {name for name, *_ in diversity_of(analyse([str(paths[0])], None, tmp_path / "cache")).rows}
    assert rows.keys() - alone == {"coverage"}
