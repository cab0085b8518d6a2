"""Texts in chat templates."""

import pytest

from self_instruct.datasets.marked_text import dialect_of, parsed, without_end
from self_instruct.datasets.schemas import SCHEMAS, recognise
from self_instruct.user_files import LineError

PAIR = [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "The Ebro."}]
TEXTS = {
    "ChatML": "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nName a river.<|im_end|>\n"
    "<|im_start|>assistant\nThe Ebro.<|im_end|>\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nName a river.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nThe Ebro.<|eot_id|>",
    "Gemma": "<bos><start_of_turn>user\nName a river.<end_of_turn>\n<start_of_turn>model\nThe Ebro.<end_of_turn>",
    "Zephyr": "<|system|>\nBe short.</s>\n<|user|>\nName a river.</s>\n<|assistant|>\nThe Ebro.</s>",
    "DeepSeek": "<｜begin▁of▁sentence｜>Be short.<｜User｜>Name a river.<｜Assistant｜>The Ebro.<｜end▁of▁sentence｜>",
    "Cohere": "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Name a river.<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>The Ebro.<|END_OF_TURN_TOKEN|>",
    "Harmony": "<|start|>developer<|message|>Be short.<|end|><|start|>user<|message|>Name a river.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>The Ebro.<|return|>",
    "Llama 2": "<s>[INST] <<SYS>>\nBe short.\n<</SYS>>\n\nName a river. [/INST] The Ebro. </s>",
    "Baize": "The conversation between human and AI assistant.\n[|Human|] Name a river.\n[|AI|] The Ebro.\n[|Human|] ",
    "Guanaco": "### Human: Name a river.### Assistant: The Ebro.",
    "Alpaca": "### Instruction:\nName a river.\n\n### Response:\nThe Ebro.",
    "Human and Assistant": "\n\nHuman: Name a river.\n\nAssistant: The Ebro.",
    "OIG": "<human>: Name a river.\n<bot>: The Ebro.",
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


def test_long_runs_of_line_breaks_and_of_end_markers_take_linear_time():
    assert dialect_of("\n" * 300_000 + "end") is None
    assert without_end("</s>" * 100_000 + " " * 100_000 + "x").endswith("x")


def test_thoughts_of_harmony_belong_to_the_answer_after_them():
    text = (
        "<|start|>user<|message|>Name a river.<|end|><|start|>assistant<|channel|>analysis<|message|>In Spain.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>The Ebro.<|return|>"
    )
    assert parsed(text) == ("", [PAIR[0], PAIR[1] | {"reasoning_content": "In Spain."}])


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nName a river.",
        "<｜User｜>Name a river.",
        "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>commentary to=functions.w <|message|>{}<|call|>"
        "<|start|>assistant<|channel|>final<|message|>Hello.<|return|>",
    ],
)
def test_text_with_markers_that_cannot_be_split_is_refused_and_is_no_answer(text):
    with pytest.raises(LineError, match="cannot be split into turns"):
        SCHEMAS["text"].read({"text": text}, "a.jsonl:1")


def test_text_after_the_marker_of_a_document_is_an_answer():
    assert (
        SCHEMAS["text"].read({"text": "<|endoftext|>Once upon a time"}, "").output == "<|endoftext|>Once upon a time"
    )


@pytest.mark.parametrize("answer", ["The Ebro.", " The Ebro.<|im_end|>\n", "The Ebro.</s>"])
def test_prompt_with_markers_is_a_conversation_that_waits_for_its_answer(answer):
    prompt = (
        "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nName a river.<|im_end|>\n<|im_start|>assistant\n"
    )
    for row in ({"prompt": prompt, "completion": answer}, {"prompt": prompt, "chosen": answer, "rejected": "Rome"}):
        found = recognise([row], {}, "", "").read(row, "")
        assert (found.system, found.instruction, found.output) == ("Be short.", "Name a river.", "The Ebro.")


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
