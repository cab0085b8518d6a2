"""Options from flags and YAML: the same checks for both, precedence, positional arguments and paths."""

import dataclasses
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.config.option import declarations
from self_instruct.config.parser import parse_values
from self_instruct.datasets.options import InputOptions
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS, Config, assemble, flatten, parse_arguments
from self_instruct.runs.options import RunPlace

ROOT = Path(__file__).resolve().parents[2]


def parse(*argv: str) -> dict[str, object]:
    return flatten(parse_arguments(argv, "test"))


@pytest.fixture
def from_yaml(tmp_path: Path):
    """Parse YAML text or bytes together with flags."""

    def read(content: str | bytes, *argv: str) -> dict[str, object]:
        path = tmp_path / "run.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return parse("--config", str(path), *argv)

    return read


# ---- config


def test_option_names_and_aliases_are_unique_over_all_groups() -> None:
    names = [field.name for group in GROUPS for field in dataclasses.fields(group)]
    aliases = [alias for item in declarations(GROUPS).values() if (alias := item.metadata["alias"])]
    assert len(set(names + aliases)) == len(names) + len(aliases) == len(declarations(GROUPS)) + len(aliases)


def test_only_options_that_change_the_dataset_are_part_of_the_plan() -> None:
    plan = {name for name, item in declarations(GROUPS).items() if item.metadata["fixed"]}
    assert {"seed", "horizon", "temperature", "rouge_threshold", "filter_keywords", "max_new_tokens"} <= plan
    assert not plan & {"batch_dir", "num_instructions_to_generate", "max_requests", "request_batch_size", "dtype"}


def test_every_default_passes_its_own_check_and_every_option_has_help() -> None:
    for name, item in declarations(GROUPS).items():
        rule, value = item.metadata, parse()[name]
        assert len(rule["help"]) > 3, name
        if rule["choices"] and value is not None:
            assert set(value if isinstance(value, list) else [value]) <= set(rule["choices"]), name
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert rule["minimum"] is None or value >= rule["minimum"], name
            assert rule["above"] is None or value > rule["above"], name
            assert rule["maximum"] is None or value <= rule["maximum"], name


def test_a_list_default_is_not_shared() -> None:
    first, second = assemble({}), assemble({})
    first.filter.filter_keywords.append("x")
    assert second.filter.filter_keywords == []


@given(
    st.fixed_dictionaries({}, optional={"seed": st.integers(), "top_p": st.floats(0.1, 1), "dry_run": st.booleans()})
)
@settings(deadline=None, derandomize=True)
def test_flatten_inverts_assemble(values: dict[str, object]) -> None:
    flat = flatten(assemble(values))
    assert list(flat) == list(declarations(GROUPS))
    assert {name: flat[name] for name in values} == values


# ---- precedence


def test_a_flag_beats_yaml_which_beats_the_default(from_yaml) -> None:
    values = from_yaml("seed: 5\ntop_k: 9\n", "--seed", "6")
    assert (values["seed"], values["top_k"], values["temperature"]) == (6, 9, 0.8)


@pytest.mark.parametrize("config_first", [True, False])
def test_the_position_of_config_among_the_flags_does_not_matter(tmp_path: Path, config_first: bool) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("seed: 5")
    argv = ["--seed=6", f"--config={path}"]
    assert parse(*(argv[::-1] if config_first else argv))["seed"] == 6


@pytest.mark.parametrize("name", ["rouge_threshold", "threshold"])
def test_the_threshold_has_two_names(from_yaml, name: str) -> None:
    assert parse(f"--{name}", "0.5")["rouge_threshold"] == 0.5
    assert from_yaml(f"{name}: 0.5")["rouge_threshold"] == 0.5
    assert from_yaml("rouge_threshold: 0.6", f"--{name}=0.5")["rouge_threshold"] == 0.5
    assert from_yaml("threshold: 0.6", f"--{name}=0.5")["rouge_threshold"] == 0.5


