"""Mistakes with the generation command: options, YAML files, seeds, prompts, scripts, models, and run directories."""

from tests.support.mistakes.running import SEEDS, SOUND, Mistake

IO, IIO = "instruction_output.py", "instruction_input_output.py"
_FIRST = SEEDS.splitlines()[0]
_SHAPE = '"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 9'
_CONFIG = f'{{"model_type": "llama", {_SHAPE}}}'
_WEIGHTS = "\x02" + "\0" * 7 + "{}"  # a safetensors file without tensors
_REMOTE = '{"model_type": "made_up", "auto_map": {"AutoConfig": "c.C", "AutoModelForCausalLM": "m.M"}}'


def _flag(given: str, message: str) -> Mistake:
    return Mistake(IO, given, message, sound=SOUND)


def _yaml(content: str, message: str) -> Mistake:
    shown = content if len(content) < 60 and content.isprintable() else content.splitlines()[0][:40] + " ..."
    return Mistake(IO, "--config mine.yaml", message, f"`{shown}` in it", {"mine.yaml": content}, SOUND)


def _seeds(about: str, content: str | bytes, message: str) -> Mistake:
    return Mistake(IO, "--seed_tasks_path mine.jsonl", message, about, {"mine.jsonl": content}, SOUND)


def _file(option: str, about: str, content: str | bytes | None, message: str, name: str = "mine.txt") -> Mistake:
    return Mistake(IO, f"--{option} {name}", message, about, {name: content}, SOUND)


def _model(given: str, message: str, about: str = "", **files: str) -> Mistake:
    contents = {f"model/{name.replace('__', '.')}": content for name, content in files.items()}
    return Mistake(IO, f"--engine huggingface {given}", message, about, contents, SOUND)


def _missing(name: str, message: str) -> Mistake:
    return Mistake(
        IO, "", message, f"no `--{name}`", sound={key: value for key, value in SOUND.items() if key != name}
    )


def _run(given: str, message: str, about: str = "", command: str = IO, **files: str | bytes) -> Mistake:
    contents = {f"run/{name.replace('__', '.')}": content for name, content in files.items()}
    return Mistake(command, given, message, about, contents, {**SOUND, "batch_dir": "run"})


