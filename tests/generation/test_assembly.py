"""Building the parts of a run from its options."""

import json
from pathlib import Path

import pytest

from self_instruct.engines.fleet.world import World
from self_instruct.engines.local.hardware import describe_hardware
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.generation.assembly import build_engine
from self_instruct.generation.automatic_options import with_earlier_choices, with_horizon
from self_instruct.generation.config import Config, assemble
from self_instruct.generation.public import generate, refilter
from self_instruct.runs.found_rows import write_found_rows
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


@pytest.mark.parametrize(("length", "warnings"), [(3000, 0), (2999, 0), (None, 0), (3001, 1)])
def test_a_max_length_above_the_context_has_no_effect_and_is_reported(tmp_path, caplog, length, warnings):
    class Small(ScriptedEngine):
        context_length = 3000

    config = Config(
        seed_tasks_path=str(ROOT / "seeds/code.jsonl"), batch_dir=str(tmp_path / "run"), max_length=length, max_requests=1
    )  # fmt: skip
    generate(config, engine=Small({0: ("\nCount the lanterns twice.\nOutput:\nTwo.\n", False)}))
    said = (
        "--max_length 3001 has no effect: the model's context is 3000 tokens. Use a smaller number, or leave it out."
    )
    assert [message for message in caplog.messages if "--max_length" in message] == [said] * warnings


def test_a_run_takes_the_rows_that_its_pilot_has_found(tiny_llama, tmp_path):
    hardware = describe_hardware(load_model(str(tiny_llama))[0], None)
    write_found_rows(tmp_path, hardware, 3, [(1, 9.0)])
    given = {"model_name_or_path": str(tiny_llama), "batch_dir": str(tmp_path), "max_new_tokens": 8}

    def rows(**more) -> tuple[int, bool]:
        engine = build_engine(assemble({**given, **more}), World(0, 1), lambda rows: None)
        return engine.rows, engine.rows_tried is not None

    assert (rows(), rows(plan=True)) == ((3, False), (1, True))
    assert (rows(request_batch_size=5), rows(request_batch_size=5, plan=True)) == ((5, False), (5, False))
    (tmp_path / "other").mkdir()
    write_found_rows(tmp_path / "other", "another machine", 3, [])
    assert rows(batch_dir=str(tmp_path / "other")) == (16, False)


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
