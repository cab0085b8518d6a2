"""Recognise folders and configurations that are not a complete causal language model, before any weights are read.

Except for `check_class` and `check_quantized`, the checks need only files and plain values, so that a launch can refuse a
folder before it imports torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from self_instruct.config.hub_names import is_model_id
from self_instruct.errors import UserError
from self_instruct.hub import cached_commit, reachable

FOLDER = "the folder must hold config.json, a tokenizer and safetensors weights, as save_pretrained writes them"
CONVERT = (
    'which can run any code when it is loaded, so it is refused; if you trust its source, convert it: python -c "from '
    "transformers import AutoModelForCausalLM as M, AutoTokenizer as T; M.from_pretrained('{name}', use_safetensors=False)"
    ".save_pretrained('converted'); T.from_pretrained('{name}').save_pretrained('converted')\", and give ./converted"
)
CHECK_NAME = (
    "check the name; without network, give a model's folder, or fill the cache beforehand by `hf download {name}`"
)
DECODER = "give a causal language model (a decoder), which continues a text"
ADAPTER = "adapter_config.json"
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
CAUSAL_CLASSES = ("ForCausalLM", "LMHeadModel")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_OTHER_LIBRARIES = {".onnx": "ONNX", ".h5": "TensorFlow", ".msgpack": "Flax", ".tflite": "TensorFlow Lite"}
_POINTER = b"version https://git-lfs"
_LONGEST_HEADER = 100_000_000
# Suffixes of transformers' class names for models that have no head to predict the next token.
_HEADS = {
    "ForMaskedLM": "an encoder",
    "ForSequenceClassification": "a classifier or reward model",
    "ForTokenClassification": "a classifier of tokens",
    "ForQuestionAnswering": "a model that marks answers in a text",
    "ForMultipleChoice": "a classifier of choices",
    "ForNextSentencePrediction": "an encoder",
    "ForImageClassification": "a classifier of images",
    "RewardModel": "a reward model",
}


def check_source(name: str, revision: str | None = None, elsewhere: bool = False) -> None:
    """Raise UserError if file names, config.json or the network show that a model cannot be loaded by this name.

    With `elsewhere`, the weights are on another machine, so a folder needs only a tokenizer.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not elsewhere and (any(folder.glob("*.safetensors")) or not any(folder.glob("*.gguf"))):
            check_folder(name, folder)
            check_architecture(name, json_object(folder / "config.json"))
    elif folder.suffix == ".gguf":
        return  # gguf.py reads it, or reports that it is missing
    elif folder.is_file():
        raise UserError(
            f"--model_name_or_path {name}: is a file; give the folder that holds it, with config.json and a tokenizer"
        )
    elif name.startswith(("/", ".", "~")) or not is_model_id(name):
        raise UserError(
            f"--model_name_or_path {name}: there is no such folder; give a model's folder or a Hub id, such as owner/name"
        )
    elif not elsewhere and cached_commit(name, revision) is None and not reachable():
        raise UserError(
            f"--model_name_or_path {name}: cannot be loaded (there is no such folder, the cache has no such model, and the "
            f"Hub cannot be reached); {CHECK_NAME.format(name=name)}"
        )


def check_folder(name: str, folder: Path) -> None:
    """Raise UserError, naming the model `name`, if a folder does not hold a complete model with safetensors weights."""
    if reason := _missing_configuration(folder) or _unusable_weights(name, folder) or _damaged_file(folder):
        raise UserError(f"--model_name_or_path {name}: {reason}")


def check_architecture(name: str, config: Mapping[str, Any]) -> None:
    """Raise UserError if the values of a config.json describe something other than a causal language model."""
    kind, classes = config.get("model_type") or "unknown kind", config.get("architectures")
    classes = [item for item in classes if isinstance(item, str)] if isinstance(classes, list) else []
    mlx = config.get("quantization")
    if (
        isinstance(mlx, dict)
        and "group_size" in mlx
        and "quant_method" not in (config.get("quantization_config") or {})
    ):
        reason = "its weights are quantized by MLX, which transformers cannot read; give the original model"
    elif config.get("is_encoder_decoder") and not any(item.endswith(CAUSAL_CLASSES) for item in classes):
        reason = f"is an encoder-decoder ({kind}), which reads a text and writes another one; {DECODER}"
    else:
        heads = [next((head for end, head in _HEADS.items() if item.endswith(end)), "") for item in classes]
        if not heads or not all(heads):
            return
        reason = f"is {heads[0]} ({kind}), which cannot continue a text; {DECODER}"
    raise UserError(f"--model_name_or_path {name}: {reason}")


def check_class(name: str, config: Any) -> None:
    """Raise UserError if transformers has no causal language model for a configuration. Imports torch."""
    from transformers.models.auto import modeling_auto

    kind = getattr(config, "model_type", "")
    own = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    decoder = kind in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    encoder = kind in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not (
        getattr(config, "is_decoder", False) or getattr(config, "causal", False)
    )
    if own or (decoder and not encoder):
        return
    reason = (
        f"is an encoder ({kind}), which cannot continue a text"
        if encoder
        else f"is a {kind} model, which transformers does not load as a causal language model"
    )
    raise UserError(f"--model_name_or_path {name}: {reason}; {DECODER}")


