"""Load a model's tokenizer and configuration, without weights, and encode prompts.

The process that composes prompts counts tokens with the code that the generating process uses to encode them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from self_instruct.engines.base import Request, UserTurn
from self_instruct.engines.local.adapter import adapter_revision, check_adapter
from self_instruct.engines.local.chat_template import ChatTemplate
from self_instruct.engines.local.gguf import model_path
from self_instruct.engines.local.model_files import model_revision
from self_instruct.engines.local.model_kinds import (
    CAUSAL_CLASSES,
    CHECK_NAME,
    CONVERT,
    check_architecture,
    check_folder,
    check_source,
    check_vocabulary,
    json_object,
)
from self_instruct.errors import UserError
from self_instruct.hub import offline_if_unreachable, reachable

_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
# Names of the class that reads everything from tokenizer.json.
_GENERAL_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
# Alpaca's prompt for a base model, without its first sentences.
_ALPACA, _ALPACA_ANSWER = "### Instruction:\n{task}\n\n### Response:\n", "### Response:\n"
_UNREADABLE = "a file, such as a tokenizer.json, is missing or damaged, or this transformers is too old for the model"
_TOKENIZER = "the folder must hold a tokenizer, as save_pretrained writes it; weights and config.json are not needed"


class PromptEncoder:
    """Encodes a prompt and the opening of its answer as token ids, with the chat template if there is one.

    `chat_template` is "auto" (if the tokenizer has one), "always" or "never"; `arguments` are variables for the template, by
    default those that turn thinking off. Raises UserError if the template cannot be used.
    """

    def __init__(
        self, tokenizer: Any, chat_template: str = "auto", arguments: Mapping[str, Any] | None = None
    ) -> None:
        if chat_template == "always" and not tokenizer.chat_template:
            raise UserError(
                "--chat_template is 'always', but the model's tokenizer has no chat template; use 'auto' or 'never'"
            )
        self._tokenizer = tokenizer
        used = chat_template == "always" or (chat_template == "auto" and bool(tokenizer.chat_template))
        self.template = ChatTemplate(tokenizer, arguments) if used else None

    def encode(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> list[int]:
        """Return the token ids that the model reads before its first new token. A `raw` prompt is already rendered.

        Without a chat template, the system message comes before the prompt.
        """
        if raw:
            return self._tokenizer(prompt + opening, add_special_tokens=False)["input_ids"]
        if self.template is None:
            return self._tokenizer((f"{system}\n\n" if system else "") + prompt + opening)["input_ids"]
        # The opening begins the answer, after any thought, so a chat model continues it as a base model does.
        begun = self.template.closed_thought + opening if opening.strip() else opening
        return self._tokenizer(self.template.render(prompt, system) + begun, add_special_tokens=False)["input_ids"]

    def before_answer(self, task: str) -> tuple[list[int], list[int]]:
        """Return the token ids before the answer to a task, with the task and without it: the template's text that opens an
        answer. Without a chat template, both are in Alpaca's format. Neither is empty.
        """
        if self.template is None:
            prompt, opening = _ALPACA.format(task=task), _ALPACA_ANSWER
            begins = self._tokenizer("x")["input_ids"][:1] == [self._tokenizer.bos_token_id]
            added = [self._tokenizer.bos_token_id] if begins else []
        else:
            prompt, opening = self.template.render(task) + self.template.closed_thought, self.template.answer_turn()
            bos = self._tokenizer.bos_token
            begins = bool(bos) and prompt.startswith(bos) and not opening.startswith(bos)
            opening, added = (bos if begins else "") + opening, []
        before, alone = (added + self.answer(text) for text in (prompt, opening))
        return before, alone or before[:1]

    def answer(self, text: str) -> list[int]:
        """Return the token ids of an answer, which no special tokens surround."""
        text = text.encode("utf-8", "replace").decode("utf-8")  # tokenizers refuse lone surrogates
        return self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def text_for_server(self, request: Request) -> str:
        """Return the text of a request for a server, without a beginning-of-sequence token that the tokenizer adds anyway."""
        assert self.template is not None, "the connection was checked to have a chat template"
        rendered = request.prompt if request.raw else self.template.render(request.prompt, request.system)
        bos, first_ids = self._tokenizer.bos_token, self._tokenizer("x")["input_ids"][:1]
        # Servers tokenize a prompt as this tokenizer does, so they would add the token a second time.
        adds_bos = bos is not None and first_ids == [self._tokenizer.bos_token_id]
        return (rendered + request.opening).removeprefix(bos if adds_bos else "")

    def thought(self, opening: str, raw: bool = False) -> str:
        """Return the unfinished thought at the end of a prompt; empty if there is none."""
        return "" if raw or opening.strip() or self.template is None else self.template.opened_thought


class ModelReader:
    """Counts tokens for a model that runs in another process.

    Raises UserError if tokenizer or configuration cannot be loaded. With `elsewhere`, the model runs on another machine, and
    a folder with only its tokenizer is enough.
    """

    capacity: int | None = None
    context_length: int | None

    def __init__(
        self,
        name: str,
        revision: str | None = None,
        trust_remote_code: bool = False,
        chat_template: str = "auto",
        elsewhere: bool = False,
        template_arguments: Mapping[str, Any] | None = None,
        adapter: str | None = None,
    ) -> None:
        if adapter:
            check_adapter(adapter)
        plain = None if trust_remote_code else load_plain_folder(name, elsewhere)
        if plain is not None:
            tokenizer, self.context_length, self.demonstration = plain
            self.model_revision = model_revision(name)
        else:
            tokenizer, config, self.model_revision = load_text(name, revision, trust_remote_code, elsewhere)
            self.context_length = context_length(config, tokenizer)
            self.demonstration = getattr(config, "demonstration_model", None) is True  # as in demo_model/config.json
        if adapter:
            self.model_revision += f"+{adapter_revision(adapter)}"
        self._encoder = PromptEncoder(tokenizer, chat_template, template_arguments)

    @property
    def template(self) -> ChatTemplate | None:
        """The chat template that renders prompts; None if prompts are used as they are."""
        return self._encoder.template

    @property
    def template_arguments(self) -> Mapping[str, Any]:
        """The variables of the chat template, empty without one."""
        return self.template.arguments if self.template else {}

    @property
    def chats(self) -> bool:
        """Whether prompts are rendered with a chat template."""
        return self.template is not None

    def user_turn(self, system: str | None = None) -> UserTurn:
        """Return the template's text around the user's text. Raises UserError if nothing marks the end of the user's turn."""
        assert self.template is not None, "the recipe was checked to have a chat template"
        return self.template.user_turn(system)

    def text_for_server(self, request: Request) -> str:
        """Return the text of a request for a server, without a beginning-of-sequence token that the tokenizer adds anyway."""
        return self._encoder.text_for_server(request)

    def prompt_tokens(self, prompt: str, opening: str, system: str | None = None, raw: bool = False) -> int:
        """Return the number of tokens in a prompt as the model reads it."""
        return len(self._encoder.encode(prompt, opening, system, raw))


