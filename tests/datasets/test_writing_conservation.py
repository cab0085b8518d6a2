"""No value of a row is lost silently: it is in the output, or its field is counted as lost."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets.ours import row_of
from self_instruct.datasets.schemas import SCHEMAS, recognise
from self_instruct.datasets.training import Unfit
from self_instruct.datasets.writing import SUFFIXES, writable
from self_instruct.user_files import LineError

WORDS = st.text("abcdefgh", min_size=3, max_size=9)


def leaves(value):
    """Return the texts and numbers of a value."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else []


def turn(role, text):
    return {"role": role, "content": text}


SHAPES = {
    "alpaca": lambda w: {"instruction": w(), "input": w(), "output": w(), "history": [[w(), w()]], "system": w(), "x": [w()]},
    "preference": lambda w: {"prompt": w(), "chosen": w(), "rejected": w(), "score": {"a": w()}},
    "implicit": lambda w: {"chosen": [q := turn("user", w()), turn("assistant", w())], "rejected": [q, turn("assistant", w())]},
    "kto": lambda w: {"prompt": w(), "completion": w(), "label": False, "x": w()},
    "openai": lambda w: {"messages": [turn("user", [{"type": "text", "text": w(), "cache_control": {"k": w()}},
                                                    {"type": "image_url", "image_url": {"url": w(), "detail": w()}}]),
                                      {**turn("assistant", w()), "tool_calls": [{"id": w(), "function": {"name": w()}}]}],
                         "tools": [{"name": w()}], "x": w()},
    "anthropic": lambda w: {"system": [{"type": "text", "text": w(), "cache_control": {"k": w()}}], "messages": [
        turn("user", w()), turn("assistant", [{"type": "thinking", "thinking": w(), "signature": w()},
                                              {"type": "tool_use", "id": w(), "name": w(), "input": {"k": w()}}]),
        turn("user", [{"type": "tool_result", "tool_use_id": w(), "content": [{"type": "text", "text": w()}]}])]},
    "gemini": lambda w: {"systemInstruction": {"parts": [{"text": w()}]}, "x": w(), "contents": [
        {"role": "user", "parts": [{"text": w()}, {"inlineData": {"mimeType": w(), "data": w()}}]}]},
    "batch": lambda w: {"custom_id": w(), "response": {"body": {"id": w(), "choices": [
        {"message": turn("assistant", w()), "finish_reason": w()}, {"message": turn("assistant", w())}]}}},
    "choices": lambda w: {"question": w(), "choices": [w(), w()], "answer": 1, "subject": w()},
    "squad": lambda w: {"question": w(), "context": w(), "answers": {"text": [w(), w()], "answer_start": [4]}, "title": w()},
    "pair": lambda w: {"query": w(), "solution": w(), "system_prompt": w(), "answer": w(), "context": w()},
    "jsonl": lambda w: {"instruction": w(), "input": w(), "output": w(), "provenance": {"id": w(), "model": w(), "x": [w()]}},
    "self-instruct-seeds": lambda w: {"id": w(), "name": w(), "instruction": w(), "instances": [
        {"input": w(), "output": w()}, {"input": w(), "output": w()}], "is_classification": False},
    "magpie": lambda w: {"uuid": w(), "instruction": w(), "response": w(), "task_category": w(), "intent": w(), "x": [w()]},
    "sharegpt": lambda w: {"id": w(), "x": w(), "conversations": [
        {"from": "system", "value": w()}, {"from": "human", "value": w(), "lang": w()}, {"from": "gpt", "value": w()}]},
    "comparison": lambda w: {"user_input": w(), "completion_a": w(), "completion_b": w(), "x": w()},
    "distilabel": lambda w: {"instruction": w(), "generation": w(), "system_prompt": w(), "model_name": w(), "x": {"a": [w()]}},
    "dolly": lambda w: {"instruction": w(), "context": w(), "response": w(), "category": w()},
    "airoboros": lambda w: {"instruction": w(), "response": w(), "skip": w(), "category": w()},
    "instruction-wild": lambda w: {"instruction": w(), "input": w(), "output": w(), "instruction_type": w(), "x": w()},
    "marked-text": lambda w: {"text": f"<|im_start|>system\n{w()}<|im_end|>\n<|im_start|>user\n{w()}<|im_end|>\n"
                                      f"<|im_start|>assistant\n{w()}<|im_end|>", "x": w()},
    "gpt4all": lambda w: {"prompt": w(), "response": w(), "source": w(), "x": w()},
    "prompt-completion": lambda w: {"prompt": w(), "completion": w(), "system": w(), "x": w()},
    "question-answer": lambda w: {"question": w(), "answer": w(), "x": w()},
    "vicuna": lambda w: {"text": f"A chat. USER: {w()} ASSISTANT: {w()}</s>", "x": w()},
    "text": lambda w: {"text": w(), "x": w()},
}  # fmt: skip
FORMATS = {"implicit": "preference", "openai": "messages", "anthropic": "messages", "gemini": "exchange", "batch": "exchange",
           "choices": "multiple-choice"}  # fmt: skip
"""The format of each shape that does not have the name of its format."""


