"""The server engine, with a test server that has every kind of fault."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from self_instruct.engines.base import EngineLost, Request, Sampling
from self_instruct.engines.server.connecting import Endpoint, connect
from self_instruct.engines.server.engine import OpenAIEngine, Patience
from self_instruct.errors import UserError
from tests.support.endpoint_server import FAULTS, EndpointServer
from tests.support.processes import wait_until

SAMPLING = Sampling(max_new_tokens=64)
QUICK = Patience(retries=12, timeout=20, wait=30, concurrency=64)


def request(index: int, prompt: str | None = None, stop: tuple[str, ...] = ()) -> Request:
    return Request(index, f"prompt {index}" if prompt is None else prompt, ".", stop, f"42:{index}")


def engine_of(
    *servers: EndpointServer,
    patience: Patience = QUICK,
    several: bool = False,
    sampling: Sampling = SAMPLING,
    **options,
) -> OpenAIEngine:
    described = {"kind": "completions", **options}
    return connect(Endpoint([server.url for server in servers], "m", **described), sampling, patience, several)


class Later:
    """The clock of an engine's event loop: real time, and as much more as the test adds."""

    def __init__(self, engine: OpenAIEngine) -> None:
        self._engine, self._ahead = engine, 0.0
        engine._loop.time = lambda: time.monotonic() + self._ahead

    def add(self, seconds: float) -> None:
        self._ahead += seconds
        self._engine._loop.call_soon_threadsafe(lambda: None)  # it looks at its clock


def complete(engine: OpenAIEngine, requests: list[Request]) -> dict:
    found = {}
    try:
        engine.submit(requests)
        while completions := engine.poll():
            for item in completions:
                assert item.request not in found, "a request ended twice"
                found[item.request] = item
    finally:
        engine.close()
    return found


def expected(index: int, at: int = 0) -> str:
    return f" {f'prompt {index}.'[::-1]} {at}"


def test_each_of_600_requests_ends_once_with_its_own_text_if_a_fifth_of_answers_fail():
    with EndpointServer(seed=3) as server:
        engine = engine_of(server)
        server.behaviour.faults = 0.2
        found = complete(engine, [request(i) for i in range(600)])
    assert sorted(found) == list(range(600))
    assert {index: item.text for index, item in found.items()} == {i: expected(i) for i in range(600)}
    assert set(server.faults) == set(FAULTS) and server.faults.total() > 100
    # Every request got exactly one good answer, so slow answers ("drip") were not requested again.
    good = Counter({prompt: n for prompt, n in server.answered.items() if prompt.startswith("prompt ")})
    assert len(good) == 600 and good.total() == 600
    assert sum(item.usage.completion_tokens for item in found.values()) >= 600 * 5


def test_concurrency_grows_with_successful_answers_and_shrinks_on_overload():
    with EndpointServer(latency=0.2) as server:
        engine = engine_of(server)
        complete(engine, [request(i) for i in range(250)])
        assert engine.servers.all[0].limit > 32 and 16 < server.peak <= 64
        server.behaviour.latency = 0.02
        limited = engine_of(server, patience=replace(QUICK, concurrency=3))
        server.peak = 0
        complete(limited, [request(i) for i in range(30)])
        assert server.peak == 3
        halved = engine_of(server)
        server.behaviour.faults, server.behaviour.kinds = 0.5, ("429",)
        complete(halved, [request(i) for i in range(60)])
        assert halved.servers.all[0].limit < 8


@pytest.mark.parametrize("choices", [99, 3, 1])
def test_requests_that_share_a_prompt_are_sent_together_and_missing_choices_are_requested_again(choices):
    with EndpointServer(choices=choices) as server:
        engine = engine_of(server, several=True)
        requests = [replace(request(i), prompt=f"prompt {i - i % 4}") for i in range(24)]
        found = complete(engine, requests)
    assert sorted(found) == list(range(24))
    bodies = [body for body in server.bodies if body["prompt"].startswith("prompt ")]
    assert all(item.prompt_tokens == 10 and item.completion_tokens == 5 for item in found.values())
    if choices == 99:
        assert [body["n"] for body in bodies] == [4] * 6
        assert sum(item.usage.prompt_tokens for item in found.values()) == 60
        assert {found[i].text for i in range(4)} == {expected(0, at) for at in range(4)}
    assert sum(item.usage.prompt_tokens for item in found.values()) == 10 * len(bodies)
    assert server.answered.total() == 24 + min(2, choices), "and those of the probe"


