"""vLLM in process, for generation.py. Needs only vLLM, in an environment of its own."""

import argparse
import itertools
import os
from collections.abc import Callable
from typing import Any

from workload import longest, measure

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")


def load(options: argparse.Namespace, work: list[dict[str, Any]]) -> Callable[[list[dict[str, Any]]], int]:
    """Make the engine, with prefix caching on."""
    import torch
    from vllm import EngineArgs, LLMEngine, SamplingParams
    from vllm.sampling_params import RequestOutputKind

    settings: dict[str, Any] = {}
    if not torch.cuda.is_available():
        # On a CPU, compilation takes minutes, and a seed fails on a prompt that is read in chunks.
        limit = options.rows * longest(work)
        settings = {"enforce_eager": True, "enable_chunked_prefill": False, "max_num_batched_tokens": limit}
    engine = LLMEngine.from_engine_args(
        EngineArgs(
            model=options.model, skip_tokenizer_init=True, dtype=options.dtype, max_model_len=longest(work),
            max_num_seqs=options.rows, enable_prefix_caching=True, generation_config="vllm", disable_log_stats=True,
            **settings,
        )
    )  # fmt: skip
    names = itertools.count()

    def run(work: list[dict[str, Any]]) -> int:
        for at, item in enumerate(work):
            sampling = SamplingParams(
                temperature=1.0, top_p=0.95, max_tokens=item["wanted"], ignore_eos=True, seed=at, detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )  # fmt: skip
            engine.add_request(str(next(names)), {"prompt_token_ids": item["prompt"]}, sampling)
        tokens = 0
        while engine.has_unfinished_requests():
            tokens += sum(len(output.outputs[0].token_ids) for output in engine.step() if output.finished)
        return tokens

    return run


if __name__ == "__main__":
    measure(load)
