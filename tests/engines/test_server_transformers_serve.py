"""The server engine against `transformers serve` with the demonstration model."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.server.connecting import Endpoint, connect
from self_instruct.engines.server.engine import OpenAIEngine, Patience
from self_instruct.errors import UserError
from tests.support.engine_runs import complete
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.runs import ROOT, environment, generate, rows

GREEDY = Sampling(max_new_tokens=40, temperature=0)
TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
SAMPLES = '{"generation_config": "{\\"do_sample\\": true, \\"top_k\\": 0}"}'
PROMPTS = ["You are writing tasks.\n###\n", "Tasks about lists.\n###\n", ""]


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """Serve the demonstration model with a chat template; return the address and the model."""
    model = tmp_path_factory.mktemp("model") / "demo"
    shutil.copytree(ROOT / "demo_model", model)
    settings = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEMPLATE}))
    port = free_port()
    command = [
        Path(sys.executable).with_name("transformers"),
        "serve",
        model,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    log = model.with_name("log")
    with (
        log.open("wb") as file,
        subprocess.Popen([*command, "--device", "cpu"], env=environment(), stdout=file, stderr=file) as process,
    ):
        try:
            wait_until(lambda: process.poll() is not None or healthy(port))
            assert process.poll() is None, log.read_text()
            yield f"http://127.0.0.1:{port}", str(model)
        finally:
            process.kill()


def healthy(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
    except OSError:
        return False


def engine_of(served: tuple[str, str], sampling: Sampling, concurrency: int = 4, **options) -> OpenAIEngine:
    return connect(Endpoint([served[0]], served[1], **options), sampling, Patience(concurrency=concurrency))


def request(index: int, prompt: str, opening: str = "1. Instruction:\n") -> Request:
    return Request(index, prompt, opening, ("\n###",), f"42:{index}")


def test_greedy_completions_equal_those_of_the_local_engine(served):
    model, tokenizer, revision = load_model(served[1])
    held = HuggingFaceEngine(model, tokenizer, revision, GREEDY, chat_template="never")
    expected = complete(held, [request(i, prompt) for i, prompt in enumerate(PROMPTS)])
    asked = engine_of(served, GREEDY, kind="completions")
    found = complete(asked, [request(i, prompt) for i, prompt in enumerate(PROMPTS)])
    asked.close()
    for index, item in found.items():
        assert (item.text, item.finish_reason) == (expected[index].text, expected[index].finish_reason)
        assert item.prompt_tokens == expected[index].prompt_tokens and not item.usage.estimated
    assert {item.finish_reason for item in found.values()} <= {"stop", "length"}


def test_a_chat_prompt_is_rendered_by_the_servers_template(served):
    asked = engine_of(served, GREEDY)
    assert asked.model_revision == "chat-words"
    found = complete(asked, [request(0, PROMPTS[0])])[0]
    message = asked.form.prompt(PROMPTS[0], "1. Instruction:\n")["messages"][0]["content"]
    asked.close()
    plain = engine_of(served, GREEDY, kind="completions")
    expected = complete(plain, [request(0, message + "\n", opening="")])[0]
    plain.close()
    assert found.prompt_tokens == expected.prompt_tokens
    assert found.text == asked.form.read(expected.text, "1. Instruction:\n")
    with pytest.raises(UserError, match="continue_final_message"):
        engine_of(served, GREEDY, kind="chat", continuation="prefix")


def test_seeds_determine_the_samples_and_unknown_fields_are_refused(served):
    sampling = Sampling(max_new_tokens=20, temperature=1.0)
    texts = []
    for _ in range(2):
        asked = engine_of(served, sampling, concurrency=1, kind="completions", extra=SAMPLES)
        texts.append({i: item.text for i, item in complete(asked, [request(i, PROMPTS[0]) for i in range(3)]).items()})
        asked.close()
    assert texts[0] == texts[1] and len(set(texts[0].values())) == 3
    with pytest.raises(UserError, match=r"as asked .*'top_k'"):
        engine_of(served, Sampling(20, top_k=5), kind="completions")


def test_a_complete_run(served, tmp_path):
    result = generate(
        "--engine", "openai", "--api_base", served[0], "--api_model", served[1], "--api_endpoint", "completions",
        "--api_extra_body", SAMPLES, "--model_name_or_path", served[1], "--batch_dir", tmp_path / "run",
        "--seed_tasks_path", ROOT / "seeds" / "code.jsonl", "--num_prompt_instructions", 3, "--max_new_tokens", 200,
        "--num_instructions_to_generate", 3, "--max_requests", 12,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    records = rows(tmp_path / "run" / "machine_generated_instructions.jsonl")
    assert len(records) == 3, result.stdout
    entries = rows(tmp_path / "run" / "completions.jsonl")
    assert all(entry["usage"]["prompt_tokens"] == entry["prompt_tokens"] > 0 for entry in entries)