OPTIONS = [
    _missing("batch_dir", "--batch_dir is missing"),
    _missing("seed_tasks_path", "--seed_tasks_path is missing"),
    _flag("--num_instructions_to_generate ten", "must be a whole number"),
    _flag("--num_instructions_to_generate 2.5", "must be a whole number"),
    _flag("--num_instructions_to_generate 0", "must be at least 1"),
    _flag("--temperature hot", "must be a number"),
    _flag("--temperature nan", "--temperature is nan"),
    _flag("--temperature -1", "must be at least 0"),
    _flag("--temperature 0.00001", "too close to 0 to divide by"),
    _flag("--top_p 1.5", "must be above 0 and at most 1"),
    _flag("--rouge_threshold 70", "must be above 0 and at most 1.01"),
    _flag("--max_hours 0", "must be above 0"),
    _flag("--max_lenght 900", "did you mean --max_length?"),
    _flag("--output_dir new", "did you mean --batch_dir?"),
    _flag("--num_samples 100", "did you mean --num_instructions_to_generate?"),
    _flag("--threshold 0.5 --rouge_threshold 0.6", "both name the same option"),
    _flag("--dtype float23", "did you mean float32?"),
    _flag("--dry_run maybe", "must be true or false"),
    _flag("--seed", "expected one argument"),
    _flag("stray.jsonl", "unknown argument stray.jsonl"),
    _flag("--stop_words ''", "holds an empty text"),
    _flag("--instruction_trigger Output", "trigger words must be distinct"),
    _flag("--output_trigger 'Answer:'", "must be plain text without line break, colon"),
    _flag("--output_trigger 1st", "begins with a digit"),
    _flag("--input_trigger Data", "this format has no input"),
    _flag("--num_prompt_instructions 500", "there are only 3 seed tasks"),
    _flag("--num_prompt_synthetic_instructions 9", "more than the 3 of --num_prompt_instructions"),
    _flag("--max_length 20 --max_new_tokens 30", "--max_length is 20 tokens, but a prompt"),
    _flag("--max_length 40 --max_new_tokens 10", "--max_length is 40 tokens, but a prompt"),
]
YAML = [
    Mistake(IO, "--config none.yaml", "none.yaml: cannot be read", sound=SOUND),
    Mistake(IO, "--config .", "cannot be read (Is a directory)", "a folder", sound=SOUND),
    _yaml("rouge_treshold: 0.7", "did you mean rouge_threshold?"),
    _yaml("temperature: hot", "must be a number"),
    _yaml("seed: 1.0", "must be a whole number"),
    _yaml("model_revision: no", "put it in quotes"),
    _yaml("stop_words: [20.0]", "stop_words[0] is 20.0"),
    _yaml("stop_words: '###'", "must be a list of texts"),
    _yaml("seed:", "seed has no value"),
    _yaml("on: true", "unknown option on"),
    _yaml("[seed]: 3", "a key is a list or mapping"),
    _yaml("seed: 1\nseed: 2", "seed is repeated"),
    _yaml("threshold: 0.5\nrouge_threshold: 0.6", "are the same option"),
    _yaml("seed: 3\n\ttop_k: 4", "is not YAML"),
    _yaml("- seed: 3", "but holds a list"),
    _yaml("seed: !!python/object/apply:os.system [id]", "is not YAML"),
    Mistake(
        IO, "--config mine.yaml", "it is not UTF-8", "saved as Latin-1", {"mine.yaml": b"prompt_path: \xe9"}, SOUND
    ),
]
FILES = [
    _flag("--seed_tasks_path no/such.jsonl", "cannot be read (No such file or directory)"),
    _flag("--seed_tasks_path .", "cannot be read (Is a directory)"),
    _seeds("empty", "\n", "holds no seed task"),
    _seeds("a line that breaks off", _FIRST + '\n{"id": "b", "instruction": ', "mine.jsonl:2: is not JSON"),
    _seeds("an array that spans the file", '[\n{"instruction": "a"}\n]\n', "mine.jsonl:1: is not JSON"),
    _seeds("saved as Latin-1", b'{"instruction": "caf\xe9", "output": "a"}\n', "is not UTF-8"),
    _seeds("no output", '{"instruction": "Add."}\n', 'field "output" is missing'),
    _seeds("a blank output", '{"instruction": "Add.", "output": " "}\n', 'field "output" is empty'),
    _seeds("a list for an instruction", '{"instruction": ["Add."], "output": "1"}\n', "is a list, not a text"),
    _seeds("no instances", '{"instruction": "Add.", "instances": []}\n', 'field "instances" must be a list'),
    _seeds("a repeated id", _FIRST + "\n" + _FIRST + "\n", "every seed needs a unique id"),
    _flag("--prompt_path none.txt", "--prompt_path none.txt: cannot be read"),
    _file("prompt_path", "empty", "", "is empty; write what the model is to do"),
    _file("prompt_path", "saved as Latin-1", b"\xe9", "cannot be read (not UTF-8"),
    _missing("script_path", "needs --script_path"),
    _flag("--script_path none.jsonl", "--script_path none.jsonl: cannot be read"),
    _file("script_path", "a line without a text", '{"completion": "a"}', 'field "text" must hold the completion'),
    _file(
        "script_path", "a request answered twice", '{"text": "a"}\n{"text": "b", "request": 0}\n', "no other line has"
    ),
    _flag("--embedding_threshold 0.8 --embedding_model_name_or_path ./none", "none: cannot be loaded"),
]
MODELS = [
    Mistake(IO, "--engine huggingface", "--model_name_or_path is missing", sound=SOUND),
    _model("--model_name_or_path ./nothing", "there is no such folder"),
    _model("--model_name_or_path nobody/no-such-model", "nobody/no-such-model: cannot be loaded"),
    _model("--model_name_or_path ./model", "holds no safetensors weights", "a configuration alone", config__json=_CONFIG),
    _model("--model_name_or_path ./model", "pytorch_model.bin is a pickle, which can run any code when it is loaded",
           "weights in a pickle", config__json=_CONFIG, pytorch_model__bin="x"),
    _model("--model_name_or_path ./model", "cannot be loaded", "weights and no tokenizer", config__json=_CONFIG,
           model__safetensors=_WEIGHTS),
    _model("--model_name_or_path ./model", "cannot be loaded", "a configuration that is no JSON", config__json="{",
           model__safetensors=_WEIGHTS),
    _model("--model_name_or_path ./model", "if you trust its source, add --trust_remote_code", "code of its own",
           config__json=_REMOTE, model__safetensors=_WEIGHTS),
    _model("--model_name_or_path {root}/demo_model --chat_template always", "the model's tokenizer has no chat template"),
    _model("--model_name_or_path {root}/demo_model --max_new_tokens 1000", "Use at most 880"),
    _model("--model_name_or_path {root}/demo_model --max_new_tokens 100000", "use a model with a longer context"),
]  # fmt: skip
DIRECTORIES = [
    _flag("--batch_dir seeds.jsonl/new", "cannot be written"),
    _flag("--batch_dir seeds.jsonl", "cannot be written"),
    _run("--temperature 0.3", "--temperature was 0.8 and is now 0.3"),
    _run("--seed 43", "--seed was 42 and is now 43"),
    _run("--horizon 10", "--horizon was 16 and is now 10"),
    _run("--seed_tasks_path curated.jsonl --rouge_rule not_above", "--rouge_rule was 'below' and is now 'not_above'"),
    Mistake(IO, "--seed_tasks_path mine.jsonl", "the seed file's content has changed", "other seeds for the run",
            {"mine.jsonl": SEEDS.replace("three", "four")}, {**SOUND, "batch_dir": "run"}),
    Mistake(IO, "--script_path mine.jsonl", "the model has changed", "another model for the run",
            {"mine.jsonl": '{"text": "a"}\n'}, {**SOUND, "batch_dir": "run"}),
    _run("", "the format has changed", "a run without inputs", IIO),
    _run("", "is not the description of a run", "`run.yaml` is damaged", run__yaml="seed: 3"),
    _run("", "cannot be read", "`run.yaml` is not YAML", run__yaml="a: [1"),
    Mistake(IO, "", "its plan is unknown", "a journal without `run.yaml`", {"new/completions.jsonl": "{}\n"}, SOUND),
    Mistake(IO, "", "would be overwritten; move it", "someone else's dataset in the directory",
            {"new/machine_generated_instructions.jsonl": '{"instruction": "a"}\n'}, SOUND),
]  # fmt: skip
CASES = {
    "Options": OPTIONS, "YAML files": YAML, "Seeds, prompts, scripts": FILES, "Models": MODELS,
    "The directory of a run": DIRECTORIES,
}  # fmt: skip
