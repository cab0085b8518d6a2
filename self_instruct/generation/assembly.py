"""Build the parts of a run from its configuration. Only this module turns options into arguments of the stages."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from self_instruct.engines import load_engine, load_reader
from self_instruct.engines.base import ModelEngine, Sampling, TokenCounter, TurnReader
from self_instruct.engines.fleet.world import World
from self_instruct.engines.local.placement import Placement
from self_instruct.engines.local.row_search import BatchSize
from self_instruct.engines.server.connecting import Endpoint, connect, endpoint_for
from self_instruct.engines.server.engine import OpenAIEngine, Patience
from self_instruct.engines.vllm.arguments import VllmOptions
from self_instruct.errors import UserError
from self_instruct.formats import RecordFormat
from self_instruct.generation import testing
from self_instruct.generation.answers import Answering
from self_instruct.generation.categories.library import share_sampling
from self_instruct.generation.categories.quotas import read_shares
from self_instruct.generation.config import Config, flatten
from self_instruct.generation.demonstrations import DemonstrationMix
from self_instruct.generation.judging import Curator, Observer, compared_text, rules_of
from self_instruct.generation.plan import Composer, numbered_stop
from self_instruct.generation.prompts import PromptBudget, PromptComposer
from self_instruct.generation.task_lists import TASKS, TaskListComposer, listed_tasks
from self_instruct.generation.testing import Testing
from self_instruct.generation.user_turns import UserTurnComposer, UserTurnParser
from self_instruct.generation.verification import Verification
from self_instruct.novelty import vector_cache
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.novelty.embedding import EmbeddingIndex, SentenceEncoder
from self_instruct.novelty.vector_cache import CachedEncoder
from self_instruct.records import Record
from self_instruct.rules.build import build_rules
from self_instruct.runs.found_rows import read_found_rows
from self_instruct.runs.journal import Entry
from self_instruct.runs.spending import Prices, Spending
from self_instruct.runs.verdict import Verdict
from self_instruct.runs.writer import Origin

MIN_TEMPERATURE = 1e-3  # except 0, which is greedy decoding
TWO_STEPS = ("chat", "magpie")
AUTO = "auto"
_log = logging.getLogger(__name__)


def build_format(base: RecordFormat, config: Config) -> RecordFormat:
    """Return the format with the given trigger words. Raises `UserError` if text could be mistaken for them."""
    words = {
        "instruction": config.prompt.instruction_trigger,
        "input": config.prompt.input_trigger,
        "output": config.prompt.output_trigger,
    }
    if words["input"] is not None and "input" not in base.fields:
        raise UserError(
            "--input_trigger is given, but this format has no input; use instruction_input_output.py, or leave it out"
        )
    try:
        return base.with_triggers(**words)
    except ValueError as error:
        raise UserError(f"{error}; change --instruction_trigger, --input_trigger or --output_trigger") from None


def build_curator(
    config: Config,
    format: RecordFormat,
    header: str,
    seeds: list[Record],
    *,
    keeps_vectors: bool = False,
    observe: Observer = lambda *_: None,
    turns: UserTurnParser | None = None,
) -> Curator:
    """Build the curator of a run from seed tasks; `turns` reads the tasks of --recipe magpie. Loads the embedding model if
    --embedding_threshold is given.
    """
    filters = build_rules(config.filter, header, config.novelty.rouge_tokenizer, seeds)
    start = [(seed.id, compared_text(seed, format)) for seed in seeds]
    novelty = build_novelty(config, start, config.novelty.embedding_threshold is not None, keeps_vectors)
    readers: dict[str, Callable[[Entry], list[Verdict]]] = {
        "chat": partial(listed_tasks, "input" in format.fields),
        "magpie": turns or UserTurnParser(config.prompt.magpie_opening or ""),
    }
    orphans = config.prompt.answer_orphans == "always"
    read_tasks, number = readers.get(config.prompt.recipe), config.prompt.num_answers
    rules = rules_of(format, filters, build_bounds(config), read_tasks, orphans, number)
    return Curator({None: rules}, novelty, observe, build_verification(config))


def build_novelty(
    config: Config, start: Sequence[tuple[str, str]], by_meaning: bool, keeps_vectors: bool = False
) -> Novelty:
    """Build the comparison of candidates with the texts in `start`, given as (id, text), and with all kept records: by words,
    and by embeddings if `by_meaning`.

    Vectors are read from the run's directory if they are stored there; with `keeps_vectors`, new ones are added.
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
    for name in ("temperature", "answer_temperature"):
        if 0 < (getattr(options, name) or 0) < MIN_TEMPERATURE:
            raise UserError(
                f"--{name} is {getattr(options, name)}, too close to 0 to divide by; use 0 for greedy decoding"
            )
    return Sampling(
        options.max_new_tokens, options.temperature, options.top_p, options.top_k, options.repetition_penalty,
        options.min_p, options.stop_repetition, options.presence_penalty, options.frequency_penalty, options.constrain,
    )  # fmt: skip


