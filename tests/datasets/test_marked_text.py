"""Texts in chat templates."""

import pytest

from self_instruct.datasets.marked_text import dialect_of, parsed

PAIR = [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "The Ebro."}]
TEXTS = {
    "ChatML": "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nName a river.<|im_end|>\n"
    "<|im_start|>assistant\nThe Ebro.<|im_end|>\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nName a river.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nThe Ebro.<|eot_id|>",
    "Gemma": "<bos><start_of_turn>user\nName a river.<end_of_turn>\n<start_of_turn>model\nThe Ebro.<end_of_turn>",
    "Zephyr": "<|system|>\nBe short.</s>\n<|user|>\nName a river.</s>\n<|assistant|>\nThe Ebro.</s>",
    "Llama 2": "<s>[INST] <<SYS>>\nBe short.\n<</SYS>>\n\nName a river. [/INST] The Ebro. </s>",
    "Baize": "The conversation between human and AI assistant.\n[|Human|] Name a river.\n[|AI|] The Ebro.\n[|Human|] ",
    "Guanaco": "### Human: Name a river.### Assistant: The Ebro.",
    "Alpaca": "### Instruction:\nName a river.\n\n### Response:\nThe Ebro.",
    "Human and Assistant": "\n\nHuman: Name a river.\n\nAssistant: The Ebro.",
    "Glaive": "USER: Name a river.\n\n\nASSISTANT: The Ebro. <|endoftext|>",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_every_template_is_split_into_turns(name):
    text = TEXTS[name]
    assert dialect_of(text).name == name
    assert parsed(text) == ("Be short." if "Be short." in text else "", PAIR)


@pytest.mark.parametrize(
    "text", ["A story.\nHuman: no.\nAssistant: yes.", "### Instruction: only", "Name a river.", 3]
)
def test_other_texts_have_no_turns(text):
    assert dialect_of(text) is None


def test_long_runs_of_line_breaks_take_linear_time():
    assert dialect_of("\n" * 300_000 + "end") is None


@pytest.mark.parametrize("arguments", ["""'{"city": "Lyon"}'""", '"{\\"city\\": \\"Lyon\\"}"'])
def test_call_of_a_function_is_read_with_its_quoted_arguments(arguments):
    text = (
        f'USER: Weather?\n\nASSISTANT: Now. <functioncall> {{"name": "get", "arguments": {arguments}}} <|endoftext|>'
    )
    _, turns = parsed(text)
    call = {"type": "function", "function": {"name": "get", "arguments": '{"city": "Lyon"}'}}
    assert turns[1] == {"role": "assistant", "content": "Now.", "tool_calls": [call]}


@pytest.mark.parametrize(
    "said", ["<functioncall> {" * 30_000, "<functioncall> {" + "'{" * 200_000 + "}", "<functioncall> }{"]
)
def test_call_that_is_not_json_stays_text_in_linear_time(said):
    _, turns = parsed(f"USER: a\n\nASSISTANT: {said}")
    assert turns[1] == {"role": "assistant", "content": said.strip()}
