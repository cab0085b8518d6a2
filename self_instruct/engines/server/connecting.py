"""Connect to the servers that the user describes: return an engine once one of them has answered a first request."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from self_instruct.engines.base import EngineLost, Sampling, TokenCounter
from self_instruct.engines.local.tokenizer import ModelReader
from self_instruct.engines.server.client import addresses, hider, read_key
from self_instruct.engines.server.engine import OpenAIEngine, Patience
from self_instruct.engines.server.form import Form
from self_instruct.engines.server.probing import probe, why_unconstrained
from self_instruct.engines.server.reader import EndpointReader
from self_instruct.engines.server.servers import Server
from self_instruct.errors import UserError

_KEYS = ("api_key", "apikey", "authorization", "password", "secret", "access_token", "auth_token")


@dataclass(frozen=True)
class Endpoint:
    """A server as the user describes it. `kind` is "auto", "completions" or "chat"; `continuation` is "words" or "prefix".

    `extra` is a JSON object with further fields. `template` has the variables of the chat template; None takes those of the
    local tokenizer.
    """

    addresses: Sequence[str]
    model: str | None
    key_variable: str = "OPENAI_API_KEY"
    kind: str = "auto"
    continuation: str = "words"
    context_length: int | None = None
    extra: str | None = None
    template: Mapping[str, Any] | None = None


def connect(
    endpoint: Endpoint,
    sampling: Sampling,
    patience: Patience,
    several: bool = False,
    local: Callable[[], TokenCounter | None] | None = None,
    turns: bool = False,
    on_tokens: Callable[[int], None] = lambda tokens: None,
) -> OpenAIEngine:
    """Return an engine after a server has answered a first request for one token.

    Of several servers, one that refuses the request is named and gets no others; one that is still starting gets requests as
    soon as it answers. `several` says whether prompts are completed more than once; `local` loads a counter with the model's
    own tokenizer. With `turns`, the model also writes the user's turn: this process renders its chat template, and the server
    must offer /v1/completions. Raises UserError if no server can serve the requests, and EngineLost if none answers in time.
    """
    urls, key = addresses(endpoint.addresses), read_key(endpoint.key_variable)
    if not endpoint.model:
        raise UserError("--engine openai needs --api_model, the name by which the server knows the model")
    extra = read_extra(endpoint.extra, hider(key))

    tokenizer = local() if local else None
    template = getattr(tokenizer, "template_arguments", {}) if endpoint.template is None else endpoint.template
    renderer = _with_template(tokenizer) if turns else None
    text_of = {"text_of": renderer.text_for_server} if renderer else {}

    def form(chat: bool) -> Form:
        prefix = endpoint.continuation == "prefix"
        return Form(endpoint.model or "", chat, prefix, sampling, extra, template, **text_of)

    reader = EndpointReader(endpoint.context_length, tokenizer)
    forms = {"auto": [form(True), form(False)], "chat": [form(True)], "completions": [form(False)]}[endpoint.kind]
    engine = OpenAIEngine(urls, key, hider(key), forms[0], sampling, reader, patience, on_tokens, renderer)
    one = replace(sampling, max_new_tokens=1)

    async def why_refused(server: Server, form: Form) -> str | None:
        asked = (server, form, one, several, patience.timeout, patience.wait, hider(key))
        reason = await probe(*asked, raw=True) if turns and form.chat else None
        reason = f"/v1/completions: {reason}" if reason else await probe(*asked)
        if reason is None and sampling.constrain:
            reason = await why_unconstrained(server, form, sampling, patience.timeout, hider(key))
        return reason

    try:
        refusals = engine.wait_for(_first_answer(engine, forms, why_refused))
        if any(server.ready for server in engine.servers.all):
            return engine
        if turns:
            raise UserError(
                "--recipe magpie needs the endpoint /v1/completions, where the model writes the user's turn, but the server at "
                f"--api_base does not offer it for --api_model {endpoint.model} ({'; '.join(refusals)}); use --recipe chat or "
                "another server"
            )
        raise UserError(
            f"the server at --api_base does not serve --api_model {endpoint.model} as asked ({'; '.join(refusals)}); remove "
            "or change the options that it names"
        )
    except BaseException:
        engine.close()
        raise


def _with_template(tokenizer: TokenCounter | None) -> ModelReader:
    """Return the tokenizer. Raises UserError if it is missing or has no chat template."""
    if not isinstance(tokenizer, ModelReader) or tokenizer.template is None:
        raise UserError(
            "--recipe magpie on a server needs the model's chat template on this machine, but "
            f"{'no tokenizer was found' if tokenizer is None else 'the tokenizer has none, or --chat_template is never'}; give "
            "--tokenizer_name_or_path, the folder or Hub id of the model's own tokenizer, or use --recipe chat"
        )
    return tokenizer


def read_extra(text: str | None, hide: Callable[[str], str]) -> dict[str, Any]:
    """Return the fields of --api_extra_body. Raises UserError if it is not a JSON object, or holds a key (see `hide`)."""
    try:
        fields = json.loads(text) if text else {}
        json.dumps(fields, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'--api_extra_body is not JSON ({error}); it must be an object, for example {{"top_k": 40}}'
        ) from None
    if not isinstance(fields, dict):
        raise UserError('--api_extra_body must be a JSON object, for example {"top_k": 40}')
    if (text and hide(text) != text) or _names_a_key(fields):
        raise UserError(
            "--api_extra_body holds a key, which would be written to run.yaml; put the key into the environment variable that "
            "--api_key_env names"
        )
    if taken := sorted({"model", "prompt", "messages", "n", "stream"} & set(fields)):
        raise UserError(f"--api_extra_body sets {taken[0]}, which the engine sets itself; leave it out")
    return fields


def endpoint_for(chat_template: str, kind: str) -> str:
    """Return the endpoint for --chat_template: chat for "always", completions for "never", `kind` for "auto".

    Raises UserError if --chat_template and --api_endpoint contradict each other.
    """
    wanted = {"auto": kind, "always": "chat", "never": "completions"}[chat_template]
    if kind not in ("auto", wanted):
        raise UserError(
            f"--chat_template {chat_template}, which a preset may have set, asks for --api_endpoint {wanted}, but {kind} is "
            "given; give --chat_template auto too"
        )
    return wanted


def check_given(bases: Sequence[str], extra: str | None, hide: Callable[[str], str]) -> None:
    """Raise UserError for addresses and fields that are unusable or would write a secret to run.yaml, for any engine.

    `hide` removes secrets from a text.
    """
    if bases:
        addresses(bases)
    read_extra(extra, hide)


def _names_a_key(content: Any) -> bool:
    """Return whether a JSON value has a field, at any depth, that is named like a key or a password."""
    if isinstance(content, list):
        return any(map(_names_a_key, content))
    if not isinstance(content, dict):
        return False
    return any(name.lower().replace("-", "_") in _KEYS or _names_a_key(value) for name, value in content.items())


async def _first_answer(
    engine: OpenAIEngine, forms: Sequence[Form], why_refused: Callable[[Server, Form], Coroutine[Any, Any, str | None]]
) -> list[str]:
    """Send all servers a first request. The first answer decides the form; the others are admitted as they answer in it.

    Return the refusals of the servers. Raises the UserError or EngineLost of the first server that failed if no server
    answered or refused.
    """
    asking = {asyncio.ensure_future(_form_of(server, forms, why_refused)): server for server in engine.servers.all}
    refusals, failures = list[str](), list[Exception]()
    try:
        while asking:
            done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            for server, task in [(asking.pop(task), task) for task in done]:
                if isinstance(error := task.exception(), (UserError, EngineLost)):
                    failures.append(error)
                    continue
                form, reasons = task.result()
                refusals += reasons
                if form is not None:
                    engine.form, server.ready = form, True
                    break
            if any(server.ready for server in engine.servers.all):
                break
    finally:
        await _cancel(asking)
    if any(server.ready for server in engine.servers.all):
        for server in engine.servers.all:
            if not server.ready:
                engine.admit(server, _refusal(why_refused(server, engine.form)))
    elif failures and not refusals:
        raise failures[0]
    return refusals


async def _form_of(
    server: Server, forms: Sequence[Form], why_refused: Callable[[Server, Form], Coroutine[Any, Any, str | None]]
) -> tuple[Form | None, list[str]]:
    """Return the first form in which a server answers, or None and why it refuses each form."""
    reasons = []
    for form in forms:
        reason = await why_refused(server, form)
        if reason is None:
            return form, []
        reasons.append(f"{'chat' if form.chat else 'completions'}: {reason}")
    return None, reasons


async def _refusal(why_refused: Coroutine[Any, Any, str | None]) -> str | None:
    """Return why a server refuses or cannot be asked, or None."""
    try:
        return await why_refused
    except (UserError, EngineLost) as error:
        return str(error)


async def _cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
