"""Requests to vLLM and completions from its outputs: with a stand-in for its engine, and with vLLM if it is installed."""

import importlib.util
import sys
from functools import partial
from types import MappingProxyType, ModuleType, SimpleNamespace

import pytest

from self_instruct.engines import load_engine
from self_instruct.engines.base import EngineLost, Hardware, Request, Sampling
from self_instruct.engines.local.tokenizer import PromptEncoder
from self_instruct.engines.vllm.arguments import VllmOptions
from self_instruct.engines.vllm.engine import VllmEngine
from self_instruct.engines.vllm.starting import Output
from tests.real_model import real_model

END = 99
SAMPLING = Sampling(400, temperature=0, stop_repetition=True)


class Characters:
    """A tokenizer whose tokens are characters."""

    chat_template = None
    added_tokens_decoder = MappingProxyType({})

    def __len__(self) -> int:
        return 256

    def batch_decode(self, rows: list[list[int]], **options: bool) -> list[str]:
        return [self.decode(row) for row in rows]

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [*([1] if add_special_tokens else []), *map(ord, text)]}

    def decode(self, tokens: list[int], **options: bool) -> str:
        return "".join(map(chr, tokens))


class Steps:
    """Stands in for vLLM's engine: `step` returns the next of `outputs`, or raises it."""

    def __init__(self, *outputs: list | Exception) -> None:
        model = SimpleNamespace(max_model_len=1000, get_vocab_size=lambda: 256)
        self.vllm_config = SimpleNamespace(model_config=model, scheduler_config=SimpleNamespace(max_num_seqs=8))
        self.outputs, self.added, self.aborted = list(outputs), {}, []

    def add_request(self, name, prompt, parameters):
        if parameters["top_k"] == 77:
            raise ValueError("top_k is not supported")
        self.added[name] = (prompt["prompt_token_ids"], parameters)

    def abort_request(self, names):
        self.aborted += names

    def step(self):
        found = self.outputs.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def output(index: int, tokens: str | list[int], reason: str | None = None) -> SimpleNamespace:
    ids = list(map(ord, tokens)) if isinstance(tokens, str) else tokens
    text = SimpleNamespace(token_ids=ids, finish_reason=reason)
    return SimpleNamespace(request_id=str(index), outputs=[text], finished=reason is not None)


@pytest.fixture
def parts(monkeypatch):
    """Replace the names that the engine imports from vLLM, which may not be installed."""
    for name, content in (
        ("vllm", {"SamplingParams": dict}),
        (
            "vllm.sampling_params",
            {"RequestOutputKind": SimpleNamespace(DELTA="delta"), "StructuredOutputsParams": SimpleNamespace},
        ),
        ("vllm.exceptions", {"VLLMClientError": LookupError}),
    ):
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)


def engine_of(*outputs: list | Exception, sampling: Sampling = SAMPLING, drawn: list[int] | None = None) -> VllmEngine:
    steps = Steps(*outputs)
    printed = SimpleNamespace(tail=lambda: "", cause=lambda: None, close=lambda: None)
    printed.reason = partial(Output.reason, printed)
    return VllmEngine(
        steps, SimpleNamespace(close=lambda: None, lost=lambda: False), printed, Characters(), frozenset({END}), "revision",
        sampling, PromptEncoder(Characters()), Hardware("CPU", 0, 0, 1), on_step=(drawn if drawn is not None else []).append,
    )  # fmt: skip


def request(index: int, prompt: str = "ab", **more) -> Request:
    return Request(index, prompt, ":", more.pop("stop", ()), f"42:{index}", **more)


def test_prompts_are_encoded_as_in_the_other_engines(parts):
    engine = engine_of()
    engine.submit([request(0), request(1, raw=True), request(2, system="S", sampling=Sampling(7, top_k=3))])
    added = engine._engine.added
    assert [added[name][0] for name in "012"] == [
        [1, *b"ab:"], [*b"ab:"], [1, *b"S\n\nab:"]
    ]  # fmt: skip
    assert added["0"][1]["max_tokens"] == 400 and (added["2"][1]["max_tokens"], added["2"][1]["top_k"]) == (7, 3)


def test_a_pattern_becomes_a_structured_output(parts):
    engine = engine_of()
    engine.submit([request(0, pattern="good|bad"), request(1)])
    parameters = [engine._engine.added[name][1] for name in "01"]
    assert parameters[0]["structured_outputs"].regex == "good|bad" and "structured_outputs" not in parameters[1]