def check_quantized(name: str, config: Any) -> None:
    """Raise UserError if a package that reads the quantized weights of a model is missing. Imports torch."""
    stated = getattr(config, "quantization_config", None)
    if stated is None:
        return
    from transformers.quantizers.auto import AutoHfQuantizer

    method = stated.get("quant_method") if isinstance(stated, dict) else getattr(stated, "quant_method", None)
    method = getattr(method, "value", method)
    try:
        AutoHfQuantizer.from_config(stated, pre_quantized=True).validate_environment(device_map=None)
    except Exception as error:  # each method checks in its own way
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"--model_name_or_path {name}: its weights are quantized ({method}), and cannot be read here: {reason[:300]}; "
            "install what is missing, or give the model that is not quantized, with --quantization 4bit if it must be small"
        ) from error


def check_vocabulary(name: str, tokens: int, rows: int | None) -> None:
    """Raise UserError if a tokenizer with `tokens` tokens, not counting added ones, cannot belong to an embedding of `rows`."""
    if not tokens or not rows or rows / 2 <= tokens <= rows:
        return
    raise UserError(
        f"--model_name_or_path {name}: the tokenizer has {tokens:,} tokens and the model {rows:,}; the tokenizer belongs to "
        "another model, so put the model's own tokenizer files into the folder"
    )


def _missing_configuration(folder: Path) -> str | None:
    """Return why a folder cannot be a model, from the names of its files, or None if it can be one."""
    files = sorted(path.name for path in folder.iterdir())
    weights = any(file.endswith((".safetensors", *_PICKLED)) and not file.startswith("adapter_") for file in files)
    reason: str | None = None
    if not files:
        reason = f"the folder is empty; {FOLDER}"
    elif ADAPTER in files and not weights:
        base = json_object(folder / ADAPTER).get("base_model_name_or_path")
        reason = (
            f"is an adapter (PEFT), without the model that it changes; give that model ({base or 'its base'}) as "
            f"--model_name_or_path, and this folder as --adapter"
        )
    elif "model_index.json" in files:
        reason = f"is a diffusers pipeline, which makes images; {DECODER}"
    elif "config.json" not in files:
        reason = _contents_without_configuration(folder, set(files), weights)
    return reason


def _contents_without_configuration(folder: Path, files: set[str], weights: bool) -> str:
    """Describe a folder without config.json."""
    inside = sorted(path.parent for pattern in ("*/", "*/*/") for path in folder.glob(f"{pattern}config.json"))
    if inside:
        named = ", ".join(str(path) for path in inside[:3])
        return f"holds no config.json, but folders inside it do; give one of them: {named}"
    if {"params.json", "consolidated.safetensors", "consolidated.00.pth"} & files:
        return (
            "is in its publisher's own format, without config.json; give the same model in the format of transformers"
        )
    if any(file.startswith(("tokenizer", "vocab", "spiece")) for file in files) and not weights:
        return f"holds a tokenizer only, no config.json and no weights; {FOLDER}"
    return f"holds no config.json; {FOLDER}"


def _unusable_weights(name: str, folder: Path) -> str | None:
    """Return why there are no weights that can be read, or None."""
    if (folder / INDEX).is_file():
        named = json_object(folder / INDEX).get("weight_map")
        shards = sorted({str(file) for file in named.values()}) if isinstance(named, dict) else []
        missing = [file for file in shards if not (folder / Path(file).name).is_file()]
        if not missing:
            return None
        return (
            f"{len(missing)} of {len(shards)} files with weights that {INDEX} names are missing, for example {missing[0]}; "
            "download or copy them again"
        )
    files = sorted(path.name for path in folder.iterdir())
    other = [file for file in files if file.endswith(".safetensors") and not file.startswith("adapter_")]
    pickled = [file for file in files if file.endswith(_PICKLED)]
    foreign = [file for file in files if Path(file).suffix in _OTHER_LIBRARIES]
    reason: str | None = f"holds no safetensors weights; {FOLDER}"
    if WHOLE in files:
        reason = None
    elif other:
        reason = f"holds {other[0]}, but neither {WHOLE} nor {INDEX}, by which transformers finds weights; {FOLDER}"
    elif pickled:
        reason = f"{pickled[0]} is a pickle, {CONVERT.format(name=name)}"
    elif foreign:
        library = _OTHER_LIBRARIES[Path(foreign[0]).suffix]
        reason = f"holds no safetensors weights, only {foreign[0]} for {library}; {FOLDER}"
    return reason


def _damaged_file(folder: Path) -> str | None:
    """Return which file is only a Git LFS pointer or has the wrong size, or None."""
    for path in sorted(folder.glob("*")):
        if path.suffix not in (".safetensors", ".json", ".model", ".txt") or not path.is_file():
            continue
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
            if head == _POINTER:
                return (
                    f"{path.name} is a Git LFS pointer of {size} bytes, not the file; run `git lfs pull` in the folder, or "
                    "download the model with `hf download`"
                )
            if path.suffix == ".safetensors" and (needed := _declared_size(file)) != size:
                fault = (
                    f"has {size:,} bytes of {needed:,} bytes" if needed else "does not begin with a safetensors header"
                )
                return f"{path.name} is damaged: it {fault}; download or copy it again"
    return None


def _declared_size(file: Any) -> int | None:
    """Return the size in bytes that the header of a safetensors file declares; None if there is no header."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= _LONGEST_HEADER:
        return None
    try:
        header = json.loads(file.read(length))
        ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return None
    return 8 + length + max(ends, default=0)


def json_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty if there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