def test_given_options_are_distinguished_from_defaults(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("top_p: 0.5")
    argv = ["old", "--seed", "42", "new", f"--config={path}"]
    assert parse_values(argv, "test", GROUPS, positional=("OLD", "NEW")) == (
        {"top_p": 0.5, "seed": 42},
        ["old", "new"],
    )


@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["--dry_run", "old", "new"], {"dry_run": True}),
        (["old", "--dry_run", "new"], {"dry_run": True}),
        (["old", "new", "--dry_run"], {"dry_run": True}),
        (["--dry_run", "NO", "old", "new"], {"dry_run": False}),
        (["--dry_run=false", "old", "new"], {"dry_run": False}),
        (["--dry_run", "--keep_programming", "old", "--seed", "1", "new"],
         {"dry_run": True, "keep_programming": True, "seed": 1}),
        (["old", "new", "--filter_keywords", "a", "b"], {"filter_keywords": ["a", "b"]}),
        (["--filter_keywords", "a", "--dry_run", "old", "new"], {"filter_keywords": ["a"], "dry_run": True}),
        (["--filter_keywords", "a", "--", "old", "new"], {"filter_keywords": ["a"]}),
        (["--filter_keywords=a", "old", "new"], {"filter_keywords": ["a"]}),
        (["--threshold", "0.5", "--dry_run", "--", "old", "new"], {"rouge_threshold": 0.5, "dry_run": True}),
    ],
)  # fmt: skip
def test_options_may_come_before_between_and_after_positionals(argv: list[str], values: dict) -> None:
    assert parse_values(argv, "test", GROUPS, positional=("OLD", "NEW")) == (values, ["old", "new"])


def test_a_positional_may_be_a_number_a_dash_or_text_and_after_two_dashes_an_option() -> None:
    assert parse_values(["-5", "- a b", "-", ""], "test", GROUPS, positional=("IN...",)) == (
        {},
        ["-5", "- a b", "-", ""],
    )
    assert parse_values(["a", "--", "--seed", "-x"], "test", GROUPS, positional=("IN...",)) == (
        {},
        ["a", "--seed", "-x"],
    )


BY = {"RUN_DIR": ["batch_dir"], "ID": []}


@pytest.mark.parametrize(
    "argv",
    [
        ["{run}", "7"],
        ["--batch_dir", "{run}", "7"],
        ["7", "--batch_dir={run}"],
        ["{run}", "7", "--batch_dir", "{run}/."],
    ],
)
def test_a_run_is_given_as_a_positional_or_as_an_option(tmp_path: Path, argv: list[str]) -> None:
    run = str(tmp_path / "run")
    values, positionals = parse_values(
        [part.format(run=run) for part in argv], "test", GROUPS, positional=tuple(BY), by=BY
    )
    assert (values, positionals) == ({"batch_dir": run}, [run, "7"])


