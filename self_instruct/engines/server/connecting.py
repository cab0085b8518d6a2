"""From what a user says of a server to an engine that has been answered once."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from self_instruct.engines.base import Sampling, TokenCounter
from self_instruct.engines.server.client import addresses, hider, read_key
from self_instruct.engines.server.engine import OpenAIEngine, Patience
from self_instruct.engines.server.form import Form
from self_instruct.engines.server.probing import probe
from self_instruct.engines.server.reader import EndpointReader
from self_instruct.errors import UserError

_FOR_SERVERS = {
    "presence_penalty": "use --repetition_penalty", "frequency_penalty": "use --repetition_penalty",
    "max_usage_tokens": "use --max_tokens", "max_cost": "use --max_tokens or --max_hours",
    "price_per_million_tokens": "--plan takes --gpu_hour_price",
}  # fmt: skip
_KEYS = ("api_key", "apikey", "authorization", "password", "secret", "access_token", "auth_token")


@dataclass(frozen=True)
class Endpoint:
    """A server as the user describes it: `kind` is "auto", "completions" or "chat", `continuation` "words" or "prefix".
    `penalties` are sent where they are not 0, `extra` is a JSON object of more fields.
    """

    addresses: Sequence[str]
    model: str | None
    key_variable: str = "OPENAI_API_KEY"
    kind: str = "auto"
    continuation: str = "words"
    context_length: int | None = None
    penalties: Mapping[str, float] = field(default_factory=dict)
    extra: str | None = None


def connect(
    endpoint: Endpoint,
    sampling: Sampling,
    patience: Patience,
    several: bool = False,
    local: Callable[[], TokenCounter] | None = None,
    on_tokens: Callable[[int], None] = lambda tokens: None,
) -> OpenAIEngine:
    """The engine, once a server has answered a first request of one token. `several` is whether prompts will be completed
    several times, `local` loads the reader of a tokenizer that counts as the model's does.

    Raises `UserError` for what cannot work, and `EngineLost` if no server answers in time.
    """
    urls, key = addresses(endpoint.addresses), read_key(endpoint.key_variable)
    if not endpoint.model:
        raise UserError("--engine openai needs --api_model, the name by which the server knows the model")
    extra = read_extra(endpoint.extra, hider(key))
    penalties = {name: value for name, value in endpoint.penalties.items() if value}

    def form(chat: bool) -> Form:
        return Form(endpoint.model or "", chat, endpoint.continuation == "prefix", sampling, penalties, extra)

    reader = EndpointReader(endpoint.context_length, local() if local else None)
    forms = {"auto": [form(True), form(False)], "chat": [form(True)], "completions": [form(False)]}[endpoint.kind]
    engine = OpenAIEngine(urls, key, hider(key), forms[0], sampling, reader, patience, on_tokens)
    try:
        refusals = []
        for engine.form in forms:
            refusal = engine.wait_for(_first_answer(engine, sampling, patience, several, hider(key)))
            if refusal is None:
                return engine
            refusals.append(f"{'chat' if engine.form.chat else 'completions'}: {refusal}")
        raise UserError(
            f"the server at --api_base does not serve --api_model {endpoint.model} as asked ({'; '.join(refusals)}); leave out "
            "or change what it names"
        )
    except BaseException:
        engine.close()
        raise


def read_extra(text: str | None, hide: Callable[[str], str]) -> dict[str, Any]:
    """The fields of --api_extra_body. Raises `UserError` if it is no JSON object, or holds what `hide` takes out of a text."""
    try:
        fields = json.loads(text) if text else {}
        json.dumps(fields, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise UserError(f'--api_extra_body is no JSON ({error}); it must be an object, as {{"top_k": 40}}') from None
    if not isinstance(fields, dict):
        raise UserError('--api_extra_body must be a JSON object, as {"top_k": 40}')
    if (text and hide(text) != text) or _named_as_keys(fields):
        raise UserError(
            "--api_extra_body holds a key, which would stand in run.yaml; keys belong into the environment variable that "
            "--api_key_env names"
        )
    if taken := sorted({"model", "prompt", "messages", "n", "stream"} & set(fields)):
        raise UserError(f"--api_extra_body sets {taken[0]}, which is the engine's business; leave it out")
    return fields


def endpoint_for(chat_template: str, kind: str) -> str:
    """Which endpoint is asked where prompts are to be sent through the model's chat template "always", "never" or, with "auto",
    as `kind` says. Raises `UserError` where both were said and differ.
    """
    wanted = {"auto": kind, "always": "chat", "never": "completions"}[chat_template]
    if kind not in ("auto", wanted):
        raise UserError(
            f"--chat_template {chat_template}, which a preset may have set, asks for --api_endpoint {wanted}, but {kind} is "
            "given; give --chat_template auto too"
        )
    return wanted


def check_engine(engine: str, options: Mapping[str, Any]) -> None:
    """Raises `UserError` for an option that only a server can follow, if none is asked."""
    given = [name for name in _FOR_SERVERS if options[name]]
    if engine != "openai" and given:
        raise UserError(
            f"--{given[0]} is for --engine openai, but the engine is {engine}; {_FOR_SERVERS[given[0]]}, or leave it out"
        )


def check_given(bases: Sequence[str], extra: str | None, hide: Callable[[str], str]) -> None:
    """Raises `UserError` for addresses and fields that cannot be used, or would bring a secret into run.yaml, whether a server
    will be asked or not. `hide` takes secrets out of a text.
    """
    if bases:
        addresses(bases)
    read_extra(extra, hide)


def _named_as_keys(content: Any) -> bool:
    """Whether something in a JSON value, at any depth, is named as a key or a password."""
    if isinstance(content, list):
        return any(map(_named_as_keys, content))
    if not isinstance(content, dict):
        return False
    return any(name.lower().replace("-", "_") in _KEYS or _named_as_keys(value) for name, value in content.items())


async def _first_answer(
    engine: OpenAIEngine, sampling: Sampling, patience: Patience, several: bool, hide: Callable[[str], str]
) -> str | None:
    """What the first server that answers refuses, or None."""
    one = replace(sampling, max_new_tokens=1)
    asking = [
        asyncio.ensure_future(
            probe(server, engine.form, one, several, patience.timeout, patience.wait, hide)
        )
        for server in engine.servers.all
    ]  # fmt: skip
    try:
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
