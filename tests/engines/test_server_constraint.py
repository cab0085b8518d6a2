"""Patterns on servers: in which field they are sent, and that a server that ignores them is refused."""

import json
import random
import re

import pytest

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.server.connecting import Endpoint, connect
from self_instruct.engines.server.engine import OpenAIEngine, Patience
from self_instruct.engines.server.grammar import gbnf
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.generation.config import Config
from self_instruct.generation.patterns import check_constrain, options_pattern, task_list_pattern, topic_list_pattern
from self_instruct.review.judge import PATTERN, SCHEMA
from tests.support.endpoint_server import EndpointServer

CONTENT = {
    "structured_outputs": lambda pattern: {"regex": pattern}, "regex": lambda pattern: pattern,
    "grammar": lambda pattern: 'root ::= "g" "o" "o" "d" | "b" "a" "d"',
    "response_format": lambda pattern: {
        "type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": json.loads(SCHEMA)}
    },
}  # fmt: skip


class Constrained(EndpointServer):
    """Answers with a text that matches the pattern in `field`; it does not know any other field, and ignores it."""

    def __init__(self, field: str | None, **behaviour) -> None:
        super().__init__(**behaviour)
        self.field = field

    def _good(self, path, body):
        good = super()._good(path, body)
        for choice in good["choices"] if self.field in body else ():
            text = "zyxzyxzy" if "xyz" in str(body[self.field]) else "good"
            if self.field == "response_format" and text != "good":
                text = '{\n"xyz": 31}'
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
@pytest.mark.parametrize("field", CONTENT)
def test_the_pattern_is_sent_in_the_field_that_the_server_enforces(field, kind):
    with Constrained(field) as server:
        asked = [Request(0, "p", "", (), "a", pattern="good|bad", schema=SCHEMA), Request(1, "q", "", (), "b")]
        engine = engine_of(server, kind=kind)
        assert engine.only_schemas is (field == "response_format")
        assert answers(engine, *asked) == ["good", " q 0"]
    bodies = {
        body["prompt"] if kind == "completions" else body["messages"][0]["content"]: body for body in server.bodies
    }
    assert bodies["p"][field] == CONTENT[field]("good|bad")
    assert not set(CONTENT) & set(bodies["q"]) and set(CONTENT) & set(bodies["p"]) == {field}


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


@pytest.mark.parametrize("refuses", [(), tuple(CONTENT)])
def test_a_server_that_does_not_enforce_patterns_is_refused(refuses):
    with Constrained(None, refuses=refuses) as server:
        with pytest.raises(
            UserError,
            match=r"not enforce --constrain \(structured_outputs: .*; regex: .*; grammar: .*; response_format: ",
        ) as error:
            engine_of(server, kind="completions")
        assert ("Unsupported parameter" if refuses else "the answer to a request for") in str(error.value)
        engine_of(server, kind="completions", constrain=False).close()


def test_of_several_servers_only_those_that_enforce_patterns_get_requests():
    with Constrained("structured_outputs") as first, Constrained(None) as second:
        asked = [Request(at, f"p{at}", "", (), "a", pattern="good|bad") for at in range(20)]
        assert answers(engine_of(first, second, kind="completions"), *asked) == ["good"] * 20
    assert all(body["prompt"][0] != "p" for body in second.bodies)


def test_a_server_that_enforces_schemas_only_is_refused_for_lists_of_tasks():
    config = Config(recipe="few_shot", constrain=True)
    with Constrained("response_format") as server, pytest.raises(UserError, match="enforces JSON schemas only"):
        engine = engine_of(server, kind="chat")
        try:
            check_constrain(config, engine)
        finally:
            engine.close()
    check_constrain(config)


PATTERNS = (
    task_list_pattern(2, True), topic_list_pattern(7, 3), PATTERN, INSTRUCTION_OUTPUT.pattern(),
    options_pattern('Which?\nA. "one" (x|y)\nB. a\\b [é] {2} ^$\nC. so'), INSTRUCTION_INPUT_OUTPUT.pattern(last_only=True),
)  # fmt: skip
TEXTS = (
    "1. Sort.\n   Input: b, a\n2. Count.\n   Input: x\n3.", "Salt\n8. Night trains\n9. Écluses", "A. \"one\" (x|y)",
    "helpful: 4, correct: 5, clear: 3\nverdict: good", "B. a\\b [é] {2} ^$", "Sort.\n###\n",
    "Add.\n\n4. Output:\n1. Open\n\u3000é-\n# c\n###\n5. Instruction:\n写\n\n5. Output:\n`2`\n###\n",
)  # fmt: skip


OTHERS = ("", "x", "\n", " ", "-", "\x85", "\u2003", "\\", '"', ":", "3", "#")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_grammar_has_the_texts_that_match_the_pattern(pattern):
    """GBNF is read by a reader of its own here, which needs no knowledge of the translation."""
    grammar, rng = re.compile(_expression(gbnf(pattern))), random.Random(1)
    assert sum(bool(re.fullmatch(pattern, text)) for text in TEXTS) >= 1
    for text in TEXTS:
        for _ in range(60):
            at = rng.randrange(len(text))
            changed = text[:at] + rng.choice(OTHERS) + text[at + 1 :]
            assert bool(grammar.fullmatch(changed)) is bool(re.fullmatch(pattern, changed)), changed
        assert bool(grammar.fullmatch(text)) is bool(re.fullmatch(pattern, text))


def _expression(grammar: str) -> str:
    """Return the regular expression of a grammar of one rule: literals in quotation marks, classes, operators and spaces."""
    part = re.compile(r'"((?:\\.|[^"\\])+)"|(\[(?:\\.|[^\]\\])+\])|([()|*+?]|\{[\d,]+\})')
    assert not part.sub("", grammar.removeprefix("root ::=")).strip()
    return "".join(
        re.escape(literal.encode("ascii").decode("unicode_escape")) + characters + operator.replace("(", "(?:")
        for literal, characters, operator in part.findall(grammar.removeprefix("root ::="))
    )


@pytest.mark.parametrize("pattern", [r"\w", "a.b", "(?=a)", "[", r"[\d]", "a$"])
def test_what_patterns_do_not_use_is_not_translated(pattern):
    with pytest.raises(ValueError, match="not part of a pattern"):
        gbnf(pattern)