def load_plain_folder(name: str, elsewhere: bool = False) -> tuple[Any, int, bool] | None:
    """Read a model folder without importing torch; return None if that is not possible.

    Returns the tokenizer, the context length in tokens, and whether it is the demonstration model.

    Importing `AutoTokenizer` costs some 6 s of CPU time. It is not needed if tokenizer_config.json names the general class
    and config.json states the context length itself. Raises `UserError` if weights are missing.
    """
    folder = Path(name).expanduser()
    described = [json_object(folder / file) for file in ("tokenizer_config.json", "config.json")]
    settings, config = described
    if settings.get("tokenizer_class") not in _GENERAL_TOKENIZERS or not (folder / "tokenizer.json").is_file():
        return None
    if any("auto_map" in found for found in described) or "model_type" not in config or "text_config" in config:
        return None
    lengths = [config[field] for field in _CONTEXT_FIELDS if isinstance(config.get(field), int)]
    if not lengths:
        return None
    classes = config.get("architectures")
    if not isinstance(classes, list) or not all(str(item).endswith(CAUSAL_CLASSES) for item in classes):
        return None  # `read_config` knows more kinds
    if not elsewhere:
        check_folder(name, folder)
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
    except Exception:  # `load_text` tries again and reports the error
        return None
    if not elsewhere:
        check_vocabulary(name, tokenizer.vocab_size, config.get("vocab_size"))
    return tokenizer, lengths[0], config.get("demonstration_model") is True


def import_model_classes() -> None:
    """Import transformers' model classes without scikit-learn, which takes seconds to import and serves only assisted
    generation; no engine uses that.
    """
    from transformers import utils

    available = utils.is_sklearn_available
    utils.is_sklearn_available = lambda: False
    try:
        from transformers.models.auto import modeling_auto  # noqa: F401
    finally:
        utils.is_sklearn_available = available


