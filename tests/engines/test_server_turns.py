"""Magpie on a server: the model writes the user's turn at /v1/completions, from the chat template of a local tokenizer."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from self_instruct.engines.base import Request
from self_instruct.engines.local.tokenizer import ModelReader
from self_instruct.errors import UserError
from self_instruct.generation.config import Config
from self_instruct.generation.public import generate
from tests.support.endpoint_server import EndpointServer
from tests.support.runs import rows
from tests.support.tiny_models import build_tokenizer

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ message.content }}[end]\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
PREFIX = "<s>[user] "


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save two tokenizers, `chat` with a chat template and `plain` without one; return their directory."""
    folder = tmp_path_factory.mktemp("tokenizers")
    tokenizer = build_tokenizer(bos_token="<s>")
    tokenizer.save_pretrained(folder / "plain")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder / "chat")
    return folder


def options(folder: Path, url: str, **more: Any) -> Config:
    given = {
        "engine": "openai", "recipe": "magpie", "api_base": [url], "api_model": "m", "batch_dir": str(folder), "horizon": 2,
        "max_requests": 6, "check_outputs": False, "api_wait_minutes": 0.1,
    }  # fmt: skip
    return Config(**{**given, **more})


@pytest.mark.parametrize("paths", [("/v1/completions", "/v1/chat/completions"), ("/v1/completions",)])
def test_the_server_writes_the_users_turn_and_answers_at_its_chat_endpoint_if_it_has_one(
    tokenizers: Path, tmp_path: Path, paths: tuple[str, ...]
) -> None:
    with EndpointServer(paths=paths, tasks=True) as server:
        made = options(
            tmp_path / "run", server.url, tokenizer_name_or_path=str(tokenizers / "chat"), magpie_opening="Count "
        )
        generate(made)
        generate(made)  # continues the run
    written = [row for row in rows(tmp_path / "run" / "completions.jsonl") if row.get("step") != 2]
    answered = [row for row in rows(tmp_path / "run" / "completions.jsonl") if row.get("step") == 2]
    asked = [body for body in server.bodies if body["max_tokens"] > 1]
    turns = [body for body in asked if body.get("prompt", "").endswith("[user] Count ")]
    assert sum(body.get("n", 1) for body in turns) == len(written) >= 2
    assert all(body["prompt"] == f"{PREFIX}Count " for body in turns)
    assert all(body["stop"] == ["[end]"] for body in turns) and answered
    others = [body for body in asked if body not in turns]
    if len(paths) == 2:
        assert all(body["messages"][0]["content"].startswith("Count ") for body in others)
    else:
        assert all(body["prompt"].startswith(f"{PREFIX}Count ") for body in others)
        assert all(body["prompt"].endswith("[end]\n[assistant] ") for body in others)
    assert len(others) == len(answered)
    assert yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())["chat_template"]["sha256"]


def test_one_request_asks_for_all_answers_to_a_task(tokenizers: Path, tmp_path: Path) -> None:
    with EndpointServer(paths=("/v1/completions", "/v1/chat/completions"), tasks=True) as server:
        more = {"tokenizer_name_or_path": str(tokenizers / "chat"), "num_answers": 3, "max_requests": 14}
        generate(options(tmp_path / "run", server.url, **more))
    asked = [body for body in server.bodies if body["max_tokens"] > 1 and "messages" in body]
    answered = [row for row in rows(tmp_path / "run" / "completions.jsonl") if row.get("step") == 2]
    assert len(asked) >= 2 and len({body["messages"][0]["content"] for body in asked}) == len(asked)
    assert [body["n"] for body in asked[:-1]] == [3] * (len(asked) - 1), "--max_requests may end the last one early"
    assert sum(body.get("n", 1) for body in asked) == len(answered)


@pytest.mark.parametrize(
    ("tokenizer", "more", "paths", "message"),
    [
        (None, {}, ("/v1/completions",), "no tokenizer was found; give --tokenizer_name_or_path"),
        (
            "plain",
            {},
            ("/v1/completions",),
            "the tokenizer has none, or --chat_template is never; give --tokenizer_name_or_path",
        ),
        ("chat", {"chat_template": "never"}, ("/v1/completions",), "--chat_template is never"),
        ("missing", {}, ("/v1/completions",), "--tokenizer_name_or_path .*missing"),
        ("chat", {}, ("/v1/chat/completions",), "needs the endpoint /v1/completions, .* status 404"),
        (
            "chat",
            {"api_endpoint": "chat"},
            ("/v1/chat/completions",),
            "needs the endpoint /v1/completions, .* status 404",
        ),
    ],
)
def test_without_the_template_or_the_endpoint_the_run_is_refused_before_it_generates(
    tokenizers: Path, tmp_path: Path, tokenizer: str | None, more: dict[str, Any], paths: tuple[str, ...], message: str
) -> None:
    given = {"tokenizer_name_or_path": str(tokenizers / tokenizer)} if tokenizer else {"api_model": str(tmp_path)}
    with EndpointServer(paths=paths) as server, pytest.raises(UserError, match=message):
        generate(options(tmp_path / "run", server.url, **given, **more))
    assert all(body["max_tokens"] == 1 for body in server.bodies)
    assert bool(server.bodies) == ("endpoint" in message) and not (tmp_path / "run" / "completions.jsonl").exists()


def test_a_beginning_of_sequence_token_that_servers_add_is_not_sent(tokenizers: Path) -> None:
    reader = ModelReader(str(tokenizers / "chat"), elsewhere=True)
    assert reader.text_for_server(Request(0, "Hi.", "", (), "s")) == "<s>[user] Hi.[end]\n[assistant] "
    tokenizer = reader._encoder._tokenizer
    ids = [tokenizer.bos_token_id, tokenizer.convert_tokens_to_ids("x")]
    reader._encoder._tokenizer = lambda text: {"input_ids": ids}
    reader._encoder._tokenizer.bos_token, reader._encoder._tokenizer.bos_token_id = "<s>", ids[0]
    assert reader.text_for_server(Request(0, "<s>[user] ", "Count", (), "s", raw=True)) == "[user] Count"
