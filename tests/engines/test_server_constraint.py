"""Patterns on servers: in which field they are sent, and that a server that ignores them is refused."""

import pytest

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.server.connecting import Endpoint, connect
from self_instruct.engines.server.engine import OpenAIEngine, Patience
from self_instruct.errors import UserError
from tests.support.endpoint_server import EndpointServer

CONTENT = {"structured_outputs": lambda pattern: {"regex": pattern}, "regex": lambda pattern: pattern}


class Constrained(EndpointServer):
    """Answers with a text that matches the pattern in `field`; it does not know any other field, and ignores it."""

    def __init__(self, field: str | None, **behaviour) -> None:
        super().__init__(**behaviour)
        self.field = field

    def _good(self, path, body):
        good = super()._good(path, body)
        for choice in good["choices"] if self.field in body else ():
            text = "zyxzyxzy" if "xyz" in str(body[self.field]) else "good"
            choice.update({"message": {"role": "assistant", "content": text}} if "chat" in path else {"text": text})
        return good


def engine_of(*servers: EndpointServer, constrain: bool = True, **options) -> OpenAIEngine:
    endpoint = Endpoint([server.url for server in servers], "m", **options)
    return connect(endpoint, Sampling(64, constrain=constrain), Patience(retries=1, timeout=20, wait=5))


def answers(engine: OpenAIEngine, *requests: Request) -> list[str]:
    found = {}
    try:
        engine.submit(requests)
        while len(found) < len(requests):
            found |= {item.request: item.text for item in engine.poll()}
    finally:
        engine.close()
    return [found[item.index] for item in requests]


@pytest.mark.parametrize("kind", ["completions", "chat"])
@pytest.mark.parametrize("field", ["structured_outputs", "regex"])
def test_the_pattern_is_sent_in_the_field_that_the_server_enforces(field, kind):
    with Constrained(field) as server:
        asked = [Request(0, "p", "", (), "a", pattern="good|bad"), Request(1, "q", "", (), "b")]
        assert answers(engine_of(server, kind=kind), *asked) == ["good", " q 0"]
    bodies = {
        body["prompt"] if kind == "completions" else body["messages"][0]["content"]: body for body in server.bodies
    }
    assert bodies["p"][field] == CONTENT[field]("good|bad")
    assert not set(CONTENT) & set(bodies["q"])


def test_a_message_with_a_pattern_shows_the_opening_and_does_not_ask_to_repeat_it():
    with Constrained("structured_outputs") as server:
        asked = [
            Request(at, "p", "7. Verdict:\n", (), "a", pattern=pattern)
            for at, pattern in enumerate(("good|bad", None))
        ]
        assert answers(engine_of(server, kind="chat"), *asked)[0] == "good"
    shown = sorted(
        body["messages"][0]["content"] for body in server.bodies if body["messages"][0]["content"][0] == "p"
    )
    assert shown == [
        "p\n\n7. Verdict:",
        "p\n\nGo on with the list. Begin your answer with exactly this line:\n7. Verdict:",
    ]


@pytest.mark.parametrize("refuses", [(), ("structured_outputs", "regex")])
def test_a_server_that_does_not_enforce_patterns_is_refused(refuses):
    with Constrained(None, refuses=refuses) as server:
        with pytest.raises(
            UserError, match=r"it does not enforce --constrain \(structured_outputs: .*; regex: "
        ) as error:
            engine_of(server, kind="completions")
        assert ("Unsupported parameter" if refuses else "the answer to a request for") in str(error.value)
        engine_of(server, kind="completions", constrain=False).close()


def test_of_several_servers_only_those_that_enforce_patterns_get_requests():
    with Constrained("structured_outputs") as first, Constrained(None) as second:
        asked = [Request(at, f"p{at}", "", (), "a", pattern="good|bad") for at in range(20)]
        assert answers(engine_of(first, second, kind="completions"), *asked) == ["good"] * 20
    assert all(body["prompt"][0] != "p" for body in second.bodies)