def test_unsupported_optional_fields_are_not_sent_again():
    with EndpointServer(refuses=("n", "seed")) as server:
        found = complete(engine_of(server, several=True), [request(i, "the same", ("###",)) for i in range(3)])
        assert len(found) == 3 and {item.finish_reason for item in found.values()} == {"stop"}
        assert not {"n", "seed"} & set(server.bodies[-1]) and server.bodies[-1]["stop"] == ["###"]
        server.behaviour.refuses = ("presence_penalty",)
        with pytest.raises(UserError, match=r"--api_model m as asked .*'presence_penalty'"):
            engine_of(server, sampling=replace(SAMPLING, presence_penalty=0.5))


def test_newer_apis_get_the_token_limit_under_its_new_name():
    with EndpointServer(status=400, said="Use 'max_completion_tokens' instead of 'max_tokens'.") as server:
        with pytest.raises(UserError, match="max_completion_tokens"):
            engine_of(server, kind="chat")
        assert [("max_tokens" in body, "max_completion_tokens" in body) for body in server.bodies] == [
            (True, False), (False, True),
        ]  # fmt: skip


def test_auto_uses_chat_if_the_server_supports_it():
    with EndpointServer() as server:
        engine = engine_of(server, kind="auto")
        assert engine.model_revision == "chat-words"
        found = complete(engine, [request(0, "Three tasks.\n")])
        assert server.bodies[-1]["messages"][0]["content"].startswith("Three tasks.\n\nGo on with the list.")
        assert len(found) == 1
        server.behaviour.paths = ("/v1/completions",)
        engine = engine_of(server, kind="auto")
        assert engine.model_revision == "completions"
        engine.close()


