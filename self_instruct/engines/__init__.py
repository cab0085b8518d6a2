"""Load engines, which complete prompts; base.py defines their interface. Model libraries are imported only when needed."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from self_instruct.engines.base import ModelEngine, Sampling, TokenCounter
from self_instruct.engines.choice import check_engine, choose_engine
from self_instruct.engines.local.model_kinds import check_source
from self_instruct.engines.local.placement import Machine, Placement, check, device
from self_instruct.engines.local.row_search import BatchSize
from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.engines.vllm.arguments import VllmOptions
from self_instruct.errors import UserError


def load_engine(
    name: str,
    model_name_or_path: str | None,
    script_path: str | None,
    sampling: Sampling,
    *,
    model_revision: str | None = None,
    placement: Placement | None = None,
    trust_remote_code: bool = False,
    adapter: str | None = None,
    batch_size: BatchSize | None = None,
    max_length: int | None = None,
    chat_template: str = "auto",
    rank: int = 0,
    processes: int = 1,
    on_step: Callable[[int], None] = lambda rows: None,
    backend: str = "auto",
    same_sampling: bool = True,
    template_arguments: Mapping[str, Any] | None = None,
    vllm: VllmOptions | None = None,
    options: Mapping[str, Any] | None = None,
) -> ModelEngine:
    """Load an engine; for "auto", choose it from the machine, the model and `options` (the options of the run).

    `rank` is the rank of this process among the generating `processes`. A row has at most `max_length` tokens.
    `same_sampling` is true if all requests have the same sampling, apart from the number of tokens. Raises UserError if
    the model or a package is missing or cannot be loaded, or if options conflict.
    """
    if name == "scripted":
        return _load_scripted(script_path, rank)
    model_name, reasons_against = _require_model(model_name_or_path), dict[str, str]()
    if name == "auto":
        name, reason = _choose(model_name, model_revision, trust_remote_code, options or {})
        reasons_against = {"vllm": reason} if reason else {}
    if name == "vllm":
        from self_instruct.engines.vllm.engine import load_vllm

        return load_vllm(
            model_name, model_revision, trust_remote_code, vllm or VllmOptions(), sampling, max_length, chat_template, rank,
            processes, on_step, template_arguments,
        )  # fmt: skip
    from self_instruct.engines.local.constraint import check_installed
    from self_instruct.engines.local.engine import HuggingFaceEngine
    from self_instruct.engines.local.loading import check_numbers, load_model
    from self_instruct.engines.local.memory import longest_row, plan_rows
    from self_instruct.engines.local.tokenizer import context_length, read_config

    if sampling.constrain:
        check_installed()
    placement = placement or Placement()
    check(placement, Machine.here(processes), read_config(model_name, model_revision, trust_remote_code))
    model, tokenizer, revision = load_model(model_name, model_revision, placement, trust_remote_code, adapter)
    check_numbers(model, tokenizer)
    longest = longest_row(context_length(model.config, tokenizer), max_length, sampling.max_new_tokens)
    rows, search = plan_rows(model, longest, batch_size or BatchSize(), placement.quantization)
    return HuggingFaceEngine(
        model, tokenizer, revision, sampling, rows, chat_template, rank, on_step, backend, same_sampling,
        template_arguments, reasons_against, search,
    )  # fmt: skip


def _choose(name: str, revision: str | None, trust_remote_code: bool, options: Mapping[str, Any]) -> tuple[str, str]:
    def architectures() -> list[str]:
        from self_instruct.engines.local.tokenizer import read_config

        return read_config(name, revision, trust_remote_code).architectures or []

    chosen, reason = choose_engine(options, device().type, architectures)
    check_engine(chosen, options, f"not vllm: {reason}" if reason else "")
    return chosen, reason


def load_reader(
    name: str,
    model_name_or_path: str | None,
    script_path: str | None,
    model_revision: str | None = None,
    trust_remote_code: bool = False,
    chat_template: str = "auto",
    elsewhere: bool = False,
    template_arguments: Mapping[str, Any] | None = None,
    adapter: str | None = None,
) -> TokenCounter:
    """Return a counter of prompt tokens for an engine. With `elsewhere`, the weights are not on this machine.

    Raises UserError as `load_engine` does.
    """
    if name == "scripted":
        return _load_scripted(script_path)
    from self_instruct.engines.local.tokenizer import ModelReader

    name = _require_model(model_name_or_path)
    return ModelReader(name, model_revision, trust_remote_code, chat_template, elsewhere, template_arguments, adapter)


def check_model(name: str, model_name_or_path: str | None, model_revision: str | None = None) -> None:
    """Raise UserError if a local engine cannot load the model; check only what needs no model library."""
    if name != "scripted":
        check_source(_require_model(model_name_or_path), model_revision)


def _load_scripted(script_path: str | None, rank: int = 0) -> ScriptedEngine:
    if not script_path:
        raise UserError("--engine scripted needs --script_path, a JSONL file with the completions to replay")
    return ScriptedEngine.from_file(Path(script_path), rank)


def _require_model(model_name_or_path: str | None) -> str:
    if not model_name_or_path:
        raise UserError(
            "--model_name_or_path is missing; give a Hub id, such as bigcode/starcoder2-3b, a model's folder or a GGUF file"
        )
    return model_name_or_path