def answer_sampling(config: Config) -> Sampling | None:
    """Return the sampling of requests for answers, or None if all requests are sampled in the same way."""
    options, usual = config.sampling, build_sampling(config)
    own = replace(
        usual,
        temperature=usual.temperature if options.answer_temperature is None else options.answer_temperature,
        max_new_tokens=options.answer_max_new_tokens or usual.max_new_tokens,
    )
    return None if own == usual else own


def answers_alone(config: Config) -> bool:
    """Return whether the run answers tasks in separate requests."""
    return config.prompt.recipe in TWO_STEPS or config.prompt.answer_orphans == "always"


def build_answering(config: Config, seeds: Sequence[Record], reader: TokenCounter) -> Answering:
    """Build the requests for answers. Raises `UserError` if the shortest seed task would not fit the model as a message."""
    answering = Answering(config.prompt.answer_system_prompt, answer_sampling(config))
    if seeds and answers_alone(config):
        shortest = min((answering.ask(0, seed, 0)[0].text for seed in seeds), key=len)
        name = "--max_new_tokens" if config.sampling.answer_max_new_tokens is None else "--answer_max_new_tokens"
        new = config.sampling.answer_max_new_tokens or config.sampling.max_new_tokens
        budget = replace(prompt_budget(config, reader), max_new_tokens=new, option=name)
        budget.check(token_count(reader, answering.system)(shortest, ""), "the shortest seed task, sent alone,")
    return answering


def build_verification(config: Config) -> Verification | None:
    """Return what verifies code, or None without --verify."""
    return Verification(config.verification) if config.verification.verify else None


def build_testing(config: Config, reader: TokenCounter) -> Testing | None:
    """Build the requests for tests, None without --verify. Raises `UserError` if a prompt would not fit the model."""
    if not config.verification.verify:
        return None
    count, number = token_count(reader, None), testing.MAX_NEW_TOKENS
    budget = replace(prompt_budget(config, reader), max_new_tokens=number, option="for tests, the limit of new tokens")
    composers = {}
    for name in config.verification.verify:
        shown = testing.examples(name)
        mix = DemonstrationMix(len(shown), 0, 1)
        composers[name] = PromptComposer(testing.HEADER, testing.FORMAT, mix, config.run.seed, shown, count, budget)
        composers[name].check()
    sampling = replace(build_sampling(config), temperature=0.0, max_new_tokens=number)
    return Testing(composers, sampling)


def template_arguments(config: Config) -> dict[str, Any] | None:
    """Return the variables of --chat_template_kwargs, None for "auto". Raises `UserError` if they are not a JSON object."""
    text = config.prompt.chat_template_kwargs
    if text == AUTO:
        return None
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        found = f"not JSON ({error})"
    if not isinstance(found, dict):
        raise UserError(
            f"--chat_template_kwargs is {text!r}, which is not a JSON object; give one, such as "
            "'{\"enable_thinking\": false}'"
        )
    return found


def token_count(reader: TokenCounter, system: str | None) -> Callable[[str, str], int]:
    """Return a function that counts the tokens of a prompt and its opening, including the system message."""
    return partial(reader.prompt_tokens, system=system) if system else reader.prompt_tokens


def build_reader(config: Config) -> TokenCounter:
    """Build the token counter with which prompts are composed."""
    options = config.model
    return load_reader(
        options.engine, options.model_name_or_path, options.script_path, options.model_revision, options.trust_remote_code,
        config.prompt.chat_template, template_arguments=template_arguments(config), adapter=options.adapter,
    )  # fmt: skip


