"""TRL's own commands train on the card's dataset, of which the adapter generates, and on the files of `convert`."""

import json
import os
import sys
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.commands import run_command as main
from tests.support.dataset_files import lines
from tests.support.runs import ROOT, run

FINETUNE = ROOT / "configs" / "finetune"
# CI installs tests/requirements.txt, so there the test fails instead of being skipped.
needs_trl = pytest.mark.skipif(
    find_spec("trl") is None and "CI" not in os.environ, reason="needs trl and peft: pip install -e '.[train]'"
)


PAIRS = [{"prompt": f"Add {n} and 2.", "chosen": f"{n + 2}", "rejected": "I do not know."} for n in range(8)]
RECORDS = [
    {
        "instruction": pair["prompt"], "input": "", "output": pair["chosen"],
        "provenance": {"id": f"{at:06d}-01", "choice": {"by": "majority", "agree": 3, "of": 4, "answers": [
            {"request": at, "output": pair[mark], "score": score, "mark": mark}
            for mark, score in (("chosen", 3), ("rejected", 1))
        ]}},
    }
    for at, pair in enumerate(PAIRS)
]  # fmt: skip
"""The pairs as records of a run with several answers."""
CALLS = [
    {
        "messages": [
            {"role": "user", "content": f"Add {n} and 2."},
            {
                "role": "assistant",
                "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": n}}}],
            },
            {"role": "tool", "content": f"{n + 2}"},
            {"role": "assistant", "content": f"It is {n + 2}."},
        ],
        "tools": [{"type": "function", "function": {"name": "add", "description": "Add 2.", "parameters": {}}}],
    }
    for n in range(8)
]
TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}\n{% endif %}{% for turn in messages %}<{{ turn.role }}>{{ turn.content or '' }}"
    "{% if turn.tool_calls %}{{ turn.tool_calls | tojson }}{% endif %}</s>{% endfor %}"
)


# TRL's commands, one after the other in one process: importing them takes longer than training. Each would launch its script
# in a process of its own.
TRAINING = """
import json, runpy, sys
from accelerate.commands import launch
from trl.cli.main import main

def run(args):
    sys.argv = [args.training_script, *args.training_script_args]
    runpy.run_path(args.training_script, run_name="__main__")

launch.simple_launcher = run
for command in json.loads(sys.argv[1]):
    main(command)
"""


@pytest.fixture(scope="module")
def trained(tiny_llama, tmp_path_factory):
    """Train an adapter on a dataset repository of the card command, and models on the files of `convert`; return the folder
    that holds one folder for each.
    """
    place = tmp_path_factory.mktemp("trained")
    tasks = [{"instruction": f"Add {n} and 2.", "input": "", "output": f"{n} + 2 = {n + 2}"} for n in range(24)]
    (place / "tasks.jsonl").write_text(lines(*tasks))
    assert main(["card", str(place / "tasks.jsonl"), "--output", str(place / "adapter" / "set")]) == 0
    (place / "template.jinja").write_text(TEMPLATE)
    lora = [
        "--config",
        FINETUNE / "lora.yaml",
        "--chat_template_path",
        FINETUNE / "chat_template.jinja",
        "--logging_steps",
        1,
    ]
    commands = [("adapter", "sft", lora)]
    for command, to, given in (("dpo", "preference", RECORDS), ("kto", "kto", PAIRS), ("sft", "messages", CALLS)):
        folder = place / command
        (folder / "set").mkdir(parents=True)
        (folder / "in.jsonl").write_text(lines(*given))
        output = str(folder / "set" / "train.jsonl")
        assert main(["convert", str(folder / "in.jsonl"), "--to", to, "--output", output]) == 0
        (folder / "set" / "train.report.json").unlink()
        template = ["--chat_template_path", place / "template.jinja"] if command == "sft" else []
        commands.append((command, command, [*template, "--per_device_train_batch_size", 2, "--report_to", "none"]))
    given = [
        [
            str(part) for part in (
                command, *options, "--model_name_or_path", tiny_llama, "--dataset_name", place / name / "set",
                "--output_dir", place / name / "model", "--use_cpu", "--bf16", "false", "--max_steps", 2,
                "--gradient_accumulation_steps", 1, "--save_strategy", "no",
            )
        ]
        for name, command, options in commands
    ]  # fmt: skip
    done = run(
        sys.executable, "-W", "ignore", "-c", TRAINING, json.dumps(given), HF_DATASETS_CACHE=str(place / "cache")
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return place


@needs_trl
@pytest.mark.filterwarnings("ignore")  # of peft and torch, on import and when an adapter is loaded
def test_trl_trains_an_adapter_on_a_published_set_and_it_generates(trained, tiny_llama):
    adapter = trained / "adapter" / "model"
    about = json.loads((adapter / "adapter_config.json").read_text())
    assert about["r"] == 16 and about["base_model_name_or_path"] == str(tiny_llama)
    weights = load_file(adapter / "adapter_model.safetensors")
    learned = [weight for name, weight in weights.items() if "lora_B" in name]
    assert learned and all(weight.abs().max() > 0 for weight in learned)  # zero before training

    tokenizer = AutoTokenizer.from_pretrained(adapter)
    asked = [{"role": "user", "content": "Add 3 and 2."}]
    batch = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert tokenizer.decode(batch["input_ids"][0]).endswith("### Assistant:\n")
    model, base = (AutoModelForCausalLM.from_pretrained(place).eval() for place in (adapter, tiny_llama))
    written = model.generate(**batch, max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert written.shape[1] > batch["input_ids"].shape[1]
    with torch.no_grad():
        assert not torch.equal(model(**batch).logits, base(**batch).logits)


@needs_trl
@pytest.mark.parametrize("command", ["dpo", "kto", "sft"])
def test_trl_trains_on_preferences_verdicts_and_calls_of_tools(trained, tiny_llama, command):
    before = load_file(tiny_llama / "model.safetensors")
    after = load_file(trained / command / "model" / "model.safetensors")
    assert any(
        not torch.equal(weight.float(), after[name].float()) for name, weight in before.items() if name in after
    )


def test_the_template_for_base_models_ends_answers_and_leaves_nothing_to_escape(tiny_llama):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = (FINETUNE / "chat_template.jinja").read_text()
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{ 1 }} <b>"},
             {"role": "assistant", "content": "Two\nlines"}]  # fmt: skip
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    assert whole == "### System:\nBe brief.\n### User:\n{{ 1 }} <b>\n### Assistant:\nTwo\nlines<|end|>\n"
    prompt = tokenizer.apply_chat_template(turns[:2], tokenize=False, add_generation_prompt=True)
    assert whole.startswith(prompt) and whole.removeprefix(prompt) == "Two\nlines<|end|>\n"
