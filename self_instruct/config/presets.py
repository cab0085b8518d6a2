"""The settings of earlier systems as values of our options: demonstrations, sampling and filters.

docs/presets.md explains the differences from our defaults, and what the options cannot reproduce. A test checks that every name
and value is valid on the command line.
"""

from dataclasses import dataclass
from typing import Any

_PARENT_RULES = ["length", "keywords", "openings", "punctuation", "non_ascii"]
_ANY_DEPTH = 1_000_000

_COMPLETION = {"max_demonstration_depth": _ANY_DEPTH, "chat_template": "never", "check_outputs": False}
"""Settings shared by the systems that use plain completion and have no limit on the depth of demonstrations."""

_CANDIDATES = {
    "min_instruction_words": 4,
    "max_instruction_words": 150,
    "keep_programming": False,
    "rouge_threshold": 0.7,
    "rouge_rule": "not_above",
    "rouge_tokenizer": "rouge",
    "embedding_threshold": None,
    "compare": "instruction",
}
"""The limits of Self-Instruct, which its descendants kept."""


@dataclass(frozen=True)
class Preset:
    """A short description of a system, and the options that reproduce it."""

    summary: str
    options: dict[str, Any]


_ALPACA = {
    **_COMPLETION,
    **_CANDIDATES,
    "num_prompt_instructions": 3,
    "num_prompt_synthetic_instructions": 0,
    "max_new_tokens": 3072,
    "temperature": 1.0,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "stop_words": ["\n20", "20."],
    "filter_rules": _PARENT_RULES,
    "filter_keywords": ["alpaca"],
    "filter_openings": ["Write a program"],
}

PRESETS: dict[str, Preset] = {
    "armel": Preset(
        "ArmelRandy/Self-instruct (2023) with local models for code",
        {
            **_COMPLETION,
            **_CANDIDATES,
            "num_prompt_instructions": 8,
            "num_prompt_synthetic_instructions": 2,
            "max_new_tokens": 4096,
            "temperature": 0.2,
            "top_p": 0.9,
            "repetition_penalty": 1.2,
            "stop_words": ["\n20", "20.", "20 ."],
            "filter_rules": _PARENT_RULES,
            "filter_keywords": ["default"],
            "filter_openings": ["Write a program", "Write a function"],
        },
    ),
    "self-instruct": Preset(
        "the paper's own code (2023)",
        {
            **_COMPLETION,
            **_CANDIDATES,
            "num_prompt_instructions": 8,
            "num_prompt_synthetic_instructions": 2,
            "max_tasks_per_request": 7,
            "max_new_tokens": 1024,
            "temperature": 0.7,
            "top_p": 0.5,
            "repetition_penalty": 1.0,
            "filter_rules": [*_PARENT_RULES, "input_as_output", "blank", "colon", "duplicates"],
            "filter_keywords": ["default"],
            "filter_openings": ["write a program"],
        },
    ),
    "alpaca": Preset("Stanford Alpaca (2023)", _ALPACA),
    "code-alpaca": Preset("Code Alpaca (2023), the same rules for code", _ALPACA),
    "airoboros": Preset(
        "airoboros (2024): refusals and embeddings, no bounds on instructions",
        {
            "num_prompt_synthetic_instructions": 0,
            "max_tasks_per_request": 5,
            "temperature": 0.7,
            "top_p": 0.5,
            "repetition_penalty": 1.0,
            "filter_rules": ["blank", "refusals"],
            "check_outputs": False,
            "rouge_threshold": 1.01,
            "embedding_threshold": 0.965,
            "embedding_reference": "kept",
            "compare": "instruction",
            "embedding_model_name_or_path": "thenlper/gte-small",
        },
    ),
}
