"""Mistakes with commands that read existing data: curate, refilter, explain, self-consistency."""

from tests.support.mistakes.running import Mistake

_LINE = '{"instruction": "Name three rivers of Europe.", "output": "Rhine"}\n'
_SOUND = {"input_path": "curated.jsonl", "output_path": "c.jsonl"}
_WORDS = "--no_embeddings --self_consistency_rouge_threshold 0.3"


def _curate(given: str, message: str, about: str = "", files: dict | None = None) -> Mistake:
    return Mistake("post_processing", given, message, about, files or {}, _SOUND)


def _ask(given: str, message: str) -> Mistake:
    return Mistake("output_instruction.py", given, message, sound={"batch_dir": "run"})


CURATION = [
    Mistake("post_processing", "--output_path c.jsonl", "--input_path is missing"),
    Mistake("post_processing", "--input_path curated.jsonl", "--output_path is missing"),
    _curate("--input_path none.jsonl", "cannot be read (No such file or directory)"),
    _curate("--input_path .", "is a directory"),
    _curate("--input_path - -", "can be read only once"),
    _curate("--input_path a.jsonl", "holds no row", "blank", {"a.jsonl": "\n \n"}),
    _curate(
        "--input_path a.jsonl",
        "rows with the fields name, age",
        "of no format",
        {"a.jsonl": '{"name": "Ada", "age": 36}\n'},
    ),
    _curate("--input_path a.json", "is UTF-16", "of Windows", {"a.json": "[]".encode("utf-16")}),
    _curate("--output_path curated.jsonl", "would be overwritten by the output"),
    _curate("--output_path sub/../curated.jsonl", "would be overwritten by the output", files={"sub": None}),
    _curate("--input_path c.rejected.jsonl", "would be overwritten by the output", files={"c.rejected.jsonl": _LINE}),
    _curate("--output_path sub.jsonl", "cannot be written (it is a directory)", "a folder", {"sub.jsonl": None}),
    _curate("--output_path seeds.jsonl/c.jsonl", "cannot be written"),
    _curate("--output_path -", "cannot be a pipe"),
    _curate("--output_path c.parquet", "is written as JSONL"),
    _curate("--seed 1", "unknown argument --seed"),
    _curate("--embedding_threshold 0.9 --embedding_model_name_or_path ./none", "none: cannot be loaded"),
    _curate("--rouge_threshold 0", "must be above 0"),
]
REFILTER = [
    Mistake("refilter", "run", "NEW_DIR"),
    Mistake(
        "refilter",
        "--filter_keywords image run new",
        "OLD_DIR and NEW_DIR are missing: 'run', 'new' were read as values",
    ),
    Mistake("refilter", "--keep_programming run", "NEW_DIR is missing"),
    Mistake("refilter", "run new more", "unknown argument more"),
    Mistake("refilter", "run run", "is not empty; give a new directory"),
    Mistake("refilter", "none new", "holds no run.yaml"),
    Mistake("refilter", "run new --temperature 1", "unknown argument --temperature"),
    Mistake("refilter", "run new --rouge_threshold 0", "must be above 0"),
    Mistake("refilter", "run new --seed_tasks_path none.jsonl", "cannot be read (No such file or directory)"),
    Mistake("refilter", "run seeds.jsonl/new", "cannot be created"),
]
EXPLAIN = [
    Mistake("explain", "run", "ID_OR_TEXT"),
    Mistake("explain", "none x", "holds no run.yaml"),
    Mistake("explain", "run 000000-99", "has no candidate 000000-99"),
    Mistake("explain", "run the", "give the id of one"),
    Mistake("explain", "run x --top_p 1", "unknown argument --top_p"),
]
CONSISTENCY = [
    Mistake("output_instruction.py", "", "--batch_dir is missing"),
    _ask("--batch_dir none", "none: holds no run.yaml"),
    _ask("--no_embeddings", "--no_embeddings needs --self_consistency_rouge_threshold"),
    _ask(f"{_WORDS} --self_consistency_threshold 0.5", "is a cosine, which --no_embeddings leaves out"),
    _ask(_WORDS, "the run replayed a script, which cannot predict instructions"),
    _ask("--num_trials 0", "must be at least 1"),
    _ask("--self_consistency_rule median", "must be one of mean, best"),
    _ask("--stop_words x", "unknown argument --stop_words"),
    _ask(f"{_WORDS} --prompt_path /dev/null", "is not a regular file"),
]
CASES = {
    "Curation of files": CURATION, "Another dataset from a journal": REFILTER, "Explanations": EXPLAIN,
    "Self-consistency": CONSISTENCY,
}  # fmt: skip
