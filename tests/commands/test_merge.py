"""Merging several sources into one dataset."""

import json

import pytest
import yaml

from self_instruct.commands import curate as post_processing
from self_instruct.commands.merge import _GROUPS, sources_of
from self_instruct.config.parser import parse_values
from self_instruct.errors import UserError
from tests.support.commands import run_command as main
from tests.support.dataset_files import FORMAT_OF, write_all
from tests.support.runs import ROOT, rows

FIRST = [
    {"instruction": "Name three rivers of Europe.", "output": "Rhine"},
    {"instruction": "Boil one egg.", "output": "Wait"},
]
SECOND = [
    {
        "instruction": "Name three rivers of Europa.",
        "context": "",
        "response": "Danube",
        "category": "open_qa",
        "rated": 5,
    },
    {
        "instruction": "Sum it up.",
        "context": "long text",
        "response": "Short",
        "category": "summarization",
        "rated": 4,
    },
    {
        "instruction": "Sum it up.",
        "context": "long text",
        "response": "Short",
        "category": "summarization",
        "rated": 3,
    },
    {"instruction": "Who?", "context": "", "response": 7, "category": "open_qa"},
]


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "first.json").write_text(json.dumps(FIRST))
    (tmp_path / "second.jsonl").write_text("".join(json.dumps(row) + "\n" for row in SECOND))
    content = {
        "sources": ["mine=first.json", "dolly=second.jsonl"], "licenses": ["dolly=CC BY-SA 3.0"], "output": "out/all.jsonl",
        "rouge_threshold": 0.7,
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "recipe.yaml"


def test_sources_become_one_set_with_the_provenance_of_every_record(recipe, capsys):
    assert main(["merge", "--config", str(recipe)]) == 3
    out = recipe.parent / "out"
    kept, rejected = rows(out / "all.jsonl"), rows(out / "all.rejected.jsonl")
    assert [row["instruction"] for row in kept] == [FIRST[0]["instruction"], FIRST[1]["instruction"], "Sum it up."]
    assert kept[2]["input"] == "long text" and kept[2]["provenance"] == {
        "id": "", "category": "summarization", "source": "dolly", "license": "CC BY-SA 3.0",
        "origin": {"path": str(recipe.parent / "second.jsonl"), "row": 1}, "fields": '{"rated": 4}',
    }  # fmt: skip
    reasons = [(row["reason"], row["nearest"] and row["nearest"]["place"]) for row in rejected]
    place = f"{recipe.parent / 'second.jsonl'}:2"
    assert reasons == [("rouge_l", f"{recipe.parent / 'first.json'}[0]"), ("duplicate", None), ("wrong_type", None)]
    assert rejected[1]["detail"] == place
    report = json.loads((out / "all.report.json").read_text())
    mine, dolly = report["inputs"]
    assert report["overlap"] == [[0, 0], [1, 1]] and (mine["name"], mine["kept"], dolly["kept"]) == ("mine", 2, 1)
    for share in (mine, dolly):
        assert share["lines"] == share["kept"] + sum(sum(drops.values()) for drops in share["drops"].values())
    shown = capsys.readouterr().out
    assert (
        "3 of 6 rows were kept." in shown
        and "dolly             4            -1            -1            -1          1" in shown
    )


def test_of_similar_records_the_one_from_the_earlier_source_is_kept(recipe):
    main(
        [
            "merge",
            "--config",
            str(recipe),
            "--sources",
            f"dolly={recipe.parent}/second.jsonl",
            f"mine={recipe.parent}/first.json",
        ]
    )
    kept = rows(recipe.parent / "out" / "all.jsonl")
    assert [row["provenance"]["source"] for row in kept] == ["dolly", "dolly", "mine"]


def test_a_source_replaced_by_a_given_name_is_kept_in_the_fields(tmp_path):
    row = {"prompt": "Why is it dark?", "response": "It is night.", "source": "laion", "license": "MIT"}
    (tmp_path / "first.jsonl").write_text(json.dumps(row) + "\n")
    before = tmp_path / "first.jsonl"
    for name, found in (
        ("mine", {"source": "laion", "license": "MIT"}),
        ("mine", {"source": "laion", "license": "MIT"}),
        ("all", {"source": ["laion", "mine"], "license": ["MIT", "L-mine"]}),
        ("more", {"source": ["laion", "mine", "all"], "license": ["MIT", "L-mine", "L-all"]}),
    ):
        after = tmp_path / f"after_{before.stem}.jsonl"
        assert (
            main(["merge", "--sources", f"{name}={before}", "--licenses", f"{name}=L-{name}", "--output", str(after)])
            == 0
        )
        ((provenance,), before) = ([one["provenance"] for one in rows(after)], after)
        assert (provenance["source"], json.loads(provenance["fields"])) == (name, found)
        assert provenance["license"] == f"L-{name}"


def test_records_of_a_benchmark_are_dropped(recipe):
    (recipe.parent / "b.jsonl").write_text(json.dumps({"question": "boil one EGG", "answer": "no"}))
    options = ["--benchmarks", str(recipe.parent / "b.jsonl"), "--substring_words", "3"]
    assert main(["merge", "--config", str(recipe), *options]) == 3
    found = rows(recipe.parent / "out" / "all.rejected.jsonl")
    assert found[0]["stage"] == "contamination" and found[0]["match"]["words"] == "boil one egg"
    assert json.loads((recipe.parent / "out" / "all.report.json").read_text())["drops"]["contamination"] == {
        "substring": 1
    }


def test_every_format_can_be_merged_and_nothing_is_lost(tmp_path):
    write_all(tmp_path)
    sources = [f"{name.replace('.', '_')}={tmp_path / name}" for name in FORMAT_OF]
    assert main(["merge", "--sources", *sources, "--output", str(tmp_path / "o.jsonl")]) == 0
    report = json.loads((tmp_path / "o.report.json").read_text())
    kept, rejected = rows(tmp_path / "o.jsonl"), rows(tmp_path / "o.rejected.jsonl")
    assert report["lines"] == len(kept) + len(rejected) == sum(share["lines"] for share in report["inputs"])
    assert [share["format"] for share in report["inputs"]] == list(FORMAT_OF.values())
    assert len({tuple(row) for row in kept}) == 1  # the same columns in every row
    assert len(kept) > 15 and {row["reason"] for row in rejected} <= {
        "duplicate",
        "rouge_l",
        "empty_instruction",
        "empty_output",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "o.jsonl"], "--sources is missing"),
        (["--sources", "a=a.jsonl"], "--output_path is missing"),
        (["--sources", "a=a.jsonl", "--output", "o.json"], "ends in .jsonl"),
        (["--sources", "a=a.jsonl", "--output", "-"], "cannot be a pipe"),
        (["--sources", "a=a.jsonl", "a=b.jsonl", "--output", "o.jsonl"], "the name a twice"),
        (["--sources", "a=a.jsonl", "--licenses", "b=MIT", "--output", "o.jsonl"], "must be NAME=..."),
        (["--sources", "a=a.jsonl", "--input_formats", "a=csv", "--output", "o.jsonl"], "must be one of auto"),
        (["--sources", "a=none.jsonl", "--output", "o.jsonl"], "--sources /"),
        (["--sources", "a=a.jsonl", "--output", "a.jsonl"], "would be overwritten"),
    ],
)
def test_mistakes_are_named(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text(json.dumps(FIRST[0]))
    with pytest.raises(UserError) as raised:
        main(["merge", *options])
    assert message in str(raised.value) and len(list(tmp_path.iterdir())) == 1


def test_the_shipped_recipe_is_consistent():
    given, _ = parse_values(["--config", str(ROOT / "configs" / "open_instructions.yaml")], "", groups=_GROUPS)
    sources = sources_of(given["sources"], given["licenses"], [])
    assert len(sources) == 12 and all(source.path.startswith(str(ROOT / "data")) for source in sources)


def test_hub_ids_are_not_paths():
    given, _ = parse_values(["--sources", "dolly=databricks/databricks-dolly-15k", "x=./a/b"], "", groups=_GROUPS)
    assert given["sources"][0] == "dolly=databricks/databricks-dolly-15k" and given["sources"][1].startswith("x=/")


def test_curation_reads_any_format_and_carries_its_fields(recipe):
    out = recipe.parent / "c.jsonl"
    assert post_processing.main(["--input_path", str(recipe.parent / "second.jsonl"), "--output_path", str(out)]) == 3
    (row,) = rows(out)
    assert (row["instruction"], row["output"]) == (SECOND[0]["instruction"], "Danube")
    assert row["provenance"]["category"] == "open_qa" and json.loads(row["provenance"]["fields"]) == {"rated": 5}
