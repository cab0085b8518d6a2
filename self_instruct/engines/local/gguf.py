"""Convert GGUF files to ordinary model folders, so that everything else sees safetensors weights and a tokenizer.

The conversion runs once per file. Its result is kept in the cache folder and takes 2 bytes per weight (4 if the file
holds float32), because transformers unpacks quantized weights. Processes of one machine wait for each other with a lock.
"""

import importlib.util
import io
import logging
import os
import shutil
import sys
import tempfile
from contextlib import nullcontext, redirect_stderr
from pathlib import Path
from typing import Any

from filelock import FileLock

from self_instruct.engines.local.model_files import check_complete, content_hash
from self_instruct.errors import UserError, install

# Values of `tokenizer.ggml.pre` for tokenizers that split numbers into single digits and then split as GPT-2 does.
_SINGLE_DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
_AS_GPT2 = {"gpt-2", "phi-2", "mpt", "olmo", "jais"}
_log = logging.getLogger(__name__)


def model_path(name: str, weights: bool = True) -> str:
    """Return the folder to load a model from: `name` itself, or the converted folder of a GGUF file.

    `name` can be a GGUF file or a folder with one. Without `weights`, only its configuration and tokenizer are converted.
    Raises UserError if the file cannot be read, or if the folder holds several.
    """
    file = _find_file(name, weights)
    if file is None:
        return name
    whole = cache_folder() / "gguf" / f"{file.stem}-{content_hash([file])}"
    folder = whole if weights or whole.is_dir() else whole.with_name(f"{whole.name}-tokenizer")
    if not folder.is_dir():
        if importlib.util.find_spec("gguf") is None:
            raise UserError(
                f"--model_name_or_path {name}: reading a GGUF file needs the package gguf: {install('gguf')}"
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                if weights:
                    _log.info("Converting %s to safetensors, once, into %s.", file.name, folder)
                convert(file, folder, weights, name)
    return str(folder)


def cache_folder() -> Path:
    """Return this project's folder below `$XDG_CACHE_HOME`, or below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "self_instruct"


def convert(file: Path, folder: Path, weights: bool = True, name: str | None = None) -> None:
    """Write the model of a GGUF file to a new folder as `save_pretrained` does. The folder appears only when complete.

    Raises UserError, naming the model `name`, if the file cannot be read.
    """
    name = name or str(file)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        # On a terminal, transformers shows a progress bar; in a log file it would be one line per tensor.
        with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):
            _write(file, part, weights, name)
        part.chmod(0o755)  # mkdtemp makes it private; a cache can be shared
        part.rename(folder)
    except UserError:
        raise
    except Exception as error:  # a broken file can cause any exception in three libraries
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"--model_name_or_path {name}: transformers cannot read this GGUF file ({reason[:300]}); "
            "use the original model's folder or Hub id instead"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _find_file(name: str, weights: bool) -> Path | None:
    path = Path(name).expanduser()
    if path.suffix == ".gguf" and not path.is_dir():
        if not path.is_file():
            raise UserError(f"--model_name_or_path {name}: there is no such file")
        return path
    usable = "*.safetensors" if weights else "tokenizer*.json"
    if not path.is_dir() or any(path.glob(usable)):
        return None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files[:5])
        raise UserError(
            f"--model_name_or_path {name}: the folder holds {len(files)} GGUF files ({names}); name one of them"
        )
    return files[0] if files else None


def _write(file: Path, folder: Path, weights: bool, name: str) -> None:
    import torch
    import transformers
    from gguf import GGUFReader

    transformers.utils.logging.disable_progress_bar()
    reader = GGUFReader(file)
    where: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    config = transformers.AutoConfig.from_pretrained(**where)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(**where)
    _set_pre_tokenizer(tokenizer, reader, file.name)
    tokenizer.save_pretrained(folder)
    if not weights:
        config.save_pretrained(folder)
        return
    types = {tensor.tensor_type.name for tensor in reader.tensors}
    dtype = torch.float32 if types == {"F32"} else torch.float16 if types == {"F16", "F32"} else torch.bfloat16
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
        **where, config=config, quantization_config=transformers.GgufConfig(dequantize=True), dtype=dtype,
        output_loading_info=True,
    )  # fmt: skip
    model, loading_info = loaded
    check_complete(name, loading_info)
    model.save_pretrained(folder)


def _set_pre_tokenizer(tokenizer: Any, reader: Any, name: str) -> None:
    """Set the pre-tokenizer that the file names, which transformers ignores; warn if it is unknown."""
    from tokenizers import pre_tokenizers

    field = reader.fields.get("tokenizer.ggml.pre")
    kind = field.contents() if field else None
    core = tokenizer.backend_tokenizer
    if kind is None or not isinstance(core.pre_tokenizer, pre_tokenizers.ByteLevel):
        return
    if kind in _SINGLE_DIGITS:
        core.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif kind not in _AS_GPT2:
        _log.warning(
            "%s: transformers does not know the pre-tokenizer '%s' and splits text as GPT-2 does; tokens may differ "
            "from those the model was trained on.", name, kind,
        )  # fmt: skip
