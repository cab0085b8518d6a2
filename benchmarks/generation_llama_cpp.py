"""llama.cpp through xllamacpp, for generation.py. `--model` is a GGUF file.

The file is written again at the precision that is measured, next to it and once.
"""

import argparse
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from workload import longest, measure

TYPES = {"float32": "F32", "bfloat16": "BF16", "q4_0": "Q4_0"}


def at_precision(source: Path, dtype: str) -> Path:
    """Return a GGUF file with the matrices of `source` in another type; vectors are in float32."""
    target = source.with_name(f"{source.stem}-{dtype}.gguf")
    if target.exists():
        return target
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants

    reader, kind = GGUFReader(source), GGMLQuantizationType[TYPES[dtype]]
    part = target.with_suffix(".part")
    writer = GGUFWriter(part, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        numbers = quants.dequantize(tensor.data, tensor.tensor_type)
        wanted = kind if len(numbers.shape) > 1 else GGMLQuantizationType.F32
        writer.add_tensor(tensor.name, quants.quantize(numbers, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(target)
    return target


def load(options: argparse.Namespace, work: list[dict[str, Any]]) -> Callable[[list[dict[str, Any]]], int]:
    """Start the server inside this process, with a slot for each row. A slot keeps its last prompt for the next one."""
    import xllamacpp

    threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or (os.cpu_count() or 1)
    settings = xllamacpp.CommonParams()
    settings.model.path = str(at_precision(Path(options.model), options.dtype))
    settings.n_parallel, settings.n_ctx, settings.port = options.rows, options.rows * (longest(work) + 8), 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(settings)

    def complete(item: dict[str, Any], seed: int) -> int:
        answer = server.handle_completions(
            {
                "prompt": item["prompt"], "max_tokens": item["wanted"], "ignore_eos": True, "seed": seed, "temperature": 1.0,
                "top_p": 0.95, "top_k": 0, "min_p": 0.0, "cache_prompt": True,
            }
        )  # fmt: skip
        answer = json.loads(answer) if isinstance(answer, str) else answer
        if "usage" not in answer:
            raise RuntimeError(f"llama.cpp answers {answer}")
        return answer["usage"]["completion_tokens"]

    def run(work: list[dict[str, Any]]) -> int:
        with ThreadPoolExecutor(len(work)) as pool:
            return sum(pool.map(complete, work, range(len(work))))

    return run


if __name__ == "__main__":
    measure(load)
