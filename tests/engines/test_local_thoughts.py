"""Chat templates of models that think: turning thinking off, closing a thought before the opening, decoding the marks."""

import pytest

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.chat_template import ChatTemplate
from self_instruct.engines.local.stopping import StopMatcher, TurnDecoder
from self_instruct.engines.local.tokenizer import PromptEncoder
from tests.engines.test_local_chat_template import CHATML, MISTRAL, VICUNA, tokenizer
from tests.support.engine_runs import complete, engine_of
from tests.support.tiny_models import build_tokenizer, save_tiny_model

TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
SWITCHED = (
    TURNS.replace("\n{{ m.content", "\n{% if m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m.content")
    + "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
ALWAYS = TURNS + "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
BARE_TAG = VICUNA.replace("ASSISTANT:", "ASSISTANT:[THINK]")
HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>"
    "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
INVERTED = (
    TURNS
    + "{% if add_generation_prompt %}<|im_start|>assistant\n{% if thinking | default(true) %}<think>{% endif %}{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "arguments"),
    [
        (SWITCHED, {"enable_thinking": False}), (INVERTED, {"thinking": False}), (ALWAYS, {}), (CHATML, {}), (HARMONY, {}),
        ("{# thinking #}" + CHATML, {}),
        ("{% if enable_thinking is defined %}{{ raise_exception('no') }}{% endif %}" + CHATML, {}),
    ],
)  # fmt: skip
def test_thinking_is_turned_off_if_the_template_supports_it(template, arguments):
    made = ChatTemplate(tokenizer(template))
    assert made.arguments == arguments
    assert made.render("x") == ChatTemplate(tokenizer(template), arguments).render("x")
    assert made.sha256 == ChatTemplate(tokenizer(template), arguments).sha256
    assert ChatTemplate(tokenizer(template), {}).arguments == {}


@pytest.mark.parametrize(
    ("template", "arguments", "opened", "end"),
    [
        (SWITCHED, None, "", "assistant\n<think>\n\n</think>\n\n2. Task:"),
        (SWITCHED, {}, "", "assistant\n<think>\n\n</think>\n\n2. Task:"),
        (ALWAYS, None, "<think>\n", "assistant\n<think>\n</think>\n\n2. Task:"),
        (INVERTED, {}, "<think>", "assistant\n<think>\n</think>\n\n2. Task:"),
        (INVERTED, None, "", "assistant\n2. Task:"),
        (BARE_TAG, None, "[THINK]", "ASSISTANT:[THINK]\n[/THINK]\n\n2. Task:"),
        (HARMONY, None, "", "assistant<|channel|>final<|message|>2. Task:"),
        (CHATML, None, "", "assistant\n2. Task:"),
        (MISTRAL, None, "", "[/INST]2. Task:"),
    ],
)
def test_the_opening_comes_after_the_thought(template, arguments, opened, end):
    made = tokenizer(template)
    encoder = PromptEncoder(made, arguments=arguments)
    assert made.decode(encoder.encode("Write.", "2. Task:")).endswith(end)
    assert (encoder.thought("", False), encoder.thought("2. Task:"), encoder.thought("", True)) == (opened, "", "")
    assert made.decode(encoder.encode("Write.", "")) == encoder.template.render("Write.")


def test_special_tokens_that_mark_thoughts_are_decoded():
    made = tokenizer(MISTRAL, "[THINK]", "[/THINK]", "[INST]")
    ids = made("[INST]a[THINK]plan[/THINK]b", add_special_tokens=False)["input_ids"]
    assert TurnDecoder(made).decode(ids) == "a[THINK]plan[/THINK]b"
    assert TurnDecoder(tokenizer(MISTRAL, "[INST]")).decode(made("ab", add_special_tokens=False)["input_ids"]) == "ab"


def test_stop_text_inside_a_thought_is_ignored():
    made = build_tokenizer()
    matcher = StopMatcher(made)

    def reached(text, thought=""):
        return matcher.reached(made(text)["input_ids"], ("\n3.",), thought)

    assert reached("a\n3.") and not reached("a\n3.", "<think>\n") and not reached("<think>a\n3.")
    assert (
        not reached("<think>a\n3.</think>\n1.")
        and reached("<think>a\n3.</think>b\n3.")
        and reached("a</think>b\n3.", "<think>")
    )


def test_completion_holds_the_thought_that_the_template_opened_and_counts_it(tmp_path):
    made = build_tokenizer()
    made.chat_template = ALWAYS
    engine = engine_of(save_tiny_model("llama", tmp_path, made), Sampling(6, temperature=0))
    found = complete(engine, [Request(0, "Add", "", (), "0"), Request(1, "Add", "2. Task:", (), "1")])
    assert found[0].text.startswith("<think>\n") and found[0].finish_reason == "length"
    assert 0 < found[0].reasoning_tokens <= found[0].completion_tokens == 6
    assert "<think>" not in found[1].text and found[1].reasoning_tokens is None
