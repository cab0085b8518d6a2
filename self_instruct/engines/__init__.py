"""What generates: one seam (base.py) and the engines behind it. Only the engine that is asked for is imported."""

from collections.abc import Callable
from pathlib import Path

from self_instruct.engines.base import Engine, Sampling
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
) -> Engine:
    """The engine of that name, ready to generate. Raises `UserError` when what it needs is missing or cannot be loaded."""
    if name == "scripted":
        if not script_path:
            raise UserError("--engine scripted needs --script_path, a JSONL file with the completions to replay")
        from self_instruct.engines.scripted import ScriptedEngine

        return ScriptedEngine.from_file(Path(script_path), rank)
    if not model_name_or_path:
        raise UserError(
            "--model_name_or_path is missing; give a Hub id, as bigcode/starcoder2-3b, or a model's folder"
        )
    from self_instruct.engines.loading import load_model

    model, tokenizer, revision = load_model(
        model_name_or_path, model_revision, dtype, attn_implementation, trust_remote_code
    )
    from self_instruct.engines.huggingface import HuggingFaceEngine

    return HuggingFaceEngine(model, tokenizer, revision, sampling, batch_size, chat_template, rank, on_step, backend)
