"""Load a causal language model and its tokenizer from the Hub, a folder or a GGUF file. Every failure is one UserError.

Weights are read from safetensors only, and code that comes with a model runs only with --trust_remote_code.
"""

import logging
from typing import Any

import torch

from self_instruct.engines.base import Sampling
from self_instruct.engines.local.adapter import adapter_revision, check_adapter, merge
from self_instruct.engines.local.gguf import model_path
from self_instruct.engines.local.model_files import check_complete
from self_instruct.engines.local.model_kinds import check_class, check_quantized
from self_instruct.engines.local.placement import Placement, device, loading_options
from self_instruct.engines.local.sampling import check, draw
from self_instruct.engines.local.tokenizer import explain, load_text
from self_instruct.errors import UserError
from self_instruct.hub import offline_if_unreachable

_ONE_DEVICE = Placement()
_log = logging.getLogger(__name__)


def load_model(
    name: str,
    revision: str | None = None,
    placement: Placement = _ONE_DEVICE,
    trust_remote_code: bool = False,
    adapter: str | None = None,
) -> tuple[Any, Any, str]:
    """Return the model in evaluation mode, its tokenizer, which pads on the left, and the model's revision.

    `adapter` is merged into the model. The placement must have passed `placement.check`. Raises UserError if something cannot
    be loaded.
    """
    tokenizer, config, found_revision = load_text(name, revision, trust_remote_code)
    from transformers import AutoModelForCausalLM

    if adapter:
        check_adapter(adapter, placement.quantization)
    check_class(name, config)
    check_quantized(name, config)
    where = loading_options(placement, config.dtype)
    try:
        with offline_if_unreachable(name):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                model_path(name), revision=revision or "main", trust_remote_code=trust_remote_code, use_safetensors=True,
                output_loading_info=True, **where,
            )  # fmt: skip
        model, found = loaded
        model.eval()
        if "device_map" not in where:
            model.to(device())
    except Exception as error:  # a broken file can cause any exception in three libraries
        raise UserError(explain(name, error)) from error
    check_complete(name, found)
    if adapter:
        model = merge(model, adapter, name)
        found_revision += f"+{adapter_revision(adapter)}"
    slow = [part for part, place in getattr(model, "hf_device_map", {}).items() if place in ("cpu", "disk")]
    if slow and device().type != "cpu":
        _log.warning(
            "The model does not fit on the devices: %d parts of it are in main memory or on disk, which is slow.",
            len(slow),
        )
    return model, tokenizer, found_revision


def check_numbers(model: Any, tokenizer: Any) -> None:
    """Raise UserError if the logits of a short text are not finite numbers: then no text will have finite ones."""
    ids = torch.tensor([tokenizer("A task.", add_special_tokens=False)["input_ids"] or [0]], device=model.device)
    ids = ids.clamp(max=model.get_input_embeddings().weight.shape[0] - 1)
    with torch.inference_mode():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[:, -1]
    check(draw(logits, Sampling(1, temperature=0), logits.new_zeros(1)).tolist())
