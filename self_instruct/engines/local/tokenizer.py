"""The text side of a model: what a prompt is in tokens. Loads tokenizer and configuration, never weights.

The process that composes prompts counts with it, and the one that generates encodes with it, so both see the same tokens.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from self_instruct.errors import UserError
from self_instruct.hub import offline_if_unreachable

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
# Names of the class that reads everything from tokenizer.json.
_GENERAL_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
_FOLDER = "the folder must hold config.json, a tokenizer and safetensors weights, as save_pretrained writes them"
_TOKENIZER = "the folder must hold a tokenizer, as save_pretrained writes it; weights and config.json are not needed"
_CONVERT = (
    'which can run any code when it is read, so it is not; if you trust its source, convert it: python -c "from transformers '
    "import AutoModelForCausalLM as M, AutoTokenizer as T; M.from_pretrained('{name}', use_safetensors=False)"
    ".save_pretrained('converted'); T.from_pretrained('{name}').save_pretrained('converted')\", and give ./converted"
)


class PromptEncoder:
    """Turns a prompt and the opening of its answer into token ids, through the chat template where one is used.

    `chat_template` is "auto" (where the tokenizer has one), "always" or "never". Raises `UserError` if it cannot be used.
    """

    def __init__(self, tokenizer: Any, chat_template: str = "auto") -> None:
        if chat_template == "always" and not tokenizer.chat_template:
            raise UserError("--chat_template is 'always', but the model's tokenizer has none; use 'auto' or 'never'")
        self._tokenizer = tokenizer
        self._chat = chat_template == "always" or (chat_template == "auto" and bool(tokenizer.chat_template))
        if self._chat:
            self._check_template()

    def encode(self, prompt: str, opening: str) -> list[int]:
        """The token ids that the model reads before the first token that it writes."""
        if not self._chat:
            return self._tokenizer(prompt + opening)["input_ids"]
        # The opening begins the answer, so a chat model goes on from it as a base model does.
        messages = [{"role": "user", "content": prompt.rstrip()}]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self._tokenizer(text + opening, add_special_tokens=False)["input_ids"]

    def _check_template(self) -> None:
        try:
            self.encode("A task.", "1. ")
        except Exception as error:  # templates are programs, and fail as programs do
            raise UserError(
                f"the chat template of the model's tokenizer does not take a user's message ({type(error).__name__}: {error}); "
                "mend it, or use --chat_template never"
            ) from error


class ModelReader:
    """What composing needs to know of a model that another process runs; it can answer any number of requests.

    Raises `UserError` if tokenizer or configuration cannot be loaded. With `elsewhere`, the model runs on another machine, and
    a folder with its tokenizer is enough.
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
    ) -> None:
        plain = None if trust_remote_code else load_plain_folder(name, elsewhere)
        if plain is not None:
            tokenizer, self.context_length, self.demonstration = plain
            self.model_revision = model_revision(name, None)
        else:
            tokenizer, config, self.model_revision = load_text(name, revision, trust_remote_code, elsewhere)
            self.context_length = context_length(config, tokenizer)
            self.demonstration = (
                getattr(config, "demonstration_model", None) is True
            )  # config.json of demo_model/ says so
        self._encoder = PromptEncoder(tokenizer, chat_template)

    def prompt_tokens(self, prompt: str, opening: str) -> int:
        """The length of a prompt as the model reads it, in tokens."""
        return len(self._encoder.encode(prompt, opening))


def load_plain_folder(name: str, elsewhere: bool = False) -> tuple[Any, int, bool] | None:
    """Read a model folder without importing torch; None where that takes the whole library.

    Returns the tokenizer, the context length in tokens, and whether it is the demonstration model.

    Importing `AutoTokenizer` costs some 6 s of CPU time. It is not needed where tokenizer_config.json names the general
    class and config.json states the context length itself. Raises `UserError` as `read_config` does for missing weights.
    """
    folder = Path(name).expanduser()
    described = [_json_object(folder / file) for file in ("tokenizer_config.json", "config.json")]
    settings, config = described
    if settings.get("tokenizer_class") not in _GENERAL_TOKENIZERS or not (folder / "tokenizer.json").is_file():
        return None
    if (
        any("auto_map" in found for found in described)
        or not {"model_type"} <= config.keys()
        or "text_config" in config
    ):
        return None
    lengths = [config[field] for field in _CONTEXT_FIELDS if isinstance(config.get(field), int)]
    if not lengths:
        return None
    if not elsewhere:
        _check_weights(name)
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, padding_side="left")
    except Exception:  # `load_text` tries again, and explains
        return None
    return tokenizer, lengths[0], config.get("demonstration_model") is True


