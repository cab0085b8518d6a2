"""Send a server a first request for one token, to learn which endpoint and fields it supports and to report mistakes early.

Waits for a server that is down.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from self_instruct.engines.base import EngineLost, Request, Sampling
from self_instruct.engines.server.answers import BadAnswer, read_answer, read_object
from self_instruct.engines.server.faults import Fault, fault_of
from self_instruct.engines.server.form import PATTERN_FIELDS, SCHEMA_FIELD, Form
from self_instruct.engines.server.servers import Server, pause
from self_instruct.errors import UserError

TRIES = 3
_OPENING = "1. Instruction:\n"
_PATTERN = "[xyz]{8}"
_SCHEMA = {
    "type": "object", "properties": {"xyz": {"enum": [29, 31]}}, "required": ["xyz"], "additionalProperties": False
}  # fmt: skip
_PATTERN_TOKENS = 64
_log = logging.getLogger(__name__)


async def probe(
    server: Server,
    form: Form,
    sampling: Sampling,
    several: bool,
    timeout: float,
    wait: float,
    hide: Callable[[str], str],
    raw: bool = False,
) -> str | None:
    """Request one token and return why the server refuses, or None. Optional fields that it refuses are not sent again.

    With `raw`, the request goes to the completions endpoint even if the form is a chat. Raises UserError if the server rejects
    the key, and EngineLost if it has not answered after `wait` seconds.
    """
    # With an opening, so that a server that cannot continue a message refuses now.
    asked = [
        Request(at, "Write a line.\n", _OPENING, ("\n###",), f"probe:{at}", sampling, raw=raw)
        for at in range(1 + several)
    ]
    begun, times = time.monotonic(), 0
    while True:
        fields = form.fields(asked if form.takes_several() else asked[:1])
        fault = await _ask(server, fields, form.is_chat(asked[0]), timeout, hide)
        if fault is None:
            return None
        if fault.kind == "fatal":
            raise UserError(f"--api_base {server.url}: {fault.message}; export the key that --api_key_env names")
        if form.drop_refused_fields(fault.message, fields):
            continue
        times += 1
        # Servers report a missing endpoint, or a model that it does not support, in many ways.
        if fault.kind == "refused" or fault.status == 404 or (fault.kind == "again" and times >= TRIES):
            return fault.message
        if times == 1:
            _log.warning("%s: %s; waiting for it", server.url, fault.message)
        seconds = pause(times, fault.retry_after, max(0.0, wait - (time.monotonic() - begun)))
        if time.monotonic() - begun + seconds > wait:
            raise EngineLost(
                f"{server.url}: {fault.message}; gave up after {wait / 60:g} minutes (--api_wait_minutes)"
            )
        await asyncio.sleep(seconds)


async def why_unconstrained(
    server: Server, form: Form, sampling: Sampling, timeout: float, hide: Callable[[str], str]
) -> str | None:
    """Return why a server keeps neither to the pattern nor to the schema of a request, or None; then `form` sends them in the
    first field that the server enforces.

    Servers ignore fields that they do not know, so only an answer shows whether a pattern is enforced.
    """
    short = replace(sampling, max_new_tokens=_PATTERN_TOKENS)
    asked = Request(0, "Write a line.\n", "", (), "probe:pattern", short, pattern=_PATTERN, schema=json.dumps(_SCHEMA))
    said = list[str]()
    for field in [form.pattern_field] if form.pattern_field else [*PATTERN_FIELDS, SCHEMA_FIELD]:
        fields = {**form.fields([asked]), **form.constraint(asked, field)}
        chat = form.is_chat(asked)
        try:
            async with asyncio.timeout(timeout):
                answer = read_answer(await server.ask(fields, chat), chat, hide)
        except Exception as error:
            said.append(f"{field}: {fault_of(error, timeout, hide).message}")
            continue
        text = answer.choices[0].text.strip()
        if re.fullmatch(r'\{\s*"xyz"\s*:\s*(?:29|31)\s*\}' if field == SCHEMA_FIELD else _PATTERN, text):
            form.pattern_field = field
            return None
        wanted = "the schema of a number" if field == SCHEMA_FIELD else _PATTERN
        said.append(f"{field}: the answer to a request for {wanted} was {text[:40]!r}")
    return f"it does not enforce --constrain ({'; '.join(said)})"


async def _ask(
    server: Server, fields: dict[str, Any], chat: bool, timeout: float, hide: Callable[[str], str]
) -> Fault | None:
    try:
        async with asyncio.timeout(timeout):
            body = read_object(await server.ask(fields, chat), hide)
        if not isinstance(body.get("choices"), list):
            raise BadAnswer("the answer has no list of choices")
    except Exception as error:
        return fault_of(error, timeout, hide)
    return None
