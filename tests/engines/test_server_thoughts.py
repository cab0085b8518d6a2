"""Thoughts in the answers of servers, played by a test server."""

import json

import pytest

from self_instruct.engines.base import Sampling
from self_instruct.engines.server.answers import read_answer
from self_instruct.engines.server.connecting import Endpoint, connect
from self_instruct.engines.server.form import Form
from tests.engines.test_server_engine import QUICK, SAMPLING, complete, request
from tests.support.endpoint_server import EndpointServer


def body(content, reason="stop", hidden=None, **more):
    usage = {"prompt_tokens": 9, "completion_tokens": 60}
    details = {} if hidden is None else {"completion_tokens_details": {"reasoning_tokens": hidden}}
    message = {"role": "assistant", "content": content, **more}
    return {"choices": [{"index": 0, "finish_reason": reason, "message": message}], "usage": {**usage, **details}}


def asked(answer, number=1, **options):
    with EndpointServer(answer=answer) as server:
        engine = connect(Endpoint([server.url], "m", kind="chat", **options), SAMPLING, QUICK)
        found = complete(engine, [request(at, stop=("\n3.",)) for at in range(number)])
    return found, [sent for sent in server.bodies if sent.get("max_tokens") != 1]


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        (body("Sort.", reasoning_content="a plan"), "Sort.", "a plan"),
        (body("Sort.", reasoning="a plan"), "Sort.", "a plan"),
        (body("Sort.", reasoning=None, thinking=[{"type": "text", "text": "a plan"}]), "Sort.", "a plan"),
        (body([{"type": "thinking", "thinking": [{"type": "text", "text": "a plan"}]}, {"type": "text", "text": "Sort."}]),
         "Sort.", "a plan"),
        (body(None, reasoning_content="a plan"), "", "a plan"), (body("", "length", hidden=60), "", None),
        (body(None, "stop", hidden=60), "", None), (body("Sort.", reasoning={"effort": "low"}), "Sort.", None),
        (body("<think>a\n3. x</think>Sort.\n3. y"), "<think>a\n3. x</think>Sort.", None),
    ],
)  # fmt: skip
def test_thought_is_separated_from_the_text_and_the_request_is_sent_once(message, text, reasoning):
    found, sent = asked(message)
    assert (found[0].text, found[0].reasoning, len(sent)) == (text, reasoning, 1)
    assert (found[0].reasoning_tokens or 0) <= found[0].completion_tokens == 60


def test_reasoning_tokens_are_those_that_the_server_counts():
    found, _ = asked(body("Sort.", reasoning_content="a plan", hidden=50))
    assert found[0].reasoning_tokens == 50
    for wrong in (-1, "many", 10**9, None, True):
        answer = read_answer(json.dumps(body("Sort.", hidden=wrong)).encode(), True, str)
        assert answer.reasoning_tokens in (None, 60)


def test_tokens_up_to_the_limit_without_a_text_count_as_a_hidden_thought():
    assert asked(body("", "length"))[0][0].reasoning_tokens == 60
    assert asked(body("", "stop"))[0][0].reasoning_tokens is None
    elsewhere = {**body("Sort."), "usage": {"prompt_tokens": 9, "completion_tokens": 60, "reasoning_tokens": 7}}
    assert asked(elsewhere)[0][0].reasoning_tokens == 7


def test_a_request_without_text_or_thought_in_its_answer_is_retried():
    with EndpointServer(answer=body(None)) as server:
        engine = connect(Endpoint([server.url], "m", kind="chat"), SAMPLING, QUICK.__class__(1, 20, 30, 4))
        found = complete(engine, [request(0)])
    assert found[0].finish_reason == "error" and "no choice with a text" in found[0].error


def test_stop_texts_are_not_sent_once_the_model_has_thought():
    with EndpointServer(answer=body("Sort.\n3. y", reasoning_content="a plan")) as server:
        engine = connect(Endpoint([server.url], "m", kind="chat"), SAMPLING, QUICK)
        engine.submit([request(0, stop=("\n3.",))])
        assert engine.poll()[0].text == "Sort."
        found = complete(engine, [request(1, stop=("\n3.",))])
    assert found[1].text == "Sort." and ["stop" in sent for sent in server.bodies[-2:]] == [True, False]


def test_template_variables_are_sent_unless_the_server_refuses_them(caplog):
    _, sent = asked(body("Sort."), template={"enable_thinking": False})
    assert sent[0]["chat_template_kwargs"] == {"enable_thinking": False}
    with EndpointServer(answer=body("Sort."), refuses=("chat_template_kwargs",)) as server:
        engine = connect(
            Endpoint([server.url], "m", kind="chat", template={"enable_thinking": False}), SAMPLING, QUICK
        )
        assert complete(engine, [request(0)])[0].text == "Sort."
    assert "chat_template_kwargs" not in server.bodies[-1] and "does not take --chat_template_kwargs" in caplog.text


def test_opening_is_searched_after_the_thought():
    form = Form("m", True, False, Sampling(9), {}, {})
    draft = "<think>2. Task:\nA draft" + " more" * 200 + "</think>"
    assert form.read(f"{draft}\nSure:\n2. Task:\nSort.", "2. Task:\n") == f"{draft}Sort."
    assert form.read("Sure:\n2. Task:\nSort.", "2. Task:\n") == "Sort."