@pytest.mark.parametrize(
    ("choice", "reason", "error"),
    [
        ({"text": "a b", "finish_reason": "length"}, "length", None),
        ({"text": "a b", "finish_reason": "eos_token"}, "stop", None),
        ({"text": "a b", "finish_reason": None}, "stop", None),
        ({"text": "a", "finish_reason": "content_filter"}, "error", "content filter"),
        ({"text": "a", "finish_reason": "tool_calls"}, "error", "ended the completion: tool_calls"),
        ({"text": "one ### two", "finish_reason": "length"}, "stop", None),
        ({"text": None, "finish_reason": "length"}, "length", None),
        ({"text": "", "finish_reason": "stop", "refusal": "I won't."}, "error", "refused: I won't."),
        ({"text": None, "finish_reason": "stop"}, "error", "failed 3 times; the last time: the answer has no choice"),
        ({"text": 7, "finish_reason": "stop"}, "error", "no choice with a text"),
        ({"text": "a", "finish_reason": "abort"}, "error", "no choice with a text"),
    ],
)  # fmt: skip
def test_finish_reasons_and_errors_of_completions(choice, reason, error):
    with EndpointServer() as server:
        engine = engine_of(server, patience=replace(QUICK, retries=2))
        server.behaviour.answer = {"choices": [choice]}
        found = complete(engine, [request(0, stop=("###",))])[0]
    assert found.finish_reason == reason
    assert error in found.error if error else found.error is None
    if reason != "error":
        assert found.text == ("one " if "###" in (choice["text"] or "") else choice["text"] or "")
        assert found.usage.estimated and found.completion_tokens == -(-len(choice["text"] or "") // 3)


def test_a_refused_request_ends_alone_with_the_servers_message():
    with EndpointServer() as server:
        engine = engine_of(server)
        engine.submit([request(0)])
        assert engine.poll()[0].finish_reason == "stop"
        server.behaviour.status, server.behaviour.said = 400, "This model's maximum context length is 4096 tokens."
        engine.submit([request(1)])
        refused = engine.poll()[0]
        assert (
            refused.finish_reason == "error"
            and "refused the request: status 400: This model's maximum" in refused.error
        )
        assert len(server.bodies) == 3
        server.behaviour.status = 200
        assert complete(engine, [request(2)])[2].text == expected(2)


def test_a_server_that_never_answers_in_time_is_reported():
    with EndpointServer() as server:
        engine = engine_of(server, patience=replace(QUICK, timeout=1000.0, retries=1))
        clock = Later(engine)
        server.behaviour.faults, server.behaviour.kinds = 1.0, ("drip",)
        server.behaviour.answer = {"choices": [{"text": "x" * 10**6, "finish_reason": "stop"}]}
        engine.submit([request(0)])
        for tries in (1, 2):
            wait_until(lambda tries=tries: len(server.bodies) == 1 + tries)
            for _ in range(11):
                wait_until(lambda seen=server.pieces: server.pieces > seen)  # each piece comes within the limit
                clock.add(100)
        found = complete(engine, [])[0]
    assert found.error == "failed 2 times; the last time: no answer within 1000 seconds"


def test_all_requests_wait_as_long_as_retry_after_says():
    with EndpointServer() as server:
        engine = engine_of(server)
        server.behaviour.status, server.behaviour.headers = 429, {"Retry-After": "1"}
        engine.submit([request(i) for i in range(40)])
        # Measured by the server, because a slow client can only send later, never earlier.
        wait_until(lambda: server.times and time.monotonic() - server.times[0] >= 1)
        server.behaviour.status = 200
        asked = [moment for moment in list(server.times) if moment - server.times[0] < 1]
        assert len(asked) <= 1 + 8, "only requests that were already active"
        found = complete(engine, [])
    assert len(found) == 40 and all(item.finish_reason == "stop" for item in found.values())


def test_earlier_completions_are_returned_before_a_dead_server_raises_engine_lost():
    with EndpointServer() as server:
        engine = engine_of(server, patience=replace(QUICK, wait=1.0))
        engine.submit([request(0)])
        wait_until(lambda: not engine._finished.empty())
    engine.submit([request(i) for i in range(1, 20)])
    found = engine.poll()
    assert [item.request for item in found] == [0]
    with pytest.raises(
        EngineLost, match=r"no server has answered for .* cannot be reached .* run the same command again to continue"
    ):
        while completions := engine.poll():
            found += completions
    engine.interrupt()
    assert engine.poll() == [] and len(found) == 1
    engine.close()


def test_requests_succeed_once_the_server_is_back():
    with EndpointServer() as server:
        engine = engine_of(server)
    engine.submit([request(i) for i in range(20)])
    wait_until(lambda: engine.servers.all[0].failing_since is not None)
    with EndpointServer(port=server.port):
        found = complete(engine, [])
    assert {index: item.text for index, item in found.items()} == {i: expected(i) for i in range(20)}


def test_several_servers_share_the_load_and_a_failing_one_gets_a_pause():
    with EndpointServer(latency=0.01) as first, EndpointServer(latency=0.01) as second:
        engine = engine_of(first, second)
        engine.submit([request(i) for i in range(160)])
        seen = 0
        while seen < 160:
            seen += len(engine.poll())
        assert min(len(first.bodies), len(second.bodies)) > 40
        second.behaviour.status = 503
        before = len(second.bodies)
        found = complete(engine, [request(i) for i in range(160, 360)])
        assert len(found) == 200 and len(second.bodies) - before <= 64 + 8


def test_a_rejected_key_and_an_unknown_model_are_reported_at_once(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-the-right-one-0123")
    with EndpointServer(key="sk-right") as server:
        with pytest.raises(UserError, match="does not accept the key") as caught:
            engine_of(server)
        assert "[key]" in str(caught.value) and "sk-not" not in str(caught.value)
        server.behaviour.key, server.behaviour.model = None, "another"
        with pytest.raises(UserError, match=r"--api_model m as asked .*The model `m` does not exist"):
            engine_of(server)


def test_a_suspended_account_ends_the_run_and_not_single_requests():
    with EndpointServer() as server:
        engine = engine_of(server)
        server.behaviour.answer = None
        server.behaviour.status, server.behaviour.said = 403, "suspended"
        engine.submit([request(0)])
        with pytest.raises(EngineLost, match="does not accept the key"):
            engine.poll()
        engine.close()


def test_interruption_ends_a_running_poll():
    with EndpointServer() as server:
        engine = engine_of(server)
        server.behaviour.latency = 30
        engine.submit([request(0)])
        engine._loop.call_soon_threadsafe(engine._loop.call_later, 0.2, engine.interrupt)
        assert engine.poll() == []
        engine.close()
        assert not engine._thread.is_alive()


def test_text_that_cannot_be_sent_ends_as_an_error():
    with EndpointServer() as server:
        found = complete(engine_of(server), [request(0, "half \ud800 a sign"), request(1, "zero \0")])
    assert found[1].finish_reason == "stop" and found[0].finish_reason in ("error", "stop")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"addresses": []}, "needs --api_base"),
        ({"addresses": ["localhost:8000"]}, "must look like"),
        ({"addresses": ["http://me:secret@h/v1"]}, "holds more than an address"),
        ({"model": None}, "needs --api_model"),
        ({"key_variable": "sk-abc"}, "never the key itself"),
        ({"key_variable": "NOT_SET_ANYWHERE"}, "is not set"),
        ({"extra": "{"}, "is not JSON"),
        ({"extra": "[1]"}, "must be a JSON object"),
        ({"extra": '{"n": 3}'}, "sets n"),
        ({"extra": '{"more": [{"API-Key": "abc"}]}'}, "holds a key, which would be written to run.yaml"),
        ({"extra": '{"a": NaN}'}, "is not JSON"),
    ],
)
def test_mistakes_are_reported_before_any_request_is_sent(options, message):
    described = {"addresses": ["http://127.0.0.1:9/v1"], "model": "m", **options}
    with pytest.raises(UserError, match=message) as caught:
        connect(Endpoint(**described), SAMPLING, replace(QUICK, wait=0.1))
    assert "secret" not in str(caught.value) and "sk-abc" not in str(caught.value)