def read_config(
    name: str, revision: str | None = None, trust_remote_code: bool = False, elsewhere: bool = False
) -> Any:
    """Return the configuration of a model. Raises UserError if it cannot be loaded, or if a folder has no weights.

    With `elsewhere`, weights are not required, and the result is None for a folder without a configuration.
    """
    check_source(name, revision, elsewhere)  # before the import, which takes seconds
    import_model_classes()  # the classes of configurations import them
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    place = model_path(name, weights=not elsewhere)
    folder = Path(place).expanduser()
    if elsewhere and folder.is_dir() and not (folder / "config.json").is_file():
        return None
    try:
        with offline_if_unreachable(name):
            config = AutoConfig.from_pretrained(
                place, revision=revision or "main", trust_remote_code=trust_remote_code
            )
    except Exception as error:  # a broken file can cause any exception in three libraries
        raise UserError(explain(name, error, elsewhere)) from error
    if not elsewhere:
        check_architecture(name, {**config.to_dict(), "is_encoder_decoder": config.is_encoder_decoder})
    return config


def load_text(
    name: str, revision: str | None = None, trust_remote_code: bool = False, elsewhere: bool = False
) -> tuple[Any, Any, str]:
    """Return the tokenizer, which pads on the left, the configuration and the model's revision.

    `elsewhere` is as in `read_config`. Raises UserError if one cannot be loaded.
    """
    from transformers import AutoTokenizer

    config = read_config(name, revision, trust_remote_code, elsewhere)
    try:
        with offline_if_unreachable(name):
            tokenizer = AutoTokenizer.from_pretrained(
                model_path(name, weights=not elsewhere), padding_side="left", revision=revision or "main",
                trust_remote_code=trust_remote_code,
            )  # fmt: skip
    except Exception as error:  # a broken file can cause any exception in three libraries
        raise UserError(explain(name, error, elsewhere)) from error
    if not elsewhere:
        check_vocabulary(
            name, getattr(tokenizer, "vocab_size", 0), getattr(config.get_text_config(), "vocab_size", None)
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer, config, model_revision(name, revision)


def context_length(config: Any, tokenizer: Any) -> int | None:
    """Return the context length in tokens, from the configuration or else the tokenizer; None if neither has it."""
    config = config.get_text_config() if config is not None else None
    for name in _CONTEXT_FIELDS:
        if isinstance(getattr(config, name, None), int):
            return getattr(config, name)
    declared = tokenizer.model_max_length
    return declared if declared < 10**9 else None  # transformers says 10**30 for "unknown"


def end_tokens(generation_config: Any, config: Any, tokenizer: Any) -> frozenset[int]:
    """Return the ids of end tokens in the generation config, the model config and the tokenizer."""
    declared = [generation_config.eos_token_id, config.get_text_config().eos_token_id, tokenizer.eos_token_id]
    return frozenset(
        token for item in declared if item is not None for token in (item if isinstance(item, list) else [item])
    )


def read_generation_config(place: str, revision: str | None = None) -> Any:
    """Return the generation defaults of a folder or Hub model; empty ones if it has none."""
    from transformers import GenerationConfig

    try:
        with offline_if_unreachable(place):
            return GenerationConfig.from_pretrained(place, revision=revision or "main")
    except (OSError, ValueError):
        return GenerationConfig()


def unusable(prompt: Sequence[int], max_new_tokens: int, context: int | None, vocabulary: int) -> str | None:
    """Return why a prompt is unusable (empty, too long, or token ids outside the vocabulary), or None."""
    if not prompt:
        return "the prompt has no tokens"
    if context and len(prompt) + max_new_tokens > context:
        largest = context - len(prompt)
        advice = f"use at most --max_new_tokens {largest}" if largest > 0 else "shorten the prompt"
        return (
            f"the prompt has {len(prompt):,} tokens, which with --max_new_tokens {max_new_tokens} is more than the "
            f"model's context of {context:,} tokens; {advice}"
        )
    if max(prompt) >= vocabulary:
        return (
            f"the prompt holds token {max(prompt)}, but the model's vocabulary has {vocabulary} tokens; the "
            "tokenizer belongs to another model"
        )
    return None


def explain(name: str, error: Exception, elsewhere: bool = False) -> str:
    """Return the message for a model that cannot be loaded, or for its tokenizer if the model is `elsewhere`."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "trust_remote_code" in str(error):
        advice = "it comes with its own code; if you trust its source, add --trust_remote_code"
    elif Path(name).expanduser().is_dir():
        advice = _TOKENIZER if elsewhere else _UNREADABLE
    elif "safetensors" in str(error):
        advice = f"its only weights may be in a pickle, {CONVERT.format(name=name)}"
    elif "config.json" in str(error) and reachable():
        advice = (
            "the repository may hold only an adapter (give its base, and this name as --adapter) or GGUF files (download one, "
            "and give its path)"
        )
    else:
        advice = CHECK_NAME.format(name=name)
    return f"--model_name_or_path {name}: cannot be loaded ({reason[:300]}); {advice}"
