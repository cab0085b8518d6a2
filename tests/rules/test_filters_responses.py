"""Pattern files for outputs: the shipped file, custom files, and mistakes in them."""

from pathlib import Path

import pytest
import yaml

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.rules.filters.responses import drop_responses, read_patterns
from self_instruct.seeds import load_seeds
from tests.support.runs import ROOT

SHIPPED = ROOT / "configs" / "response_filters.yaml"


def written(folder: Path, *items: object) -> Path:
    path = folder / "filters.yaml"
    path.write_text(yaml.safe_dump(list(items)), encoding="utf-8")
    return path


def item(**changes: object) -> dict:
    return {"name": "ai", "pattern": r"\bas an ai\b", "drops": ["As an AI, no."], **changes}


@pytest.fixture(scope="module")
def shipped():
    return drop_responses(str(SHIPPED))


@pytest.mark.parametrize(
    ("output", "name"),
    [("As an AI language model, I cannot say.", "speaks_as_ai"), ("I'm sorry, but I can't help with that.", "apology"),
     ("OpenAI trained me.", "maker"), ("Well, I cannot assist with this request.", "refusal"), ("Sure! Here is the list:",
     "meta"),
     ("I am just an AI.", "names_itself"), ("Please consult a qualified professional.", "disclaimer")],
)  # fmt: skip
def test_the_shipped_list_finds_refusals_also_at_the_very_beginning(shipped, output: str, name: str) -> None:
    assert (shipped(Record("x", "Ask.", "", output)) or "").startswith(f"response: {name} (")


def test_the_shipped_list_drops_no_seed_and_reads_outputs_only(shipped) -> None:
    seeds = [*load_seeds(ROOT / "seeds" / "code.jsonl"), *load_seeds(ROOT / "seeds" / "general.jsonl")]
    assert [seed.id for seed in seeds if shipped(seed)] == []
    assert shipped(Record("x", "As an AI, what are you?", "OpenAI", "A program.")) is None
    assert drop_responses(None)(Record("x", "", "", "As an AI")) is None


def test_a_custom_list_is_applied_with_its_options(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        item(),
        item(
            name="begins", pattern="well", at_start=True, any_case=False, drops=["well, no"], keeps=["Well", "so well"]
        ),
    )
    rule = drop_responses(str(path))
    assert rule(Record("x", "", "", "as AN ai")) == "response: ai (as AN ai)"
    assert rule(Record("x", "", "", "'well then")) == "response: begins ('well)"
    assert rule(Record("x", "", "", "All is well.")) is None


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([item(drops=["As an aide, no."])], "does not find its own example 'As an aide, no.'"),
        ([item(keeps=["Speaking as an AI."])], "which it should keep"),
        ([item(pattern="as an ai{$")], "does not find"), ([item(pattern="(as")], "is not a valid regular expression"),
        ([item(drops=[])], "drops is []"), ([item(drops="As an AI")], "must be a list of texts"), ([item(drops=[3])],
        "must be a list of texts"),
        ([item(name="")], "name is ''"), ([item(at_start="yes")], "must be true or false"), ([item(patern="x")],
        "unknown key 'patern'"),
        ([{"name": "x", "pattern": "x"}], "drops is missing"), ([item(), item()], "two patterns are named ai"), (["x"],
        "must have name"),
        ([], "must hold a list"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_reported_with_its_position(tmp_path: Path, items: list, message: str) -> None:
    with pytest.raises(UserError, match=r"filters\.yaml") as caught:
        read_patterns(written(tmp_path, *items))
    assert message in str(caught.value)


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--response_filters_path"):
        read_patterns(tmp_path / "none.yaml")
    for content in (b"\xff\xfe\x00", b"a: [", b"- {name: x, name: y}", b"just text"):
        (tmp_path / "bad.yaml").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.yaml"):
            read_patterns(tmp_path / "bad.yaml")
