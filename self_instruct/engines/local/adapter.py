"""Put a PEFT adapter into the model that it was trained on, before the model generates.

The adapter is merged into the weights, so every back-end runs at full speed and sees an ordinary model.
"""

import importlib.util
from pathlib import Path
from typing import Any

from self_instruct.engines.local.model_files import content_hash
from self_instruct.engines.local.model_kinds import ADAPTER, json_object
from self_instruct.errors import UserError
from self_instruct.hub import cached_commit, offline_if_unreachable

_WEIGHTS = "adapter_model.safetensors"
# Kinds of adapters that have no weights to add to those of the model.
_PROMPTS = {"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT"}


def check_adapter(name: str, quantization: str | None = None) -> None:
    """Raise UserError if an adapter cannot be merged. For a Hub id, only the installed packages are checked."""
    if quantization:
        raise UserError(
            f"--adapter {name} cannot be merged into weights of --quantization {quantization}; leave --quantization out, or "
            "merge the adapter beforehand with PEFT's merge_and_unload() and give the merged model"
        )
    if importlib.util.find_spec("peft") is None:
        raise UserError(f"--adapter {name}: reading an adapter needs the package peft: pip install peft")
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if name.startswith(("/", ".", "~")):
            raise UserError(f"--adapter {name}: there is no such folder; give an adapter's folder or a Hub id")
        return
    if not (folder / ADAPTER).is_file():
        raise UserError(f"--adapter {name}: holds no {ADAPTER}; give the folder that save_pretrained of PEFT wrote")
    if not (folder / _WEIGHTS).is_file():
        raise UserError(f"--adapter {name}: holds no {_WEIGHTS}; save the adapter again in that format")
    kind = json_object(folder / ADAPTER).get("peft_type")
    if kind in _PROMPTS:
        raise UserError(
            f"--adapter {name}: is of the kind {kind}, which cannot be merged into a model; give a LoRA adapter"
        )


def adapter_revision(name: str) -> str:
    """Return a hash of an adapter's folder, or its commit in the cache of the Hub."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        return f"local-{content_hash([folder / ADAPTER, folder / _WEIGHTS])}"
    return cached_commit(name, file=ADAPTER) or "unknown"


def merge(model: Any, name: str, base: str) -> Any:
    """Return the model `base` with the adapter's changes in its weights. Raises UserError if they do not fit together."""
    from peft import PeftModel

    try:
        with offline_if_unreachable(name):
            return PeftModel.from_pretrained(model, str(Path(name).expanduser())).merge_and_unload().eval()
    except Exception as error:  # a broken file can cause any exception in three libraries
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        stated = json_object(Path(name).expanduser() / ADAPTER).get("base_model_name_or_path")
        trained = f"it was trained on {stated}" if stated else "give the model that it was trained on"
        raise UserError(
            f"--adapter {name}: cannot be added to --model_name_or_path {base} ({reason[:300]}); {trained}"
        ) from error
