"""Measure a chat model on texts that no generated training set contains."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.likelihood import AnswerModel
from self_instruct.rules.execution.python import code_of
from self_instruct.rules.execution.running import Runner
from self_instruct.rules.validators.constraints import stated_constraints
from self_instruct.seeds import load_seeds

ROOT = Path(__file__).resolve().parents[1]
MEASURES = ("loss on seeds", "constraints obeyed", "code parses", "code passes")
_TOPICS = "a garden|a train|the sea|a kitchen|winter|a school|a dog|music|the moon|a bridge|bread|a letter".split("|")
_FORMS = (
    "Write a sentence about {topic} that starts with the word 'Today'.",
    "Write a sentence about {topic} in exactly eight words.",
    "Write a sentence about {topic} that does not contain the letter 'z'.",
    "Write a sentence about {topic} that contains the word 'never'.",
    "Write a sentence about {topic} that ends with the word 'again'.",
)
PROMPTS = [form.format(topic=topic) for form in _FORMS for topic in _TOPICS]
"""The 60 prompts whose constraint the project's own rules verify."""


def measured(model: Any, tokenizer: Any) -> dict[str, float]:
    """Return each of `MEASURES`: the mean negative log-likelihood a token, in nats, of the outputs of all seed tasks; the share
    of `PROMPTS` that are obeyed; and the shares of the tasks in lift_tasks.jsonl whose answer parses, and passes its tests.
    """
    lines = (ROOT / "benchmarks" / "lift_tasks.jsonl").read_text(encoding="utf-8").splitlines()
    tasks = [json.loads(line) for line in lines]
    loss = seed_loss(AnswerModel(model, tokenizer, ""))
    replies = answers(model, tokenizer, [*PROMPTS, *(row["task"] for row in tasks)])
    parses, passes = code_shares(tasks, replies[len(PROMPTS) :])
    return dict(zip(MEASURES, (loss, obeyed(replies[: len(PROMPTS)]), parses, passes), strict=True))


def seed_loss(model: AnswerModel) -> float:
    """Return the mean loss of the outputs of all seed tasks that fit into the model's context, each token counted once."""
    seeds = [seed for name in ("general", "code") for seed in load_seeds(ROOT / "seeds" / f"{name}.jsonl")]
    encoded = [model.encode(seed.task, seed.output) for seed in seeds]
    rows = [(row.prompt, row.answer) for row in encoded if row.answer and not row.cut]
    losses = model.losses(rows)
    tokens = [len(answer) for _, answer in rows]
    return sum(loss * number for loss, number in zip(losses, tokens, strict=True)) / sum(tokens)


def answers(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Return the model's greedy answers, of at most 128 tokens."""
    engine = HuggingFaceEngine(model, tokenizer, "", Sampling(128, temperature=0.0), 16)
    engine.submit([Request(at, text, "", (), str(at)) for at, text in enumerate(texts)])
    found: dict[int, str] = {}
    while len(found) < len(texts):
        found |= {done.request: done.text for done in engine.poll()}
    engine.close()
    return [found[at] for at in range(len(texts))]


def obeyed(replies: Sequence[str]) -> float:
    """Return the share of replies to `PROMPTS` that satisfy every constraint of the prompt."""
    kept = [
        all(rule.drop_reason(reply) is None for rule in stated_constraints(prompt)) and bool(reply.strip())
        for prompt, reply in zip(PROMPTS, replies, strict=True)
    ]
    return sum(kept) / len(kept)


def code_shares(tasks: Sequence[dict[str, Any]], replies: Sequence[str]) -> tuple[float, float]:
    """Return the shares of replies whose code parses, and that pass the task's tests in the sandbox."""
    codes = [code_of(row["task"], reply) for row, reply in zip(tasks, replies, strict=True)]
    parsing = [code if code is not None and _parses(code) else None for code in codes]
    runner = Runner("auto", 5.0)
    try:
        running = [
            runner.passed("python", code, row["tests"])
            for row, code in zip(tasks, parsing, strict=True)
            if code is not None
        ]
        numbers = [runner.result(future) for future in running]
    finally:
        runner.close()
    wanted = [len(row["tests"]) for row, code in zip(tasks, parsing, strict=True) if code is not None]
    passing = sum(number == tests for number, tests in zip(numbers, wanted, strict=True))
    return len(running) / len(tasks), passing / len(tasks)


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