def _json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty if there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_config(
    name: str, revision: str | None = None, trust_remote_code: bool = False, elsewhere: bool = False
) -> Any:
    """The configuration of a model. Raises `UserError` if it cannot be loaded, or if a folder lacks the weights.

    With `elsewhere`, weights are not asked for, and a folder without a configuration gives None.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if name.startswith(("/", ".", "~")) and not Path(name).expanduser().is_dir():
        raise UserError(f"--model_name_or_path {name}: there is no such folder; give a model's folder or a Hub id")
    if not elsewhere:
        _check_weights(name)
    elif Path(name).expanduser().is_dir() and not (Path(name).expanduser() / "config.json").is_file():
        return None
    try:
        with offline_if_unreachable(name):
            return AutoConfig.from_pretrained(name, revision=revision or "main", trust_remote_code=trust_remote_code)
    except Exception as error:  # a broken file can fail anywhere in three libraries
        raise UserError(explain(name, error, elsewhere)) from error


def load_text(
    name: str, revision: str | None = None, trust_remote_code: bool = False, elsewhere: bool = False
) -> tuple[Any, Any, str]:
    """Tokenizer that pads on the left, configuration, and the model's revision. Raises `UserError` if one cannot be loaded.

    `elsewhere` is as in `read_config`.
    """
    from transformers import AutoTokenizer

    config = read_config(name, revision, trust_remote_code, elsewhere)
    try:
        with offline_if_unreachable(name):
            tokenizer = AutoTokenizer.from_pretrained(
                name, padding_side="left", revision=revision or "main", trust_remote_code=trust_remote_code
            )
    except Exception as error:  # a broken file can fail anywhere in three libraries
        raise UserError(explain(name, error, elsewhere)) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer, config, model_revision(name, config)


def _check_weights(name: str) -> None:
    """Raises `UserError` for a folder without safetensors weights, which no other kind stands in for."""
    folder = Path(name).expanduser()
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        raise UserError(f"--model_name_or_path {name}: {pickled[0]} is a pickle, {_CONVERT.format(name=name)}")
    raise UserError(f"--model_name_or_path {name}: holds no safetensors weights; {_FOLDER}")


def context_length(config: Any, tokenizer: Any) -> int | None:
    """Tokens that the model can attend to, by its configuration or, failing that, its tokenizer's; None if neither says."""
    config = config.get_text_config() if config is not None else None
    for name in _CONTEXT_FIELDS:
        if isinstance(getattr(config, name, None), int):
            return getattr(config, name)
    declared = tokenizer.model_max_length
    return declared if declared < 10**9 else None  # transformers says 10**30 for "unknown"


def explain(name: str, error: Exception, elsewhere: bool = False) -> str:
    """What to say of a model that cannot be loaded, or of its tokenizer alone where the model is `elsewhere`."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "trust_remote_code" in str(error):
        advice = "it needs code of its own; if you trust its source, add --trust_remote_code"
    elif Path(name).is_dir():
        advice = _TOKENIZER if elsewhere else _FOLDER
    elif "safetensors" in str(error):
        advice = f"there may be weights in a pickle only, {_CONVERT.format(name=name)}"
    else:
        advice = f"check the name; without network, give a model's folder, or fill the cache beforehand by `hf download {name}`"
    return f"--model_name_or_path {name}: cannot be loaded ({reason[:300]}); {advice}"


def model_revision(name: str, config: Any) -> str:
    """The Hub's commit, or for a folder a hash of all small files and of samples from its weights."""
    commit = getattr(config, "_commit_hash", None)
    if commit:
        return str(commit)
    digest = hashlib.sha256()
    for path in sorted(Path(name).expanduser().glob("*")):
        if path.suffix in (".json", ".jinja", ".txt", ".model"):
            digest.update(path.name.encode() + path.read_bytes())
        elif path.suffix == ".safetensors":
            digest.update(f"{path.name} {path.stat().st_size}".encode())
            _sample(path, digest)
    return f"local-{digest.hexdigest()[:12]}"


def _sample(path: Path, digest: Any, pieces: int = 64, size: int = 4096) -> None:
    """Feeds evenly spaced pieces of a large file: other weights differ everywhere, so a few of them tell."""
    total = path.stat().st_size
    with path.open("rb") as file:
        for at in range(pieces):
            file.seek(at * max(total - size, 0) // (pieces - 1))
            digest.update(file.read(size))