def build_engine(config: Config, world: World, on_step: Callable[[int], None]) -> ModelEngine:
    """Load the engine of a process; `on_step` is called at every step with the number of rows that drew a token."""
    options, run = config.model, config.run
    placement = Placement(options.dtype, options.attn_implementation, options.quantization, options.device_map)
    found = read_found_rows(Path(run.batch_dir)) if run.batch_dir and not run.plan else {}
    batch_size = BatchSize(options.request_batch_size, run.plan, found)
    return load_engine(
        options.engine, options.model_name_or_path, options.script_path, build_sampling(config),
        model_revision=options.model_revision, placement=placement, trust_remote_code=options.trust_remote_code,
        adapter=options.adapter, batch_size=batch_size, max_length=config.sampling.max_length,
        chat_template=config.prompt.chat_template, rank=world.rank, processes=world.size, on_step=on_step,
        backend=options.engine_backend, same_sampling=_same_sampling(config),
        template_arguments=template_arguments(config), vllm=_vllm_options(config), options=flatten(config),
    )  # fmt: skip


def _vllm_options(config: Config) -> VllmOptions:
    options = config.model
    return VllmOptions(
        options.dtype, options.quantization, options.tensor_parallel_size, options.pipeline_parallel_size,
        options.gpu_memory_utilization, options.request_batch_size, tuple(options.vllm_args),
    )  # fmt: skip


def _same_sampling(config: Config) -> bool:
    options = config.category
    if config.verification.verify or config.sampling.answer_temperature not in (None, config.sampling.temperature):
        return False
    if options.categories is None:
        return True
    own = Path(options.categories_path) if options.categories_path else None
    return share_sampling(list(read_shares(options.categories)), own, vars(config.sampling))


def build_endpoint(config: Config, on_tokens: Callable[[int], None]) -> OpenAIEngine:
    """Connect to the server of --engine openai, and return the engine, which also counts the tokens of prompts."""
    options, model = config.endpoint, config.model
    if model.adapter:
        raise UserError(
            "--adapter does not go with --engine openai; have the server load the adapter, and leave --adapter out"
        )
    endpoint = Endpoint(
        options.api_base, options.api_model, options.api_key_env,
        endpoint_for(config.prompt.chat_template, options.api_endpoint), options.api_continuation,
        options.api_context_length,
        options.api_extra_body, template_arguments(config),
    )  # fmt: skip
    patience = Patience(
        options.api_max_retries,
        options.api_timeout_seconds,
        60 * options.api_wait_minutes,
        options.api_max_concurrency,
    )
    turns = config.prompt.recipe == "magpie" and config.category.categories is None
    return connect(
        endpoint, build_sampling(config), patience, max(config.sampling.num_return_sequences, config.prompt.num_answers) > 1,
        _server_tokenizer(config, turns), turns, on_tokens,
    )  # fmt: skip


def _server_tokenizer(config: Config, turns: bool) -> Callable[[], TokenCounter | None] | None:
    """Return a function that loads the tokenizer of a server's model, or None if no option names one. With `turns`, --api_model
    may name it too; the function returns None if that is no folder or Hub id of a model.
    """
    model, options = config.model, config.endpoint
    name = options.tokenizer_name_or_path or model.model_name_or_path or (options.api_model if turns else None)
    if name is None:
        return None
    revision = None if options.tokenizer_name_or_path else model.model_revision

    def load() -> TokenCounter | None:
        try:
            return load_reader(
                "huggingface", name, None, revision, model.trust_remote_code,
                config.prompt.chat_template if turns else "auto", elsewhere=True,
                template_arguments=template_arguments(config),
            )  # fmt: skip
        except UserError as error:
            if options.tokenizer_name_or_path:
                raise UserError(str(error).replace("--model_name_or_path", "--tokenizer_name_or_path")) from error
            if model.model_name_or_path:
                raise
            return None

    return load


def build_spending(config: Config) -> Spending:
    """Build the prices and budgets of a run. Raises `UserError` if they are invalid."""
    options = config.endpoint
    prices = Prices.parse(options.price_per_million_tokens) if options.price_per_million_tokens else None
    return Spending(prices, options.max_usage_tokens, options.max_cost)


