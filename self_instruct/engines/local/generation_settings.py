"""Describe the sampling settings that a model recommends in generation_config.json and that a run does not use."""

from typing import Any

from self_instruct.engines.base import Sampling

# Settings that we use in our own way, or that do not change which tokens are drawn.
_NOT_SAMPLING = {
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version", "max_length",
    "max_new_tokens", "use_cache", "cache_implementation", "cache_config", "do_sample", "trust_remote_code",
    "output_attentions", "output_hidden_states",
}  # fmt: skip
_OPTIONS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
_SHOWN = 60  # characters of a value


def unused_settings(recommended: Any, sampling: Sampling) -> str:
    """Describe the recommended settings that differ from ours; return an empty text if there are none.

    `recommended` is a GenerationConfig. Greedy decoding ignores temperature and the like, so they are not compared then.
    """
    stated = {
        key: value for key, value in recommended.to_diff_dict().items() if key not in _NOT_SAMPLING and key[0] != "_"
    }
    theirs = {key: stated.pop(key) for key in _OPTIONS if key in stated}
    compared = _OPTIONS if sampling.temperature else ("repetition_penalty",)
    differ = [
        f"--{key} {theirs[key]} (used: {getattr(sampling, key)})"
        for key in compared
        if _differs(theirs.get(key), getattr(sampling, key))
    ]
    others = [f"{key} {str(value)[:_SHOWN]}, for which there is no option" for key, value in stated.items()]
    return "; ".join([*differ, *others])


def _differs(recommended: Any, used: float) -> bool:
    return isinstance(recommended, int | float) and recommended != used
