"""Building the parts of a run from its options."""

import json
from pathlib import Path

import pytest

from self_instruct.generation.automatic_options import with_earlier_choices, with_horizon
from self_instruct.generation.config import Config, assemble
from self_instruct.generation.public import generate, refilter
from tests.support.runs import ROOT
from tests.support.scripts import block


@pytest.mark.parametrize(
    ("given", "earlier", "horizon"),
    [
        ({}, None, 16),
        ({"num_instructions_to_generate": 5000}, None, 100),
        ({"num_instructions_to_generate": 10**6}, None, 1024),
        ({"num_instructions_to_generate": 5000, "request_batch_size": 500}, None, 100),
        ({"recipe": "chat"}, None, 16),
        ({"recipe": "magpie", "num_instructions_to_generate": 5000}, None, 500),
        ({"recipe": "magpie", "num_instructions_to_generate": 5000, "max_requests": 40}, None, 20),
        ({"recipe": "magpie", "num_instructions_to_generate": 5000, "max_requests": 1}, None, 1),
        ({"recipe": "chat", "verify": ["python"], "num_instructions_to_generate": 5000, "max_requests": 40}, None, 13),
        ({"recipe": "few_shot", "num_instructions_to_generate": 5000, "max_requests": 40}, None, 100),
        (
            {"recipe": "chat", "num_instructions_to_generate": 5000, "max_requests": 40},
            {"options": {"horizon": 500}},
            500,
        ),
        ({"recipe": "chat", "num_instructions_to_generate": 5000}, {"options": {"horizon": 16}}, 16),
        ({"num_instructions_to_generate": 5000, "horizon": 3}, {"options": {"horizon": 7}}, 3),
        ({"num_instructions_to_generate": 5000}, {"options": {"horizon": 7}}, 7),
    ],
)
def test_the_horizon_is_given_or_stored_or_derived_from_recipe_and_size_of_the_run(given, earlier, horizon):
    assert with_horizon(with_earlier_choices(assemble(given), earlier)).prompt.horizon == horizon


def test_a_run_of_an_earlier_version_keeps_its_decisions(tmp_path: Path) -> None:
    tasks = ["Count the lanterns twice.", "The kettle is made of tin.", "Rank the comets by weight."]
    text = "".join(block(5 + at, *task) for at, task in enumerate(zip(tasks, "abc", strict=True))).split("\n", 1)[1]
    script, folder = tmp_path / "script.jsonl", tmp_path / "run"
    script.write_text(json.dumps({"text": text, "finish_reason": "stop"}) + "\n")
    options = {
        "engine": "scripted", "script_path": str(script), "batch_dir": str(folder), "max_requests": 1,
        "seed_tasks_path": str(ROOT / "seeds" / "code.jsonl"), "num_prompt_instructions": 4,
    }  # fmt: skip
    old = generate(Config(**options, check_outputs=False))
    described = (folder / "run.yaml").read_text()
    (folder / "run.yaml").write_text(described.replace("  check_outputs: false\n", ""))
    assert len(old.records) == 3 == len(generate(Config(**options)).records)
    (folder / "run.yaml").write_text(described.replace("  check_outputs: false\n", ""))
    assert len(refilter(folder, tmp_path / "same").records) == 3
    checked = refilter(folder, tmp_path / "checked", check_outputs=True)
    assert [drop.drop.reason for drop in checked.rejected] == ["asks_nothing"] and len(checked.records) == 2
    new = generate(Config(**{**options, "batch_dir": str(tmp_path / "new")}))
    assert [record.instruction for record in new.records] == [tasks[0], tasks[2]]