def test_a_positional_beats_yaml_as_a_flag_does(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("batch_dir: elsewhere")
    given = {"positional": ("RUN_DIR",), "by": BY}
    config = ["--config", str(path)]
    assert parse_values(config, "test", GROUPS, **given) == (
        {"batch_dir": str(tmp_path / "elsewhere")}, [str(tmp_path / "elsewhere")],
    )  # fmt: skip
    assert parse_values([*config, "here"], "test", GROUPS, **given) == ({"batch_dir": "here"}, ["here"])


def test_files_are_given_as_positionals_or_as_options_together_with_a_run() -> None:
    groups, by = (RunPlace, InputOptions), {"IN...": ["input_path", "batch_dir"]}
    here = Path.cwd()
    for argv, values, positionals in (
        (["a", "b"], {"input_path": ["a", "b"]}, ["a", "b"]),
        (["--input_path", "a", "b"], {"input_path": [f"{here}/a", f"{here}/b"]}, [f"{here}/a", f"{here}/b"]),
        (["--batch_dir", "r"], {"batch_dir": f"{here}/r"}, [f"{here}/r"]),
        (["--batch_dir", "r", "--input_path", "a"], {"batch_dir": f"{here}/r", "input_path": [f"{here}/a"]},
         [f"{here}/a", f"{here}/r"]),
    ):  # fmt: skip
        assert parse_values(argv, "test", groups, positional=("IN...",), by=by) == (values, positionals)


def test_a_positional_in_brackets_is_optional() -> None:
    given = {"positional": ("[RUN_DIR]",), "by": {"[RUN_DIR]": ["batch_dir"]}}
    assert parse_values([], "test", GROUPS, **given) == ({}, [])
    assert parse_values(["r"], "test", GROUPS, **given) == ({"batch_dir": "r"}, ["r"])


def test_an_option_may_come_between_repeated_positionals() -> None:
    argv = ["a", "--dry_run", "b", "--seed", "1", "c"]
    assert parse_values(argv, "test", GROUPS, positional=("IN...",)) == ({"dry_run": True, "seed": 1}, ["a", "b", "c"])


def test_an_option_may_have_a_name_that_yaml_reads_as_a_boolean(from_yaml) -> None:
    assert from_yaml("yes: true")["yes"] is True
    assert from_yaml("'yes': off", "--yes", "true")["yes"] is True
    assert from_yaml("yes: no")["yes"] is False


def test_options_that_are_not_in_names_are_unknown() -> None:
    with pytest.raises(UserError, match="unknown argument --top_p"):
        parse_values(["--seed", "1", "--top_p", "1"], "test", GROUPS, ["seed"])


# ---- accepted values


@pytest.mark.parametrize(
    ("word", "value"), [("true", True), ("Yes", True), ("1", True), ("FALSE", False), ("no", False), ("0", False)]
)
def test_the_forms_of_true_and_false(from_yaml, word: str, value: bool) -> None:
    assert parse(f"--dry_run={word}")["dry_run"] is value
    assert parse("--dry_run", word)["dry_run"] is value
    assert from_yaml(f"dry_run: '{word}'")["dry_run"] is value


def test_a_bare_flag_is_true_and_may_be_followed_by_another_flag() -> None:
    values = parse("--dry_run", "--seed", "1", "--keep_programming")
    assert (values["dry_run"], values["keep_programming"], values["trust_remote_code"]) == (True, True, False)


@pytest.mark.parametrize("text", ["1e-5", "1.0e-5", "0.00001"])
def test_a_small_number_may_be_written_in_every_usual_form(from_yaml, text: str) -> None:
    assert parse("--temperature", text)["temperature"] == 1e-5
    assert from_yaml(f"temperature: {text}")["temperature"] == 1e-5  # YAML reads 1e-5 as a string


@pytest.mark.parametrize("text", ["1", "1.0"])
def test_a_whole_number_is_accepted_as_a_number(from_yaml, text: str) -> None:
    for value in (from_yaml(f"top_p: {text}")["top_p"], parse("--top_p", text)["top_p"]):
        assert value == 1.0 and isinstance(value, float)


def test_a_list_may_have_any_number_of_texts(from_yaml) -> None:
    assert parse("--filter_keywords", "default", "c++", "--seed", "1")["filter_keywords"] == ["default", "c++"]
    assert parse("--filter_keywords")["filter_keywords"] == []
    assert from_yaml("stop_words: ['\\n\\n', '###']")["stop_words"] == ["\\n\\n", "###"]
    assert from_yaml("stop_words: [a]", "--stop_words", "b", "c")["stop_words"] == ["b", "c"]


@pytest.mark.parametrize("text", ["null", "~", ""])
def test_null_is_accepted_if_the_default_is_null(from_yaml, text: str) -> None:
    assert from_yaml(f"embedding_threshold: {text}")["embedding_threshold"] is None


@pytest.mark.parametrize("value", ["-1", "0", "0.7", "1.01"])
def test_negative_numbers_and_the_bounds_are_accepted(value: str) -> None:
    names = {"-1": "seed", "0": "temperature", "0.7": "rouge_threshold", "1.01": "embedding_threshold"}
    assert parse(f"--{names[value]}", value)[names[value]] == float(value)


# ---- paths


def test_relative_paths_start_at_the_yaml_file_or_the_working_directory(
    from_yaml, tmp_path: Path, monkeypatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    values = from_yaml("seed_tasks_path: ../seeds.jsonl\nprompt_path: a/p.txt", "--batch_dir", "runs/../out")
    assert values["seed_tasks_path"] == str(tmp_path.parent / "seeds.jsonl")
    assert values["prompt_path"] == str(tmp_path / "a" / "p.txt")
    assert values["batch_dir"] == str(elsewhere / "out")


@pytest.mark.parametrize("name", ["model_name_or_path", "embedding_model_name_or_path"])
def test_only_a_dotted_model_name_is_a_path(from_yaml, tmp_path: Path, name: str) -> None:
    assert from_yaml(f"{name}: org/model")[name] == "org/model"
    assert from_yaml(f"{name}: ./org/model")[name] == str(tmp_path / "org" / "model")
    assert from_yaml(f"{name}: ../model")[name] == str(tmp_path.parent / "model")
    assert parse(f"--{name}", "~/model")[name] == str(Path.home() / "model")
    assert from_yaml(f"{name}: /abs/model")[name] == "/abs/model"


# These configure a merge or contain lists of patterns; all others configure runs.
NO_RUNS = {
    ROOT / "configs" / name for name in ("open_instructions.yaml", "response_filters.yaml", "thought_tags.yaml")
}


@pytest.mark.parametrize("path", sorted(set((ROOT / "configs").glob("*.yaml")) - NO_RUNS), ids=lambda path: path.name)
def test_every_shipped_configuration_parses_and_names_paths_that_exist(path: Path) -> None:
    config: Config = parse_arguments(["--config", str(path)], "test")
    seeds = config.run.seed_tasks_path
    assert Path(seeds).is_file() if seeds else config.category.categories
    for name, item in declarations(GROUPS).items():
        value = flatten(config)[name]
        if item.metadata["path"] == "always" and value is not None and name != "batch_dir":
            assert Path(value).is_file(), name
        if item.metadata["path"] == "if_dotted" and Path(value or "").is_absolute():
            assert Path(value).is_dir(), name


def test_the_quickstart_configuration_is_shipped() -> None:
    assert (ROOT / "configs" / "quickstart.yaml").is_file()


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (["instruction_io/instruction_output.py"], "instruction_output.py"),
        ([str(ROOT / "self_instruct" / "post_processing.py")], "python -m self_instruct.post_processing"),
        ([str(ROOT / "self_instruct" / "report" / "__main__.py")], "python -m self_instruct.report"),
        ([str(ROOT / "self_instruct" / "datasets" / "__main__.py"), "convert"],
         "python -m self_instruct.datasets convert"),
    ],
)  # fmt: skip
def test_the_usage_shows_the_typed_command(
    typed: list[str], shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [*typed, "--help"])
    with pytest.raises(SystemExit):
        parse_arguments(["--help"], "test")
    assert capsys.readouterr().out.startswith(f"usage: {shown} [")


def test_the_usage_shows_required_positionals_first(capsys: pytest.CaptureFixture[str]) -> None:
    for positionals, shown in ((("OLD", "NEW"), "OLD NEW [-h] ["), (("IN...",), "IN [IN...] [-h] [")):
        with pytest.raises(SystemExit):
            parse_values(["--help"], "test", GROUPS, ["seed"], positionals)
        assert f" {shown}" in capsys.readouterr().out.splitlines()[0]