class Corpus:
    """Rows of conversations drawn by hypothesis: parts of any type, other fields at every level, tool calls, preferences."""

    def __init__(self, draw):
        self.draw, self.made = draw, list[str]()

    def word(self):
        self.made.append(f"word{len(self.made)}end")
        return self.made[-1]

    def number(self):
        self.made.append(str(700000 + len(self.made)))
        return int(self.made[-1])

    def one(self, *makers):
        return self.draw(st.sampled_from(makers))()

    def often(self, part=3):
        return self.draw(st.integers(0, part)) == 0

    def more(self):
        """Return other fields, which are often none."""
        value = lambda: self.one(self.word, self.number, lambda: [self.word(), {"a": self.number()}])  # noqa: E731
        return {f"x{at}": value() for at in range(self.draw(st.sampled_from([0, 0, 0, 1, 2])))}

    def part(self, role):
        w = self.word
        makers = [
            lambda: {"type": "text", "text": w()}, lambda: {"type": "image_url", "image_url": {"url": w()}},
            lambda: {"type": "image", "source": {"media_type": w(), "data": w()}},
            lambda: {"type": "file", "file": {"id": w()}},
            lambda: {"type": "input_audio", "input_audio": {"data": w()}}, lambda: {"type": "video", "video": w(), "fps": 7},
        ]  # fmt: skip
        if role == "assistant":
            makers += [
                lambda: {"type": "thinking", "thinking": w(), "signature": w()}, lambda: {"type": "refusal", "refusal": w()},
                lambda: {"type": "redacted_thinking", "data": w()}, lambda: {"type": "text", "text": "", "citations": [w()]},
                lambda: {"type": "tool_use", "id": w(), "name": w(), "input": {"q": self.number()}},
            ]  # fmt: skip
        return {**self.one(*makers), **self.more()}

    def turn(self, role):
        content = self.one(self.word, lambda: [self.part(role) for _ in range(self.draw(st.integers(1, 3)))])
        made = {**turn(role, content), **self.more()}
        if role == "assistant" and self.often():
            made |= {
                "reasoning_content": self.word(),
                "tool_calls": [{"id": self.word(), "function": {"name": self.word()}}],
            }
        return made

    def asked(self):
        return [*([self.turn("system")] if self.often() else []), self.turn("user")]

    def row(self):
        w, answer = self.word, lambda: [self.turn("assistant")]
        beside = self.more()
        for name in ("tools", "images", "system", "input", "source"):
            if self.often(5):
                beside[name] = [{"name": w()}] if name == "tools" else [w()] if name == "images" else w()
        made = self.one(
            lambda: {"messages": [*self.asked(), *answer(), self.turn("user"), *answer()]},
            lambda: {"prompt": self.asked(), "chosen": answer(), "rejected": answer()},
            lambda: {"prompt": w(), "chosen": w(), "rejected": w()},
            lambda: {"prompt": self.one(w, self.asked), "completion": self.one(w, answer), "label": self.often(1)},
            lambda: {"prompt": self.one(w, self.asked), "completion": answer()},
            lambda: {"instruction": w(), "output": w(), "history": [[w(), w()]]},
        )
        return {**beside, **made}


def test_each_leaf_of_a_generated_corpus_is_written_or_counted():
    checked = dict.fromkeys(SUFFIXES, 0)

    @settings(max_examples=150, deadline=None, derandomize=True, database=None)
    @given(data=st.data())
    def check(data):
        corpus = Corpus(data.draw)
        row = corpus.row()
        try:
            example = recognise([row], {}, "", "file").read(row, "place")
        except LineError as refused:
            assert refused.reason and refused.problem
            return
        whole = json.dumps(row)
        made = [leaf for leaf in corpus.made if leaf in whole]
        assert [leaf for leaf in made if leaf not in json.dumps(row_of(example, set()))] == []
        for to in SUFFIXES:
            format = writable(to, example.columns)
            try:
                written = json.dumps(format.rows(example))
            except Unfit as refused:
                assert refused.reason and refused.problem
                continue
            missing = [leaf for leaf in made if leaf not in written]
            assert not missing or list(format.lost(example)), (to, missing)
            checked[to] += len(made)

    check()
    assert min(checked.values()) > 20, (
        checked
    )  # the examples, and so the counts, depend on the modules that are loaded


def read(shape, word):
    """Return a row of a shape, and the example that its format reads."""
    row = SHAPES[shape](word)
    schema = recognise([row], {}, "", "file")
    assert schema.name == FORMATS.get(shape, shape)
    return row, schema.read(row, "place")


def test_every_format_that_is_read_has_a_row():
    assert {FORMATS.get(shape, shape) for shape in SHAPES} == set(SCHEMAS)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_each_leaf_of_a_row_is_in_our_record(shape, data):
    words = list[str]()

    def word():
        words.append(f"{data.draw(WORDS)}{len(words)}end")
        return words[-1]

    row, example = read(shape, word)
    written = json.dumps(row_of(example, set()))
    numbers = [str(leaf) for leaf in leaves(row) if not isinstance(leaf, str)]
    assert [leaf for leaf in [*words, *numbers] if leaf not in written] == []


@pytest.mark.parametrize("to", SUFFIXES)
@pytest.mark.parametrize("shape", SHAPES)
def test_each_leaf_is_written_or_counted_or_the_row_is_refused(shape, to):
    numbers = iter(range(100))
    row, example = read(shape, lambda: f"word{next(numbers)}end")
    format = writable(to, example.columns)
    counted = list(format.lost(example))
    try:
        written = json.dumps(format.rows(example))
    except Unfit as refused:
        assert refused.reason and refused.problem
        return
    missing = [
        text for leaf in leaves(row) for text in re.findall(r"word\d+end", str(leaf)) if f"{text}" not in written
    ]
    assert not missing or counted, missing
    assert len(counted) == len({*counted})
