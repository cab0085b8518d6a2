"""Rendering prompts with the chat templates of several families, and finding the user's turn in them."""

import pytest
from tokenizers import AddedToken

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.chat_template import ChatTemplate
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.stopping import StopMatcher
from self_instruct.engines.local.tokenizer import PromptEncoder, load_text
from self_instruct.errors import UserError
from tests.support.engine_runs import complete
from tests.support.tiny_models import build_tokenizer

PROMPT = "Rule one.\n\n1. Task: add <b>.\n"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "<s>{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
)
VICUNA = (
    "{% for m in messages %}{{ m.role | upper }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
SILENT_SYSTEM = "{% for m in messages if m.role == 'user' %}<|u|>{{ m.content }}<|e|>{% endfor %}<|a|>"
BARE = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
PARTS = "{% for m in messages %}[{{ m.role }}]{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}[assistant]"
DATED = "{{ strftime_now('%d %b %Y') }}\n" + CHATML


def tokenizer(template, *special):
    made = build_tokenizer()
    made.add_tokens([AddedToken(text, special=True, normalized=False) for text in special], special_tokens=True)
    made.chat_template = template
    return made


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHATML, "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"),
        (GEMMA, "<start_of_turn>user\nBe kind.\n\n{}<end_of_turn>\n<start_of_turn>model\n"),
        (MISTRAL, "<s>[INST] Be kind.\n\n{} [/INST]"),
        (SILENT_SYSTEM, "<|u|>Be kind.\n\n{}<|e|><|a|>"),
    ],
)
def test_system_message_is_in_the_prompt_even_if_the_template_has_no_system_role(template, expected):
    assert ChatTemplate(tokenizer(template)).render(PROMPT, "Be kind.") == expected.format(PROMPT.rstrip())
    assert "Be kind" not in ChatTemplate(tokenizer(template)).render(PROMPT)


@pytest.mark.parametrize(
    ("template", "special", "prefix", "stop"),
    [
        (CHATML, ["<|im_start|>", "<|im_end|>"], "<|im_start|>user\n", "<|im_end|>"),
        (CHATML, [], "<|im_start|>user\n", "<|im_end|>"),
        (GEMMA, ["<end_of_turn>"], "<start_of_turn>user\n", "<end_of_turn>"),
        (MISTRAL, ["[INST]", "[/INST]"], "<s>[INST] ", "[/INST]"),
        (VICUNA, [], "USER: ", "ASSISTANT:"),
        (SILENT_SYSTEM, ["<|e|>", "<|a|>"], "<|u|>", "<|e|>"),
    ],
)
def test_user_turn_is_found_in_the_rendered_template(template, special, prefix, stop):
    turn = ChatTemplate(tokenizer(template, *special)).user_turn()
    assert (turn.prefix, turn.stop) == (prefix, stop)


def test_template_that_does_not_end_the_users_turn_is_refused():
    with pytest.raises(UserError, match="the user's turn cannot be cut"):
        ChatTemplate(tokenizer(BARE)).user_turn()


@pytest.mark.parametrize("template", [PARTS, CHATML.replace("m.content", "m.content | e"), "<|user|><|assistant|>"])
def test_template_that_does_not_show_the_whole_prompt_is_refused(template):
    with pytest.raises(UserError, match="does not show the whole prompt"):
        PromptEncoder(tokenizer(template))
    assert PromptEncoder(tokenizer(template), "never").encode("x", "")


def test_date_in_a_template_is_the_same_on_every_day():
    template = ChatTemplate(tokenizer(DATED))
    assert template.render("x").startswith("01 Jan 2026\n") and template.prints_date
    assert not ChatTemplate(tokenizer(CHATML)).prints_date


def test_hash_changes_with_the_template_and_its_arguments():
    switched = "{% if enable_thinking %}T{% endif %}" + CHATML
    found = [
        ChatTemplate(tokenizer(CHATML)).sha256,
        ChatTemplate(tokenizer(switched), {"enable_thinking": True}).sha256,
        ChatTemplate(tokenizer(VICUNA)).sha256,
    ]
    assert len(set(found)) == 3 and ChatTemplate(tokenizer(switched)).sha256 == found[0]


def test_raw_prompt_gets_no_template_and_no_special_tokens():
    made = tokenizer(CHATML, "<|im_start|>")
    ids = PromptEncoder(made).encode("<|im_start|>user\n", "Write", raw=True)
    assert made.decode(ids) == "<|im_start|>user\nWrite"
    assert PromptEncoder(made).encode("x", "", "Be kind.") == made("<|im_start|>system\nBe kind.<|im_end|>\n"
        "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]  # fmt: skip


def test_special_token_ends_a_request_although_it_is_not_decoded():
    made = tokenizer(MISTRAL, "[/INST]")
    end = made.convert_tokens_to_ids("[/INST]")
    matcher = StopMatcher(made)
    assert matcher.reached([5, end], ("[/INST]",)) and not matcher.reached([5, end], ("\n3.",))
    assert not matcher.reached([end, 5], ("[/INST]",))


def test_engine_continues_a_raw_prompt_like_the_rendered_one(tiny_llama):
    made, _, _ = load_text(str(tiny_llama))
    model = __import__("transformers").AutoModelForCausalLM.from_pretrained(tiny_llama)
    made.chat_template = CHATML
    engine = HuggingFaceEngine(model, made, "r", Sampling(4, temperature=0))
    text = ChatTemplate(made).render("Add", "Be kind.")
    asked = [Request(0, "Add", "", (), "0", system="Be kind."), Request(1, text, "", (), "1", raw=True)]
    first, second = (item for _, item in sorted(complete(engine, asked).items()))
    assert (first.text, first.prompt_tokens) == (second.text, second.prompt_tokens)
