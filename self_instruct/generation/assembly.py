"""Build the parts of a run from its configuration. Only this module turns options into arguments of the stages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from self_instruct.engines import load_engine, load_reader
from self_instruct.engines.base import ModelEngine, Sampling, TokenCounter
from self_instruct.engines.fleet.world import World
from self_instruct.engines.local.placement import Placement
from self_instruct.engines.server.connecting import Endpoint, connect, endpoint_for
from self_instruct.engines.server.engine import OpenAIEngine, Patience
from self_instruct.engines.vllm.arguments import VllmOptions
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation.categories.library import drawn_alike
from self_instruct.generation.categories.quotas import read_shares
from self_instruct.generation.config import Config, flatten
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.judging import Curator, compared_text, rules_of
from self_instruct.generation.prompts import PromptBudget, PromptComposer
from self_instruct.novelty import vector_cache
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.novelty.embedding import EmbeddingIndex, SentenceEncoder
from self_instruct.novelty.vector_cache import CachedEncoder
from self_instruct.records import Record
from self_instruct.rules.build import build_rules
from self_instruct.runs.spending import Prices, Spending
from self_instruct.runs.writer import Origin

COLDEST = 1e-3


def build_format(base: RecordFormat, config: Config) -> RecordFormat:
    """Return the format with the given trigger words. Raises `UserError` if text could be mistaken for them."""
    words = {
        "instruction": config.prompt.instruction_trigger,
        "input": config.prompt.input_trigger,
        "output": config.prompt.output_trigger,
    }
    if words["input"] and "input" not in base.fields:
        raise UserError(
            "--input_trigger is given, but this format has no input; use instruction_input_output.py, or leave it out"
        )
    try:
        return base.with_triggers(**words)
    except ValueError as error:
        raise UserError(f"{error}; change --instruction_trigger, --input_trigger or --output_trigger") from None


def read_header(path: Path) -> str:
    """Read the header of the prompt. Raises `UserError` if the file cannot be read or is empty."""
    try:
        header = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8, or not a valid path"
        raise UserError(f"--prompt_path {path}: cannot be read ({reason}); give a UTF-8 text file") from None
    if not header:
        raise UserError(f"--prompt_path {path}: is empty; write what the model is to do")
    return header


def build_curator(
    config: Config, format: RecordFormat, header: str, seeds: list[Record], *, keeps_vectors: bool = False
) -> Curator:
    """Build the curator of a run from seed tasks. Loads the embedding model if it has a threshold."""
    filters = build_rules(config.filter, header, config.novelty.rouge_tokenizer)
    start = [(seed.id, compared_text(seed, format)) for seed in seeds]
    novelty = build_novelty(config, start, config.novelty.embedding_threshold is not None, keeps_vectors)
    return Curator({None: rules_of(format, filters, build_bounds(config))}, novelty)


def build_novelty(
    config: Config, start: Sequence[tuple[str, str]], by_meaning: bool, keeps_vectors: bool = False
) -> Novelty:
    """Build the comparison with these texts and all kept records: by words, and by embeddings if `by_meaning`.

    Vectors are looked up in the run's directory; with `keeps_vectors`, new ones are written there.
    """
    options, embeddings = config.novelty, None
    if by_meaning:
        encoder = SentenceEncoder(options.embedding_model_name_or_path)
        embeddings = EmbeddingIndex(encoder)
        if encoder.identity and config.run.batch_dir:
            path = Path(config.run.batch_dir) / vector_cache.FILE_NAME
            embeddings = EmbeddingIndex(CachedEncoder(encoder, encoder.identity, path, keeps_vectors))
    return Novelty(start, embeddings, options.rouge_tokenizer, options.embedding_reference)


def build_bounds(config: Config) -> Bounds:
    """Return how similar a record may be to the kept records."""
    options = config.novelty
    meaning = 1.0 if options.embedding_threshold is None else options.embedding_threshold
    return Bounds(options.rouge_threshold, meaning, options.rouge_rule)


def build_sampling(config: Config) -> Sampling:
    """Return the sampling options. Raises `UserError` for a temperature that is too low."""
    options = config.sampling
    if 0 < options.temperature < COLDEST:
        raise UserError(
            f"--temperature is {options.temperature}, too near to 0 to divide by; use 0 for greedy decoding"
        )
    return Sampling(
        options.max_new_tokens, options.temperature, options.top_p, options.top_k, options.repetition_penalty,
        options.min_p, options.presence_penalty, options.frequency_penalty,
    )  # fmt: skip


def build_reader(config: Config) -> TokenCounter:
    """Build the token counter with which prompts are composed."""
    options = config.model
    return load_reader(
        options.engine, options.model_name_or_path, options.script_path, options.model_revision, options.trust_remote_code,
        config.prompt.chat_template,
    )  # fmt: skip


def build_engine(config: Config, world: World, on_step: Callable[[int], None]) -> ModelEngine:
    """Load the engine of a process; `on_step` is called at every step with the number of rows that drew a token."""
    options = config.model
    placement = Placement(
        options.dtype,
        options.attn_implementation,
        options.quantization,
        options.device_map,
    )
    return load_engine(
        options.engine, options.model_name_or_path, options.script_path, build_sampling(config),
        model_revision=options.model_revision, placement=placement, trust_remote_code=options.trust_remote_code,
        batch_size=options.request_batch_size, max_length=config.sampling.max_length,
        chat_template=config.prompt.chat_template, rank=world.rank, processes=world.size, on_step=on_step,
        backend=options.engine_backend, alike=_drawn_alike(config), vllm=_vllm_options(config), options=flatten(config),
    )  # fmt: skip


def _vllm_options(config: Config) -> VllmOptions:
    options = config.model
    return VllmOptions(
        options.dtype, options.quantization, options.tensor_parallel_size, options.pipeline_parallel_size,
        options.gpu_memory_utilization, options.request_batch_size, tuple(options.vllm_args),
    )  # fmt: skip


def _drawn_alike(config: Config) -> bool:
    options = config.category
    if options.categories is None:
        return True
    own = Path(options.categories_path) if options.categories_path else None
    return drawn_alike(list(read_shares(options.categories)), own, vars(config.sampling))


def build_endpoint(config: Config, on_tokens: Callable[[int], None]) -> OpenAIEngine:
    """Build the engine that asks a server, after the server has answered once; it also counts the tokens of prompts."""
    options, model = config.endpoint, config.model
    endpoint = Endpoint(
        options.api_base, options.api_model, options.api_key_env,
        endpoint_for(config.prompt.chat_template, options.api_endpoint), options.api_continuation,
        options.api_context_length,
        options.api_extra_body,
    )  # fmt: skip
    patience = Patience(
        options.api_max_retries,
        options.api_timeout_seconds,
        60 * options.api_wait_minutes,
        options.api_max_concurrency,
    )
    local = None
    if model.model_name_or_path:
        local = partial(load_reader, "huggingface", model.model_name_or_path, None, model.model_revision,
                        model.trust_remote_code, elsewhere=True)  # fmt: skip
    return connect(
        endpoint, build_sampling(config), patience, config.sampling.num_return_sequences > 1, local, on_tokens
    )


def build_spending(config: Config) -> Spending:
    """Build the prices and budgets of a run. Raises `UserError` if they are invalid."""
    options = config.endpoint
    prices = Prices.parse(options.price_per_million_tokens) if options.price_per_million_tokens else None
    return Spending(prices, options.max_usage_tokens, options.max_cost)


def build_mix(config: Config, seeds: list[Record]) -> DemonstrationMix:
    """Build the choice of demonstrations. Raises `UserError` if there are not enough seeds."""
    options = config.prompt
    mix = DemonstrationMix(
        options.num_prompt_instructions, options.num_prompt_synthetic_instructions, options.max_demonstration_depth
    )
    mix.check(seeds)
    return mix


def prompt_budget(config: Config, reader: TokenCounter) -> PromptBudget:
    """Return how many tokens a prompt can have, from the model's context, --max_length and --max_new_tokens."""
    new, length, api = config.sampling.max_new_tokens, config.sampling.max_length, config.endpoint.api_context_length
    if length is not None and (reader.context_length is None or length < reader.context_length):
        return PromptBudget(new, length, "--max_length is", "raise --max_length")
    if config.model.engine == "openai" and api is not None:
        return PromptBudget(new, api, "--api_context_length is", "raise --api_context_length")
    return PromptBudget(new, reader.context_length, "the model's context is", "use a model with a longer context")


