"""Answers of hostile or broken servers: they are bounded, retried or refused, and never reveal the key."""

import gzip
import json
import logging
import re
from dataclasses import replace

import pytest

from self_instruct.engines.base import EngineLost
from self_instruct.engines.server.answers import read_answer
from self_instruct.engines.server.client import hider, most_bytes
from self_instruct.engines.server.servers import Server, pause, retry_after
from tests.engines.test_server_engine import QUICK, Later, complete, engine_of, request
from tests.support.endpoint_server import EndpointServer
from tests.support.processes import wait_until

KEY = "sk-proj-0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT"
IMPATIENT = replace(QUICK, retries=0, timeout=1000.0, wait=1.0)


def head(*fields: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()


def whole(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    return head(f"Content-Length: {len(body)}", *fields, status=status) + body


CHUNK = b"20000\r\n" + b" " * 0x20000 + b"\r\n"
GOOD = json.dumps({"choices": [{"text": "a", "finish_reason": "stop"}]}).encode()
BOMB = gzip.compress(b" " * 10**7)
NESTED = b'{"choices": ' + b"[" * 100_000
TWO_HOSTS = "Location: http://127.0.0.2:9/v1/completions"


@pytest.mark.parametrize(
    ("raw", "repeats", "error"),
    [
        (
            head("Transfer-Encoding: chunked") + CHUNK,
            True,
            "longer than 1,114,112 bytes",
        ),
        (
            head("Transfer-Encoding: chunked", status="400 X") + CHUNK,
            True,
            "longer than 1,114,112",
        ),
        (head("Content-Length: 99999999") + b" " * 0x20000, True, "longer than 1,114,112 bytes"),
        (head("Content-Length: 99999999") + b" ", False, "no answer within 1000 seconds"),
        (whole(BOMB, "Content-Encoding: gzip"), False, r"is compressed \(gzip\)"),
        (whole(BOMB, "Content-Encoding: gzip", status="400 X"), False, r"is compressed \(gzip\)"),
        (whole(GOOD, "Content-Encoding: deflate, gzip"), False, "is compressed"),
        (head("Transfer-Encoding: chunked") + b"ZZZ\r\nfoo", False, "failed 1 times"),
        (b"HTTP/1.1 " + b"9" * 100_000 + b"\r\n\r\n", False, "failed 1 times"),
        (b"no HTTP at all\r\n\r\n", False, "failed 1 times"),
        (head("X: " + "y" * 100_000), False, "failed 1 times"),
        (whole(NESTED), False, "is not JSON"),
        (whole(b"\xff\xfe"), False, "is not JSON"),
        (whole(b'{"choices": [' + b"9" * 5000 + b"]}"), False, "is not JSON"),
        (whole(b"", TWO_HOSTS, status="307 X"), False, "redirects requests to http://127.0.0.2:9, which is refused"),
        (whole(b"", TWO_HOSTS, status="308 X"), False, "which is refused"),
        (whole(b"", "Location: file:///etc/passwd", status="307 X"), False, "failed 1 times|refused"),
        (whole(b"", "Location: /v1/completions", status="307 X"), False, "failed 1 times"),
    ],
)
def test_every_bad_response_ends_the_request_and_not_the_engine(raw, repeats, error):
    with EndpointServer() as server:
        engine = engine_of(server, patience=IMPATIENT)
        server.behaviour.raw, server.behaviour.repeats = raw, repeats
        clock, asked = Later(engine), len(server.bodies)
        engine.submit([request(0)])
        if "no answer" in error:
            wait_until(lambda: len(server.bodies) > asked)
            clock.add(1000)
        found = engine.poll()[0]
        server.behaviour.raw, server.behaviour.repeats = None, False
        after = complete(engine, [request(1)])
    assert found.finish_reason == "error" and re.search(error, found.error), found.error
    assert after[1].finish_reason == "stop"


def test_redirects_on_the_same_host_are_followed_to_a_limit():
    with EndpointServer() as server:
        server.behaviour.raw = whole(b"", "Location: /v2/completions", status="307 X")
        with pytest.raises(EngineLost, match="Exceeded maximum allowed redirects"):
            engine_of(server, patience=replace(IMPATIENT, wait=0.05))
        assert len(server.bodies) == 4


def test_the_limit_in_bytes_grows_with_the_requested_tokens():
    assert most_bytes({"max_tokens": 64}) == (1 << 20) + 64 * 1024
    assert most_bytes({"max_completion_tokens": 64, "n": 4}) == (1 << 20) + 4 * 64 * 1024
    assert most_bytes({"max_tokens": -5}) == most_bytes({"max_tokens": "many"}) == 1 << 20


@pytest.mark.parametrize(("value", "seconds"), [("99999999", 600), ("1e300", 600), ("-5", 0), ("2", 2)])
def test_a_pause_that_a_server_asks_for_is_limited_by_api_wait_minutes(value, seconds):
    assert seconds <= pause(1, retry_after(value), 600) <= seconds + 1


@pytest.mark.parametrize("value", ["nan", "inf", "soon", "", "Wed, 99 Foo 99999 99:99:99 GMT", "9" * 5000])
def test_an_unreadable_retry_after_is_ignored(value):
    assert retry_after(value) is None


@pytest.mark.parametrize(
    "count", [10**400, 2**53, -1, 1.5, float("nan"), float("inf"), True, "5", None, [], {"a": 1}], ids=str
)
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_an_impossible_usage_is_replaced_by_an_estimate_and_logged_once(count, name, caplog):
    with EndpointServer() as server:
        engine = engine_of(server)
        usage = {"prompt_tokens": 1, "completion_tokens": 2, name: count}
        server.behaviour.answer = {"choices": [{"text": "abc", "finish_reason": "stop"}], "usage": usage}
        if count != count or count == float("inf"):
            server.behaviour.answer["usage"][name] = 1e300
        with caplog.at_level(logging.WARNING):
            found = complete(engine, [request(i) for i in range(3)])
    assert all(item.usage.estimated and item.usage.completion_tokens == 1 for item in found.values())
    assert caplog.text.count("tokens are estimated") == 1 and len(caplog.text) < 1000


def test_requests_to_a_server_that_processes_one_at_a_time_do_not_time_out(monkeypatch):
    with EndpointServer(lanes=1, latency=0.01) as server:
        engine = engine_of(server, patience=replace(QUICK, timeout=1000.0))
        clock, succeed = Later(engine), Server.record_success

        def work_on_the_next(self: Server, seconds: float) -> None:
            succeed(self, seconds)
            clock.add(100)

        monkeypatch.setattr(Server, "record_success", work_on_the_next)
        before = len(server.bodies)
        found = complete(engine, [request(i) for i in range(32)])
        assert [item.finish_reason for item in found.values()] == ["stop"] * 32
        assert len(server.bodies) - before == 32 and server.peak > 10, "the last ones wait for longer than the limit"


def test_a_request_that_is_never_answered_times_out_although_others_succeed():
    with EndpointServer() as server:
        engine = engine_of(server, patience=IMPATIENT)
        clock = Later(engine)
        server.behaviour.raw = head("Content-Length: 9")
        engine.submit([request(0)])
        wait_until(lambda: len(server.bodies) > 1)
        server.behaviour.raw = None
        clock.add(600)
        engine.submit([request(i) for i in range(1, 60)])
        found = []
        while len(found) < 59:
            found += engine.poll()
        assert {item.finish_reason for item in found} == {"stop"} and 0 not in [item.request for item in found]
        clock.add(600)
        wait_until(lambda: not engine._finished.empty(), 60)
        found = complete(engine, [])
    assert found[0].error.endswith("no answer within 1000 seconds")


def test_a_server_without_the_model_is_named_and_not_used(caplog):
    with EndpointServer(latency=0.01) as good, EndpointServer(model="another") as bad:
        with caplog.at_level(logging.WARNING):
            engine = engine_of(bad, good)
            wait_until(lambda: "not used" in caplog.text)
            found = complete(engine, [request(i) for i in range(60)])
        assert all(item.finish_reason == "stop" for item in found.values())
        assert len(bad.bodies) <= 2
    message = (
        f"{bad.url}: not used, so the other addresses get all requests: status 404: The model `m` does not exist."
    )
    assert caplog.text.count(message) == 1


def test_a_server_that_rejects_the_key_before_another_answers_is_not_used(caplog):
    with EndpointServer(latency=0.3) as good, EndpointServer(key="another") as bad:
        with caplog.at_level(logging.WARNING):
            engine = engine_of(bad, good)
            wait_until(lambda: "not used" in caplog.text)
            found = complete(engine, [request(i) for i in range(4)])
        assert {item.finish_reason for item in found.values()} == {"stop"} and good.answered.total() == 5
    assert caplog.text.count(f"{bad.url}: not used, so the other addresses get all requests: ") == 1


def test_a_server_that_starts_late_is_used_and_one_that_loses_the_model_gets_a_pause():
    with EndpointServer(latency=0.01) as first, EndpointServer(status=503) as second:
        engine = engine_of(second, first)
        second.behaviour.status, sent = 200, 0
        while len(second.bodies) <= 20:  # until the pause of the second server has ended
            engine.submit([request(i) for i in range(sent, sent + 40)])
            sent += 40
            while engine.poll():
                pass
        second.behaviour.model = "another"
        before = len(second.bodies)
        found = complete(engine, [request(i) for i in range(sent, sent + 200)])
        assert {item.finish_reason for item in found.values()} == {"stop"} and len(second.bodies) - before <= 64 + 8


SAYINGS = [
    KEY,
    f"your key {KEY}.",
    "".join(f"\\u00{ord(sign):02x}" for sign in KEY),
    "".join(f"\\u00{ord(sign):02X}" if at % 2 else sign for at, sign in enumerate(KEY)),
]


@pytest.mark.parametrize("said", SAYINGS)
@pytest.mark.parametrize("place", ["text", "finish_reason", "refusal", "index", "error", "id"])
def test_a_key_repeated_by_a_server_is_removed_from_every_part_of_an_answer(said, place):
    choice = {"text": "" if place == "refusal" else "a", "finish_reason": "stop"}
    body = {"choices": [choice], "error": "SAID" if place == "error" else None, "id": "SAID"}
    if place in ("text", "finish_reason", "refusal", "index"):
        choice[place] = "SAID"
    try:
        shown = repr(read_answer(json.dumps(body).replace("SAID", said).encode(), False, hider(KEY)))
    except Exception as error:
        shown = repr(error)
    assert KEY not in shown and ("[key]" in shown or place in ("index", "id"))


@pytest.mark.parametrize("status", [400, 401, 503])
@pytest.mark.parametrize("said", [*SAYINGS, "x" * 390 + KEY, f"{KEY[:20]}, and {KEY[20:]}"])
def test_a_key_repeated_by_a_server_is_removed_from_every_message(said, status, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for body in (b'{"error": {"message": "SAID"}}', b"<p>SAID</p>"):
        with EndpointServer() as server:
            server.behaviour.raw = whole(body.replace(b"SAID", said.encode()), status=f"{status} X")
            with pytest.raises(Exception, match=f"status {status}") as caught:
                engine_of(server, patience=replace(IMPATIENT, wait=0.05))
        for text in (str(caught.value), caplog.text):
            assert KEY[:15] not in text and KEY[-15:] not in text and "u0073" not in text.lower()


def test_short_keys_and_plain_words_of_a_key_stay_in_texts():
    assert hider("test")("a test") == "a test"
    assert hider("instruction-of-my-house-1")("the instruction-of") == "the instruction-of"
    assert hider(KEY)(f"a {KEY[3:20]} b {KEY[:14]}{KEY[8:30]} c") == "a [key] b [key][key] c"
    assert hider(r'qu"ote\slash/key0')(r"say qu\"ote\\slash\/key0 twice") == "say [key] twice"


def test_hiding_a_key_in_a_long_text_takes_linear_time():
    text = (KEY[:13] + " ") * 20_000
    assert "[key]" in hider(KEY)(text) and KEY[:12] not in hider(KEY)(text)
