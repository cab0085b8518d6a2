"""Whole runs against a server, through the launch script."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from self_instruct.engines import load_reader
from self_instruct.engines.server.reader import TEMPLATE_TOKENS
from self_instruct.errors import UserError
from self_instruct.generation.assembly import build_endpoint
from self_instruct.generation.config import parse_arguments
from tests.support.endpoint_server import EndpointServer
from tests.support.runs import IO, ROOT, SECONDS, dataset, generate, rows, start_copy

KEY = "sk-fake-0123456789abcdef"
SECRET = {"OPENAI_API_KEY": KEY, "SOURCE_DATE_EPOCH": "1750000000"}


def asking(server: EndpointServer, batch_dir: Path, *more: object) -> list[object]:
    return [
        "--engine", "openai", "--api_base", server.url, "--api_model", "m", "--api_endpoint", "completions",
        "--batch_dir", batch_dir, "--seed_tasks_path", ROOT / "seeds" / "code.jsonl", "--num_prompt_instructions", 4,
        "--num_instructions_to_generate", 60, "--rouge_threshold", 0.6, "--price_per_million_tokens", "100,400", *more,
    ]  # fmt: skip


def test_a_killed_run_ends_with_the_undisturbed_dataset_and_no_file_or_log_has_the_key(tmp_path):
    with EndpointServer(tasks=True, key=KEY, latency=0.02) as server:
        whole = generate(*asking(server, tmp_path / "whole"), **SECRET)
        assert whole.returncode == 0, whole.stderr
        server.behaviour.latency, server.behaviour.faults = 0.3, 0.2
        process = start_copy(IO, *asking(server, tmp_path / "run"), **SECRET)
        journal = tmp_path / "run" / "completions.jsonl"
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 5):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        said = process.communicate(SECONDS)
        assert process.returncode == -signal.SIGKILL
        before = journal.read_bytes().rsplit(b"\n", 1)[0]
        server.behaviour.latency = 0.02
        resumed = generate(*asking(server, tmp_path / "run"), **SECRET)
        assert resumed.returncode == 0, resumed.stderr
        assert journal.read_bytes().startswith(before) and "Continuing the run in" in resumed.stderr
        found, expected = dataset(tmp_path / "run"), dataset(tmp_path / "whole")
        assert found["machine_generated_instructions.jsonl"] == expected["machine_generated_instructions.jsonl"]
        assert found["rejected.jsonl"] == expected["rejected.jsonl"]
        entries = rows(journal)
        assert len({entry["request"] for entry in entries}) == len(entries) and not any(
            entry["error"] for entry in entries
        )

        refused = generate(*asking(server, tmp_path / "other"), OPENAI_API_KEY=KEY + "-wrong")
        assert (
            refused.returncode == 2
            and "does not accept the key" in refused.stderr
            and "Traceback" not in refused.stderr
        )
    report = json.loads((tmp_path / "run" / "report.json").read_bytes())
    usage = report["usage"]
    assert usage["prompt_tokens"] >= 10 * len(entries) and usage["estimated"] == 0
    assert usage["cost"] == (100 * usage["prompt_tokens"] + 400 * usage["completion_tokens"]) / 1e6
    assert f"{usage['prompt_tokens']:,} prompt tokens" in resumed.stdout
    record = rows(tmp_path / "run" / "machine_generated_instructions.jsonl")[0]["provenance"]
    assert (record["model"], record["model_revision"]) == ("m", "completions")
    logs = "".join([*said, *(text for ended in (whole, resumed, refused) for text in (ended.stdout, ended.stderr))])
    assert KEY not in logs
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 8 and not any(KEY.encode() in path.read_bytes() for path in written)


def test_budgets_and_a_dead_server_end_a_run_that_can_continue_later(tmp_path):
    with EndpointServer(tasks=True) as server:
        options = asking(server, tmp_path / "run", "--max_usage_tokens", 150)
        spent = generate(*options)
        assert spent.returncode == 0 and "Stopped: --max_usage_tokens 150 are spent (" in spent.stdout, spent.stderr
        usage = json.loads((tmp_path / "run" / "report.json").read_bytes())["usage"]
        assert 150 <= usage["prompt_tokens"] + usage["completion_tokens"] <= 165, "one request is 15"
        asked = len(server.bodies)
        assert generate(*options).returncode == 0 and len(server.bodies) == asked + 1, (
            "only the first, which sees who is there"
        )
        chat = generate(*asking(server, tmp_path / "run"), "--api_endpoint", "chat")
        assert chat.returncode == 2 and "--api_endpoint was 'completions' and is now 'chat'" in chat.stderr
    dead = generate(*asking(server, tmp_path / "run"), "--api_wait_minutes", 0.001)
    assert dead.returncode == 1 and "--api_wait_minutes" in dead.stderr and "Traceback" not in dead.stderr


def test_mistakes_are_reported_in_one_message(tmp_path):
    with EndpointServer() as server:
        for more, message in [
            (["--max_cost", 3, "--price_per_million_tokens", "free"], "--price_per_million_tokens is 'free'"),
            (["--chat_template", "always"], "asks for --api_endpoint chat, but completions is given"),
            (
                ["--engine", "scripted"],
                "--price_per_million_tokens is for --engine openai, but the engine is scripted",
            ),
        ]:
            result = generate(*asking(server, tmp_path / "run"), *more)
            assert result.returncode == 2 and message in result.stderr and "Traceback" not in result.stderr
            assert not (tmp_path / "run").exists()
        for more in (["--api_extra_body", f'{{"user": "{KEY}"}}'], ["--api_base", f"http://me:{KEY}@localhost:1"]):
            result = generate(
                "--batch_dir", tmp_path / "run", "--seed_tasks_path", ROOT / "seeds/code.jsonl", *more, **SECRET
            )
            assert (
                result.returncode == 2 and "would be written to run.yaml" in result.stderr and KEY not in result.stderr
            )
            assert not (tmp_path / "run").exists()
        ranks = generate(*asking(server, tmp_path / "run"), RANK="0", WORLD_SIZE="2")
        assert ranks.returncode == 2 and "needs one process" in ranks.stderr


def test_a_folder_with_only_a_tokenizer_counts_prompts_but_is_no_local_model(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copy(ROOT / "demo_model" / "tokenizer.json", folder)
    declared = json.loads((ROOT / "demo_model" / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**declared, "model_max_length": 512}))
    (folder / "model.gguf").write_bytes(b"GGUF")
    prompt = "1. Instruction:\nAdd two numbers.\n"
    exact = load_reader("huggingface", str(ROOT / "demo_model"), None)
    for weights, context in (("model.gguf", 512), ("pytorch_model.bin", exact.context_length)):
        (folder / weights).write_bytes(b"not read")
        with EndpointServer() as server:
            argv = [*map(str, asking(server, tmp_path / "run")), "--model_name_or_path", str(folder)]
            engine = build_endpoint(parse_arguments(argv, "A test."), lambda tokens: None)
        assert engine.prompt_tokens(prompt, "") == exact.prompt_tokens(prompt, "") + TEMPLATE_TOKENS
        assert engine.context_length == context
        engine.close()
        with pytest.raises(UserError, match=r"cannot read this GGUF file|model\.bin is a pickle"):
            load_reader("huggingface", str(folder), None)
        shutil.copy(ROOT / "demo_model" / "config.json", folder)
    (folder / "tokenizer.json").unlink()
    with EndpointServer() as server:
        result = generate(*asking(server, tmp_path / "run"), "--model_name_or_path", folder)
    assert result.returncode == 2 and "the folder must hold a tokenizer" in result.stderr
    assert "Traceback" not in result.stderr
