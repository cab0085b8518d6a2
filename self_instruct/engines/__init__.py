"""What generates: one seam (base.py) and the engines behind it. Model libraries are imported only where they are needed."""

from collections.abc import Callable
from pathlib import Path

from self_instruct.engines.base import ModelEngine, PromptReader, Sampling
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.errors import UserError


def load_engine(
    name: str,
    model_name_or_path: str | None,
    script_path: str | None,
    sampling: Sampling,
    *,
    model_revision: str | None = None,
    dtype: str = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    batch_size: int = 8,
    chat_template: str = "auto",
    rank: int = 0,
    on_step: Callable[[int], None] = lambda rows: None,
    backend: str = "auto",
) -> ModelEngine:
    """The engine of that name, ready to generate. Raises `UserError` when what it needs is missing or cannot be loaded."""
    if name == "scripted":
        return _scripted(script_path, rank)
    from self_instruct.engines.loading import load_model

    model, tokenizer, revision = load_model(
        _named(model_name_or_path), model_revision, dtype, attn_implementation, trust_remote_code
    )
    from self_instruct.engines.huggingface import HuggingFaceEngine

    return HuggingFaceEngine(model, tokenizer, revision, sampling, batch_size, chat_template, rank, on_step, backend)


def load_reader(
    name: str,
    model_name_or_path: str | None,
    script_path: str | None,
    model_revision: str | None = None,
    trust_remote_code: bool = False,
    chat_template: str = "auto",
) -> PromptReader:
    """What composing needs to know of the engine of that name. Raises `UserError` as `load_engine` does."""
    if name == "scripted":
        return _scripted(script_path)
    from self_instruct.engines.text import ModelReader

    return ModelReader(_named(model_name_or_path), model_revision, trust_remote_code, chat_template)


def _scripted(script_path: str | None, rank: int = 0) -> ScriptedEngine:
    if not script_path:
        raise UserError("--engine scripted needs --script_path, a JSONL file with the completions to replay")
    return ScriptedEngine.from_file(Path(script_path), rank)


def _named(model_name_or_path: str | None) -> str:
    if not model_name_or_path:
        raise UserError(
            "--model_name_or_path is missing; give a Hub id, as bigcode/starcoder2-3b, or a model's folder"
        )
    return model_name_or_path
