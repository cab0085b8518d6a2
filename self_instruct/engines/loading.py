"""Loading a causal language model and its tokenizer from the Hub or a folder, with every failure told in one message.

Weights are read from safetensors only, and code that comes with a model is run only when asked for.
"""

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from self_instruct.engines.placement import Placement, device, loading_options
from self_instruct.errors import UserError

_ONE_DEVICE = Placement()
_log = logging.getLogger(__name__)


def read_config(name: str, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """The configuration of a model, without its weights. Raises `UserError` when it cannot be loaded."""
    from transformers import AutoConfig

    with _explained(name):
        return AutoConfig.from_pretrained(name, **_source(revision, trust_remote_code))


def load_model(
    name: str,
    revision: str | None = None,
    placement: Placement = _ONE_DEVICE,
    trust_remote_code: bool = False,
) -> tuple[Any, Any, str]:
    """Model in evaluation mode where `placement` puts it, tokenizer that pads on the left, and the model's revision.

    Raises `UserError` when any of them cannot be loaded. Whether the placement can work is for `placement.check` to say;
    for tensor parallelism the process group must be there.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as messages

    messages.set_verbosity_error()
    messages.disable_progress_bar()
    source, where = _source(revision, trust_remote_code), loading_options(placement)
    with _explained(name):
        tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left", **source)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name, use_safetensors=True, output_loading_info=True, **where, **source
        )
        model, found = loaded
        model.eval()
        if not where.keys() & {"device_map", "distributed_config"}:
            model.to(device())
    absent = sorted(found["missing_keys"]) + sorted(str(item[0]) for item in found["mismatched_keys"])
    if absent:
        # They would be filled with random numbers, and the model would write nonsense.
        raise UserError(
            f"--model_name_or_path {name}: {len(absent)} weights are missing or have another shape than config.json says, "
            f"as {absent[0]}; the folder must hold a whole model of the kind that its config.json names"
        )
    slow = [part for part, place in getattr(model, "hf_device_map", {}).items() if place in ("cpu", "disk")]
    if slow and device().type != "cpu":
        _log.warning("the devices are too small: %d parts of the model are kept off them, which is slow", len(slow))
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    return model, tokenizer, _revision(name, model)


def context_length(model: Any, tokenizer: Any) -> int | None:
    """Tokens that the model can attend to, by its configuration or, failing that, its tokenizer's; None if neither says."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        if isinstance(getattr(config, name, None), int):
            return getattr(config, name)
    declared = tokenizer.model_max_length
    return declared if declared < 10**9 else None  # transformers says 10**30 for "unknown"


def end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Ids that end a text: the generation config's, the model config's and the tokenizer's."""
    declared = [
        model.generation_config.eos_token_id,
        model.config.get_text_config().eos_token_id,
        tokenizer.eos_token_id,
    ]
    return {token for item in declared if item is not None for token in (item if isinstance(item, list) else [item])}


def _source(revision: str | None, trust_remote_code: bool) -> dict[str, Any]:
    return {"trust_remote_code": trust_remote_code, **({"revision": revision} if revision else {})}


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    if name.startswith(("/", ".", "~")) and not Path(name).expanduser().is_dir():
        raise UserError(f"--model_name_or_path {name}: there is no such folder; give a model's folder or a Hub id")
    try:
        yield
    except Exception as error:  # a broken file can fail anywhere in three libraries
        raise UserError(_explain(name, error)) from error


def _explain(name: str, error: Exception) -> str:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if "trust_remote_code" in str(error):
        advice = "it needs code of its own; if you trust its source, add --trust_remote_code"
    elif Path(name).is_dir():
        advice = (
            "the folder must hold config.json, a tokenizer and safetensors weights, as save_pretrained writes them"
        )
    else:
        advice = (
            "check the name; a machine without network needs a model folder, or a filled cache and HF_HUB_OFFLINE=1"
        )
    return f"--model_name_or_path {name}: cannot be loaded ({reason[:300]}); {advice}"


def _revision(name: str, model: Any) -> str:
    """The Hub's commit, or for a folder a hash of all small files and of samples from its weights."""
    commit = getattr(model.config, "_commit_hash", None)
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
