"""Loading a causal language model and its tokenizer from the Hub or a folder, with every failure told in one message.

Weights are read from safetensors only, and code that comes with a model is run only when asked for.
"""

import os
from typing import Any

from self_instruct.engines.text import explain, load_text
from self_instruct.errors import UserError


def load_model(
    name: str,
    revision: str | None = None,
    dtype: str = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
) -> tuple[Any, Any, str]:
    """Model in evaluation mode on this process's device, tokenizer that pads on the left, and the model's revision.

    Raises `UserError` when any of them cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    tokenizer, config, found_revision = load_text(name, revision, trust_remote_code)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name, config=config, revision=revision or "main", trust_remote_code=trust_remote_code, dtype=_dtype(dtype),
            attn_implementation=attn_implementation, use_safetensors=True, output_loading_info=True,
        )  # fmt: skip
        model, found = loaded
        model = model.eval().to(device())
    except Exception as error:  # a broken file can fail anywhere in three libraries
        raise UserError(explain(name, error)) from error
    absent = sorted(found["missing_keys"]) + sorted(str(item[0]) for item in found["mismatched_keys"])
    if absent:
        # They would be filled with random numbers, and the model would write nonsense.
        raise UserError(
            f"--model_name_or_path {name}: {len(absent)} weights are missing or have another shape than config.json says, "
            f"as {absent[0]}; the folder must hold a whole model of the kind that its config.json names"
        )
    return model, tokenizer, found_revision


def device() -> Any:
    """The accelerator of this process's local rank, or the CPU."""
    import torch

    kind = torch.accelerator.current_accelerator(check_available=True)
    if kind is None:
        return torch.device("cpu")
    return torch.device(kind.type, int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count())


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end a text: the generation config's, the model config's and the tokenizer's."""
    declared = [
        model.generation_config.eos_token_id,
        model.config.get_text_config().eos_token_id,
        tokenizer.eos_token_id,
    ]
    return {token for item in declared if item is not None for token in (item if isinstance(item, list) else [item])}


def _dtype(name: str) -> Any:
    import torch

    # Half precision is slower than single on most CPUs, and sampling from it is coarser.
    return torch.float32 if name == "auto" and device().type == "cpu" else name
