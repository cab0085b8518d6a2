"""A small file of every input format, with the quirks of published files."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq

TURNS = [
    {"from": "system", "value": "Be brief."},
    {"from": "human", "value": "Who wrote Emma?"},
    {"from": "gpt", "value": "Jane Austen."},
    {"from": "human", "value": "And Dracula?"},
    {"from": "bing", "value": "Bram Stoker.", "weight": 1},
]
ASKED, ANSWERED = {"role": "user", "content": "Add 2 and 3."}, {"role": "assistant", "content": "5"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "clock"}]}
LONGER = [ASKED, ANSWERED, {"role": "user", "content": "Twice?"}, {"role": "assistant", "content": "10"}]


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


CONTENT = {
    "alpaca.json": json.dumps(
        [{"instruction": "Name a river.", "input": "<noinput>", "output": "The Rhine."},
         {"instruction": "Sort.", "input": "3 1", "output": "1 3"},
         {"instruction": "Ünïcode \u2028 \U0001f600", "input": "", "output": ""}], indent=1, ensure_ascii=False),
    "comparison.json": json.dumps([{"user_input": "Say hi.", "completion_a": "Hi!", "completion_b": "No."}]),
    "comparison_v2.json": json.dumps(
        [{"user_input": "Say hi.", "responses_and_scores": [{"response": "No.", "source": "a", "score": 2.0},
                                                            {"response": "Hi!", "source": "b", "score": 9.5}]}]),
    "seeds.jsonl": lines(
        {"id": "seed_task_0", "name": "breakfast", "instruction": "Plan a breakfast.", "is_classification": False,
         "instances": [{"input": "", "output": "Eggs."}]},
        {"id": "seed_task_1", "name": "relation", "instruction": "What is the relation?", "is_classification": True,
         "instances": [{"input": "Night : Day", "output": "opposites"}, {"input": "Up : Down", "output": "opposites"}]}),
    "self_instruct.jsonl": lines(
        {"prompt": "Task: Sort.\n\nOutput:", "completion": " 1 3<|endoftext|>", "instruction": "Sort.", "input": "3 1",
         "output": "1 3"}),
    "dolly.jsonl": lines(
        {"instruction": "When did it open?", "context": "The line opened in 1903.[42]", "response": "In 1903.",
         "category": "closed_qa"},
        {"instruction": "Give me ideas.", "context": "", "response": "Swim.", "category": "brainstorming"}),
    "gpt4all.jsonl": lines({"prompt": "Why is\nit dark?", "response": "It is night.", "source": "laion/unified_chip2"}),
    "wild_v1.json": json.dumps([{"instruction": "Recommend a film.", "input": "", "output": "Alien."}]),
    "wild_v2.jsonl": lines(
        {"instruction": "Write snake\\_case for 'a b'", "instruction_type": "Generation"},
        {"instruction": "How are you?", "instruction_type": "Open QA", "special_tag": "immoral"}),
    "sharegpt.json": json.dumps(
        [{"id": "QWJhYvA_0", "model": "Model: GPT-4", "conversations": TURNS},
         {"id": "QWJhYvA_1", "conversations": TURNS[1:3]}, {"id": "QWJhYvA_2", "conversations": TURNS[1:4]}], indent=2),
    "lmflow_text.json": json.dumps({"type": "text_only", "instances": [{"text": "Once upon a time."}]}),
    "lmflow_pairs.json": json.dumps(
        {"type": "text2text", "instances": [{"input": "Name a river.", "output": "Rhine"}, {"input": "Hm?", "output": "Yes"}]},
        indent=4),
    "lmflow_chat.json": json.dumps(
        {"type": "conversation", "instances": [{"conversation_id": 7, "system": "Be kind.", "tools": ["clock"],
                                                "messages": LONGER}]}),
    "airoboros.jsonl": lines(
        {"instruction": "BEGININPUT\nBEGINCONTEXT\nurl: a.b\nENDCONTEXT\nSheep graze.\nENDINPUT\nBEGININSTRUCTION\nWho "
                        "grazes?\nENDINSTRUCTION", "response": "Sheep.", "category": "contextual", "system": "You cite.",
         "skip_prompt_formatting": False}),
    "airoboros_input.jsonl": lines({"instruction": "Sort.", "input": "3 1", "response": "1 3"}),
    "distilabel.jsonl": lines(
        {"instruction": "Name a river.", "generation": "The Rhine.", "model_name": "m", "system_prompt": "Be brief.",
         "distilabel_metadata": {"raw_output": "The Rhine."}},
        {"instruction": "Sort.", "input": "3 1", "generation": "1 3", "model_name": "m"}),
    "context.jsonl": lines({"instruction": "Who grazes?", "context": "Sheep graze.", "output": "Sheep."}),
    "messages.jsonl": lines({"messages": LONGER}, {"messages": [ASKED, ANSWERED], "license": "MIT"},
                            {"messages": [ASKED, CALL, {"role": "tool", "content": "12:00"}, ANSWERED]}),
    "prompt.jsonl": lines({"prompt": "2 + 3 =", "completion": " 5", "difficulty": 0.5}),
    "prompt_chat.jsonl": lines({"prompt": LONGER[:3], "completion": LONGER[3:]}),
    "run.jsonl": lines({"instruction": "Sum the list.", "input": "", "output": "sum(x)",
                        "provenance": {"id": "000001-02", "rouge_l": 0.41, "most_similar": {"id": "s", "score": 0.41}}}),
    "qa.jsonl": lines({"question": "How many?", "answer": "48/2 = <<48/2=24>>24\n#### 24"}),
    "spread.json": json.dumps({"instruction": "Jump.", "output": "Done."}, indent=2) * 2,
}  # fmt: skip
FORMAT_OF = {
    "alpaca.json": "alpaca", "comparison.json": "comparison", "comparison_v2.json": "comparison",
    "seeds.jsonl": "self-instruct-seeds", "self_instruct.jsonl": "alpaca", "dolly.jsonl": "dolly", "gpt4all.jsonl": "gpt4all",
    "wild_v1.json": "alpaca", "wild_v2.jsonl": "instruction-wild", "sharegpt.json": "sharegpt", "lmflow_text.json": "lmflow",
    "lmflow_pairs.json": "lmflow", "lmflow_chat.json": "lmflow", "airoboros.jsonl": "airoboros", "messages.jsonl": "messages",
    "prompt.jsonl": "prompt-completion", "prompt_chat.jsonl": "prompt-completion", "run.jsonl": "jsonl",
    "qa.jsonl": "question-answer", "spread.json": "alpaca", "magpie.parquet": "magpie",
    "airoboros_input.jsonl": "airoboros", "distilabel.jsonl": "distilabel", "context.jsonl": "dolly",
    "packed.jsonl.gz": "dolly",
}  # fmt: skip


def write_all(folder):
    """Write all files."""
    for name, content in CONTENT.items():
        (folder / name).write_text(content, encoding="utf-8", newline="")
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress(CONTENT["dolly.jsonl"].encode()))
    row = {"uuid": "u1", "instruction": "Why?", "response": "Because.", "task_category": "Reasoning", "reward": 0.5,
           "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]}  # fmt: skip
    longer = [*row["conversations"], {"from": "human", "value": "Really?"}, {"from": "gpt", "value": "Yes."}]
    rows = [row, {**row, "uuid": "u2", "reward": float("nan"), "conversations": longer}]
    pq.write_table(pa.Table.from_pylist(rows), folder / "magpie.parquet")
    return folder


def conversation(text):
    """Return the turns of a short notation such as `u:question a:answer`; a word without a role continues the turn."""
    turns = []
    for word in text.split(" ") if text else []:
        name, colon, rest = word.partition(":")
        if colon and name in ("u", "a", "tool"):
            turns.append({"role": {"u": "user", "a": "assistant"}.get(name, name), "content": rest})
        else:
            turns[-1]["content"] += f" {word}"
    return turns
