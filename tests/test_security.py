"""The promises of SECURITY.md."""

import ast
import os
import re
import shlex
import stat
import sys

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM

from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.tokenizer import load_text
from self_instruct.engines.options import ModelOptions
from self_instruct.errors import UserError
from self_instruct.review.consistency import _config_of
from self_instruct.review.options import ConsistencyOptions
from self_instruct.user_files import UniqueKeyLoader
from tests.support.runs import IO, ROOT, run, scripted
from tests.support.scripts import write_script
from tests.support.tiny_models import save_tiny_model

SOURCES = sorted(
    path for folder in ("self_instruct", "instruction_io", "instruction_iio") for path in (ROOT / folder).rglob("*.py")
)
UNPICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
# Each executes what it reads or receives as a program, or reads a pickle.
REFUSED = {
    "eval", "exec", "__import__", "os.system", "os.popen", "torch.load", "torch.hub.load", "np.load", "numpy.load",
    "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "dist.broadcast_object_list", "dist.all_gather_object",
    "shutil.unpack_archive", "dist.gather_object", "dist.scatter_object_list", "dist.send_object_list", "dist.recv_object_list",
}  # fmt: skip
SETTINGS = {"allow_pickle", "shell", "use_safetensors", "trust_remote_code"}
SECRETS = {
    "HF_TOKEN": "hf_plantedABCDEFGHIJKLMNOP", "HUGGING_FACE_HUB_TOKEN": "hf_olderABCDEFGHIJKLMNOP",
    "OPENAI_API_KEY": "sk-planted-0123456789abcdef", "ANTHROPIC_API_KEY": "sk-ant-planted-0123456789",
    "WANDB_API_KEY": "0123456789abcdefplanted", "AWS_SECRET_ACCESS_KEY": "planted/aws/secret/0123",
}  # fmt: skip


def calls(tree):
    """Yield every call in a module: the dotted name of the function, and the node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def refused(name, node):
    """Return whether a call would execute or unpickle its input."""
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg in SETTINGS}
    return (
        name in REFUSED
        or name.endswith(".recv")  # a connection's recv unpickles; recv_bytes does not
        or given.get("allow_pickle") == "True"
        or given.get("shell") == "True"
        or given.get("use_safetensors") == "False"
        or given.get("trust_remote_code") not in (None, "trust_remote_code", "options.trust_remote_code")
        or name == "yaml.safe_load"  # its aliases have no bound, and 1:30 is 90
        or (name == "yaml.load" and ast.unparse(node.args[1]) != "UniqueKeyLoader")
    )


def offences(path):
    """Return every line of a file that executes, or may execute, its input."""
    place = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield from (f"{place}: imports {name}" for name in imported(tree) if name.split(".")[0] in UNPICKLING)
    yield from (f"{place}:{node.lineno}: {name}" for name, node in calls(tree) if refused(name, node))


def test_no_source_file_executes_its_input():
    assert len(SOURCES) > 100
    assert [offence for path in SOURCES for offence in offences(path)] == []


def test_the_check_of_the_source_finds_each_offence(tmp_path):
    lines = [
        "import pickle", "from joblib import load", "eval(text)", "connection.recv()", "np.save(a, allow_pickle=True)",
        "run(command, shell=True)", "load(name, use_safetensors=False)", "load(name, trust_remote_code=True)",
        "yaml.load(text, yaml.Loader)", "yaml.load(text, yaml.CSafeLoader)", "yaml.safe_load(text)",
    ]  # fmt: skip
    (tmp_path / "bad.py").write_text("\n".join(lines))
    assert {
        int(offence.split(":")[1]) for offence in offences(tmp_path / "bad.py") if "imports" not in offence
    } == set(range(3, len(lines) + 1))
    assert {offence for offence in offences(tmp_path / "bad.py") if "imports" in offence} == {
        "bad.py: imports pickle", "bad.py: imports joblib", "bad.py: imports joblib.load"
    }  # fmt: skip


def test_yaml_makes_plain_data_only():
    assert issubclass(UniqueKeyLoader, yaml.SafeLoader)
    for text in ("!!python/object/apply:os.getcwd []", "!!python/name:os.system", "!!python/module:os", "!new {}"):
        with pytest.raises(yaml.YAMLError):
            yaml.load(text, UniqueKeyLoader)


# ---- models


def test_pickled_weights_are_refused_and_the_suggested_command_converts_them(tmp_path, monkeypatch):
    folder = save_tiny_model("llama", tmp_path / "model")
    expected = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    torch.save(expected, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"pytorch_model.bin is a pickle, which can run any code .* so it is refused"
    ) as caught:
        load_model(str(folder))
    (command,) = re.findall(r'python -c "([^"]+)", and give ./converted', str(caught.value))
    monkeypatch.chdir(tmp_path)
    exec(command, {})
    model, _, _ = load_model(str(tmp_path / "converted"))
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_code_of_a_model_runs_only_on_request(tmp_path):
    folder, mark = save_tiny_model("llama", tmp_path / "model"), tmp_path / "it ran"
    config = (folder / "config.json").read_text().replace('"llama"', '"made_up"')
    config = config.replace("{", '{"auto_map": {"AutoConfig": "own.Own"},', 1)
    (folder / "config.json").write_text(config)
    (folder / "own.py").write_text(
        f"""
from pathlib import Path

from transformers import LlamaConfig

Path({str(mark)!r}).touch()


class Own(LlamaConfig):
    model_type = "made_up"
"""
    )
    with pytest.raises(UserError, match="if you trust its source, add --trust_remote_code"):
        load_text(str(folder))
    assert not mark.exists()
    load_text(str(folder), trust_remote_code=True)
    assert mark.exists(), "without this the test above would prove nothing"


def test_it_is_off_by_default_and_a_run_from_elsewhere_does_not_turn_it_on():
    assert (
        ModelOptions().trust_remote_code is False
        and "trust_remote_code" not in ConsistencyOptions.__dataclass_fields__
    )
    run_of_another = {"model_name_or_path": "somebody/model", "trust_remote_code": True}
    assert _config_of(run_of_another, {}).model.trust_remote_code is False
    assert _config_of(run_of_another, {"trust_remote_code": True}).model.trust_remote_code is True


# ---- what a run leaves and prints


def test_no_key_of_the_environment_is_written_or_printed_and_files_have_the_requested_mode(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 40)
    folder = tmp_path / "work"
    folder.mkdir()
    commands = [
        [IO, *scripted(script, folder / "run", 20)],
        [IO, *scripted(script, folder / "run", 30), "--temperature", 0.1],
        ["-m", "self_instruct.explain", folder / "run", "000000-01"],
    ]
    lines = [shlex.join([sys.executable, *map(str, command)]) for command in commands]
    result = run("bash", "-c", f"umask 027; {'; '.join(lines)}", **SECRETS)
    assert result.returncode == 0 and "was started with another plan" in result.stderr, result.stderr
    left = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path.name for path in left} >= {"run.yaml", "completions.jsonl", "report.json", "rejected.jsonl"}
    for secret in SECRETS.values():
        assert secret not in result.stdout + result.stderr
        assert not [path for path, content in left.items() if secret.encode() in content]
    modes = {path.name: stat.S_IMODE(os.stat(path).st_mode) for path in (folder / "run", *left)}
    assert {name: oct(mode) for name, mode in modes.items() if mode != (0o750 if name == "run" else 0o640)} == {}