def build_composer(
    config: Config, format: RecordFormat, header: str, seeds: list[Record], reader: TokenCounter
) -> PromptComposer:
    """Build the composer of prompts. Raises `UserError` if a prompt would not fit the model."""
    budget = prompt_budget(config, reader)
    composer = PromptComposer(
        header, format, build_mix(config, seeds), config.run.seed, seeds, reader.prompt_tokens, budget
    )
    composer.check()
    return composer


def build_origin(config: Config, format: RecordFormat, model_revision: str) -> Origin:
    """Build the provenance that all records of a run share. A local model is named by its folder, without the path."""
    name = config.model.model_name_or_path or config.model.engine
    options, penalties = config.sampling, {}
    if config.model.engine == "openai":
        name = config.endpoint.api_model or ""
    given = {"presence_penalty": options.presence_penalty, "frequency_penalty": options.frequency_penalty}
    if config.model.engine in ("openai", "vllm") or any(given.values()):
        penalties = given
    return Origin(
        model=Path(name).name if Path(name).exists() else name,
        model_revision=model_revision,
        format=format.name,
        trigger_words=dict(format.triggers),
        sampling={
            "temperature": options.temperature,
            "top_p": options.top_p,
            "top_k": options.top_k,
            "min_p": options.min_p,
            "repetition_penalty": options.repetition_penalty,
            **penalties,
            "max_new_tokens": options.max_new_tokens,
            "seed": config.run.seed,
        },
    )


def stop_words(config: Config) -> tuple[str, ...] | None:
    """Return the given stop words, with \\n and \\t unescaped: shells and YAML often pass them as two characters."""
    words = config.sampling.stop_words
    if words is None:
        return None
    if any(not word for word in words):
        raise UserError("--stop_words holds an empty text, which would end every completion at once; remove it")
    return tuple(word.replace("\\n", "\n").replace("\\t", "\t") for word in words)


def with_horizon(config: Config, earlier: Mapping[str, Any] | None) -> Config:
    """Return the configuration with its horizon: as given, else as in the earlier run, else by the number of records."""
    settled = (
        config.prompt.horizon
        or (earlier or {}).get("options", {}).get("horizon")
        # It must not depend on the machine, or the plan would change with the number of GPUs.
        or max(16, min(1024, config.run.num_instructions_to_generate // 50))
    )
    return replace(config, prompt=replace(config.prompt, horizon=settled))
