"""The names of the files of a run directory that more than one module has to know."""

JOURNAL = "completions.jsonl"
ACCEPTED = "machine_generated_instructions.jsonl"
REJECTED = "rejected.jsonl"
PREDICTIONS = "self_consistency.jsonl"
CONSISTENT = "self_consistent_instructions.jsonl"
