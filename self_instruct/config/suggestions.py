"""Suggest an option for an unknown name: by the names that other tools use, then by spelling.

To suggest an option for another name, add the name to `OTHER_NAMES`.
"""

import difflib
from collections.abc import Collection, Mapping
from types import MappingProxyType

OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "output_path|batch_dir": "o out output output_dir output_file output_folder out_dir out_file out_path save_dir "
        "save_path",
        "batch_dir": "run run_dir run_path",
        "input_path|sources|seed_tasks_path": "i in input inputs input_file input_files input_dir data data_path data_file "
        "data_files dataset dataset_name dataset_path file files",
        "seed_tasks_path": "seeds seed_file seed_path seed_tasks seed_tasks_file",
        "seed": "random_seed rng_seed",
        "num_topics|num_instructions_to_generate": "n num num_samples num_records num_rows num_examples num_instructions "
        "num_tasks num_generations num_outputs max_samples n_samples count limit total_prompts",
        "max_hours": "hours time_limit max_time",
        "append": "resume continue resume_from_checkpoint",
        "overwrite": "force f overwrite_output_dir restart",
        "prompt_path": "prompt prompt_file prompt_template system_prompt",
        "num_prompt_instructions": "shots num_shots n_shot fewshot num_fewshot num_demonstrations",
        "model_name_or_path": "m model model_name model_id model_path base_model pretrained",
        "model_revision": "revision",
        "script_path": "script",
        "request_batch_size": "batch_size per_device_batch_size max_num_seqs",
        "dtype": "torch_dtype precision",
        "attn_implementation": "attention attn use_flash_attention_2",
        "quantization 4bit": "load_in_4bit 4bit",
        "quantization 8bit": "load_in_8bit 8bit",
        "max_new_tokens": "max_tokens max_output_tokens max_completion_tokens max_gen_toks",
        "max_length": "max_model_len max_seq_length max_seq_len context_length",
        "temperature": "t temp",
        "num_return_sequences": "num_return best_of",
        "stop_words": "stop stop_sequences stop_strings",
        "api_base": "base_url api_url url host server endpoint",
        "api_key_env": "api_key key",
        "api_max_concurrency": "concurrency max_concurrency workers num_workers num_threads",
        "api_timeout_seconds": "timeout request_timeout",
        "api_max_retries": "retries max_retries num_retries",
        "max_cost": "cost budget",
        "rouge_threshold": "rouge rouge_l similarity similarity_threshold dedup_threshold",
        "embedding_threshold": "cosine_threshold semantic_threshold",
        "embedding_model_name_or_path": "embedding_model embedder",
        "filter_rules": "filters rules",
        "filter_keywords": "keywords blocklist blacklist",
        "log_level debug": "verbose v debug",
        "report_to": "tracker",
        "report_to wandb": "wandb use_wandb",
        "to|record_format|input_format": "format output_format",
        "license": "licence",
        "licenses": "licences",
        "push_to_hub": "push repo repo_id hub_repo hub_model_id",
        "keep_languages|language": "lang languages",
        "topics_path": "topics topics_file",
        "categories": "category kinds",
    }
)
"""Names of other tools, separated by spaces, by the option that they mean; of several options, the first that a command has."""
_MEANT = {other: options.split("|") for options, others in OTHER_NAMES.items() for other in others.split()}


def nearest_option(word: str, names: Collection[str], prefix: str = "") -> str:
    """Return the end of a message that suggests one of the options `names` for an unknown one; empty if none is near."""
    plain = word.lstrip("-").replace("-", "_").lower()
    meant = next((option for option in _MEANT.get(plain, ()) if option.split()[0] in names), None)
    return f"; did you mean {prefix}{meant}?" if meant else nearest(plain, names, prefix)


def nearest(word: str, names: Collection[str], prefix: str = "") -> str:
    """Return the end of a message that suggests the name spelled most like a word; empty if none is near."""
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""