def test_texts_end_before_the_end_token_and_the_stop_text(parts):
    drawn: list[int] = []
    engine = engine_of([output(0, "Hel"), output(1, "one\n##two")], [output(0, [*b"lo", END], "stop")], drawn=drawn)
    engine.submit([request(0), request(1, stop=("##",))])
    (first,), (second,) = engine.poll(), engine.poll()
    assert (first.request, first.text, first.finish_reason, first.completion_tokens) == (1, "one\n", "stop", 6)
    assert (second.request, second.text, second.finish_reason, second.prompt_tokens) == (0, "Hello", "stop", 4)
    assert drawn == [12, 3] and engine._engine.aborted == ["1"]


def test_a_stop_text_in_a_thought_is_ignored(parts):
    engine = engine_of([output(0, "<think>a##")], [output(0, "b</think>c##d")])
    engine.submit([request(0, stop=("##",))])
    (done,) = engine.poll()
    assert (done.text, done.finish_reason) == ("<think>a##b</think>c", "stop")
    assert done.reasoning_tokens == len("a##b")


def test_a_loop_is_cut_at_the_same_token_as_in_the_other_engines_and_cancelled(parts):
    """One token comes first, then 16 at a time, so the loop ends in the middle of a step."""
    steps = [[output(0, "x")], *([output(0, "x" * 16)] for _ in range(12)), [output(1, "y", "stop")]]
    engine = engine_of(*steps)
    engine.submit([request(0), request(1)])
    (done,) = engine.poll()
    assert (done.text, done.finish_reason, done.completion_tokens) == ("x" * 160, "repetition", 160)
    assert engine._engine.aborted == ["0"]
    engine._engine.outputs = engine._engine.outputs[-1:]
    assert [found.request for found in engine.poll()] == [1]


@pytest.mark.parametrize(
    ("last", "stop_repetition", "expected"),
    [("x" * 16, True, ("length", 160)), ("x" * 20, True, ("repetition", 160)), ("x" * 20, False, ("length", 164))],
)
def test_a_loop_counts_only_before_the_last_token_of_a_request(last, stop_repetition, expected, parts):
    engine = engine_of([output(0, "x" * 144)], [output(0, last, "length")], sampling=Sampling(164))
    engine.submit([request(0, sampling=Sampling(164, stop_repetition=stop_repetition))])
    (done,) = engine.poll()
    assert (done.finish_reason, done.completion_tokens) == expected and engine._engine.aborted == []


def test_a_request_that_vllm_refuses_or_drops_ends_as_an_error_alone(parts):
    engine = engine_of([output(2, "abc", "abort")])
    engine.submit([request(0, "a" * 999), request(1, sampling=Sampling(5, top_k=77)), request(2)])
    long, refused = engine.poll()
    assert "more than the model's context of 1,000 tokens" in str(long.error)
    assert refused.error == "vLLM refused the request: top_k is not supported"
    (dropped,) = engine.poll()
    assert (dropped.error, dropped.completion_tokens) == ("vLLM ended the request (abort)", 0)


def test_finished_requests_are_returned_before_dead_processes_raise_engine_lost(parts):
    engine = engine_of([output(0, "done", "stop")], RuntimeError("EngineCore died"))
    engine.submit([request(0), request(1)])
    assert [done.text for done in engine.poll()] == ["done"]
    with pytest.raises(EngineLost, match=r"vLLM's engine has ended \(EngineCore died\)"):
        engine.poll()
    # vLLM's message when its process was killed with SIGKILL: there is no stack trace that it could mean.
    engine = engine_of(RuntimeError("EngineCore encountered an issue. See stack trace (above) for the root cause."))
    engine.submit([request(0)])
    with pytest.raises(
        EngineLost, match=r"has ended \(one of its processes ended without a message; the system kills"
    ):
        engine.poll()


def test_after_an_interruption_only_finished_requests_are_returned(parts):
    engine = engine_of()
    engine.submit([request(0)])
    engine.interrupt()
    assert engine.poll() == []


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_vllm_completes_requests_with_a_real_model(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    prompt = "Count: 1, 2, 3, 4, 5, 6,"
    asked = [Request(index, prompt, "", ("12",), "1:0", raw=True) for index in range(2)]
    asked.append(
        Request(2, "no no no no no no no no no no", "", (), "1:1", Sampling(300, 0, stop_repetition=True), raw=True)
    )
    engine = load_engine(
        "vllm", str(real_model()), None, Sampling(40, temperature=0), max_length=512, vllm=VllmOptions("float32")
    )
    try:
        engine.submit(asked)
        done = {}
        while len(done) < len(asked):
            done.update((found.request, found) for found in engine.poll())
    finally:
        engine.close()
    assert (
        done[0].text == done[1].text
        and done[0].text.startswith(" 7, 8, 9, 10, 11,")
        and done[0].finish_reason == "stop"
    )
    assert done[2].finish_reason == "repetition" and done[2].completion_tokens % 16 == 0