def build_mix(config: Config, seeds: list[Record]) -> DemonstrationMix:
    """Build the choice of demonstrations. Raises `UserError` if there are not enough seeds."""
    options = config.prompt
    numbers = options.num_prompt_instructions, options.num_prompt_synthetic_instructions
    mix = DemonstrationMix(*numbers, options.max_demonstration_depth, options.steer)
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


def warn_of_unused_length(max_length: int | None, reader: TokenCounter) -> None:
    """Warn if --max_length is above the model's context, which then is the limit."""
    context = reader.context_length
    if max_length is not None and context is not None and max_length > context:
        _log.warning(
            "--max_length %d has no effect: the model's context is %d tokens. Use a smaller number, or leave it out.",
            max_length, context,
        )  # fmt: skip


def build_composer(
    config: Config, format: RecordFormat, header: str, seeds: list[Record], reader: TokenCounter
) -> PromptComposer:
    """Build the composer of prompts in which the model continues a list of records. Raises `UserError` if a prompt would
    not fit the model.
    """
    composer = PromptComposer(header, *_composer_arguments(config, format, seeds, reader))
    composer.check()
    return composer


def build_recipe_composer(
    config: Config, format: RecordFormat, header: str, seeds: list[Record], reader: TokenCounter
) -> Composer:
    """Build the composer of the recipe's prompts. Raises `UserError` if one would not fit the model, or a user's turn cannot
    be cut.
    """
    if config.prompt.recipe == "magpie":
        if not isinstance(reader, TurnReader):
            raise UserError("--recipe magpie needs an engine that knows the model's chat template; use another recipe")
        turn = reader.user_turn(config.prompt.system_prompt)
        return UserTurnComposer(format, turn, config.prompt.magpie_opening or "")
    if config.prompt.recipe != "chat":
        return build_composer(config, format, header, seeds, reader)
    number = config.category.samples_per_request or TASKS
    composer = TaskListComposer(header, *_composer_arguments(config, format, seeds, reader), number=number)
    composer.check()
    return composer


def _composer_arguments(
    config: Config, format: RecordFormat, seeds: list[Record], reader: TokenCounter
) -> tuple[RecordFormat, DemonstrationMix, int, list[Record], Callable[[str, str], int], PromptBudget]:
    """Return the arguments of a composer that follow the header."""
    count = token_count(reader, config.prompt.system_prompt)
    return format, build_mix(config, seeds), config.run.seed, seeds, count, prompt_budget(config, reader)


def build_stop(config: Config, composer: Composer) -> Callable[[RecordFormat, int], tuple[str, ...]]:
    """Return a function from the number of the open block to stop texts: those of the recipe. --stop_words
    replace the text that ends a list, unless a pattern allows it, and are added to the text that ends a user's turn.
    """
    words = stop_words(config)
    if isinstance(composer, UserTurnComposer):
        return lambda *_: (composer.turn.stop, *(words or ()))
    if isinstance(composer, TaskListComposer):
        ends = composer.stop() if words is None or config.sampling.constrain else ()
        return lambda *_: (*ends, *(words or ()))
    return numbered_stop(config.prompt.max_tasks_per_request, words)


def build_origin(config: Config, format: RecordFormat, model_revision: str, alone: bool = True) -> Origin:
    """Build the provenance that all records of a run share. A local model is named by its folder, without the path. `alone` is
    false for a category whose tasks are never sent alone, so that its records have no sampling of answers.
    """
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
            **(_answer_provenance(config) if alone else {}),
        },
    )


def _answer_provenance(config: Config) -> dict[str, Any]:
    """Return the provenance of a two-step run's answers: how they are sampled. Empty for a run in one step."""
    if not answers_alone(config):
        return {}
    sampling = answer_sampling(config) or build_sampling(config)
    return {"answers": {"temperature": sampling.temperature, "max_new_tokens": sampling.max_new_tokens}}


def stop_words(config: Config) -> tuple[str, ...] | None:
    """Return the given stop words, with \\n and \\t unescaped: shells and YAML often pass them as two characters."""
    words = config.sampling.stop_words
    if words is None:
        return None
    if any(not word for word in words):
        raise UserError("--stop_words holds an empty text, which would end every completion at once; remove it")
    return tuple(word.replace("\\n", "\n").replace("\\t", "\t") for word in words)
