"""Mistakes in options: every message names the option, the given value and the expected one."""

import re
from dataclasses import Field, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
import yaml

import self_instruct
from self_instruct.config.option import declarations
from self_instruct.config.parser import convert, parse_values
from self_instruct.datasets.options import OutputOptions
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS, parse_arguments


def mistake(*argv: str) -> str:
    with pytest.raises(UserError) as caught:
        parse_arguments(argv, "test")
    return str(caught.value)


def yaml_mistake(folder: Path, content: str | bytes) -> str:
    path = folder / "run.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = mistake("--config", str(path))
    assert str(path) in message
    return message.replace(f"{path}: ", "").replace(f"--config {path}", "--config")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seed: true", "seed is True, but must be a whole number"),
        ("seed: one", "seed is 'one', but must be a whole number"),
        ("seed: 1.0", "seed is 1.0, but must be a whole number"),
        ("seed: [1]", "seed is [1], but must be a whole number"),
        ("seed: {a: 1}", "seed is {'a': 1}, but must be a whole number"),
        ("seed: 2024-05-31", "seed is datetime.date(2024, 5, 31), but must be a whole number"),
        ("seed:", "seed has no value; give a whole number or leave the line out"),
        ("temperature: yes", "temperature is True, but must be a number"),
        ("temperature: warm", "temperature is 'warm', but must be a number"),
        ("temperature: .nan", "temperature is nan, but must be at least 0"),
        ("temperature: .inf", "temperature is inf, but must be at least 0 and at most 1,000,000,000"),
        ("temperature: 1" + "0" * 400, "temperature is 1" + "0" * 37 + "..." + "0" * 39 + ", but must be a number"),
        ("temperature: 1.0e+300", "temperature is 1e+300, but must be at least 0 and at most 1,000,000,000"),
        ("seed: 1" + "0" * 400, "seed is 1" + "0" * 37 + "..." + "0" * 39 + ", but must be at most 9,007,199,254,740,991"),
        ("max_hours: 1:30", "max_hours is '1:30', but must be a number"),
        ("max_hours: 1:30.5", "max_hours is '1:30.5', but must be a number"),
        ("seed: 0x10", "seed is '0x10', but must be a whole number"),
        ("seed: 0b10", "seed is '0b10', but must be a whole number"),
        ("seed: !!int x", "is not YAML: invalid literal for int() with base 10: 'x'"),
        ("seed: !!bool x", "is not YAML: a value does not match its tag ('x')"),
        ("seed: !!int 0x" + "f" * 5000, "seed is a number of over 4,300 digits, but must be at most 9,007,199,254,740,991"),
        ("batch_dir: ''", "batch_dir is empty; give a text or leave it out"),
        ("instruction_trigger: ''", "instruction_trigger is empty; give a text or leave it out"),
        ("temperature: -0.1", "temperature is -0.1, but must be at least 0"),
        ("top_p: 0", "top_p is 0.0, but must be above 0 and at most 1"),
        ("top_p: 1.1", "top_p is 1.1, but must be above 0 and at most 1"),
        ("threshold: 2", "threshold is 2.0, but must be above 0 and at most 1.01"),
        ("patience: 0", "patience is 0, but must be at least 1"),
        ("dry_run: 1", "dry_run is 1, but must be true or false"),
        ("dry_run: maybe", "dry_run is 'maybe', but must be true or false"),
        ("dry_run:", "dry_run has no value; give true or false or leave the line out"),
        ("model_revision: 3", "model_revision is 3, but must be a text; put it in quotes"),
        ("model_revision: no", "model_revision is False, but must be a text; put it in quotes"),
        ("model_revision: [a]", "model_revision is ['a'], but must be a text"),
        ("stop_words: '###'", "stop_words is '###', but must be a list of texts, as in [one, two]"),
        ("filter_keywords: [file, no]", "filter_keywords[1] is False, but must be a text; put it in quotes"),
        ("filter_keywords: [1]", "filter_keywords[0] is 1, but must be a text; put it in quotes"),
        ("filter_keywords:", "filter_keywords has no value; give a text or leave the line out"),
        ("dtype: float23",
         "dtype is 'float23', but must be one of auto, float32, float16, bfloat16; did you mean float32?"),
        ("engine: x", "engine is 'x', but must be one of auto, huggingface, vllm, openai, scripted"),
    ],
)  # fmt: skip
def test_a_wrong_yaml_value_is_reported_with_its_option(tmp_path: Path, line: str, message: str) -> None:
    assert yaml_mistake(tmp_path, line) == message


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--seed", "1.5"], "--seed is '1.5', but must be a whole number"),
        (["--seed", "true"], "--seed is 'true', but must be a whole number"),
        (["--seed="], "--seed is '', but must be a whole number"),
        (["--top_p", "nan"], "--top_p is nan, but must be above 0 and at most 1"),
        (["--max_length", "1"], "--max_length is 1, but must be at least 2"),
        (["--dry_run", "maybe"], "--dry_run is 'maybe', but must be true or false"),
        (["--chat_template", "alway"],
         "--chat_template is 'alway', but must be one of auto, always, never; did you mean always?"),
        (["--seed"], "argument --seed: expected one argument"),
        (["--config"], "argument --config: expected one argument"),
        (["--sed", "3"], "unknown argument --sed; did you mean --seed?"),
        (["--num_instructions=3"], "unknown argument --num_instructions; did you mean --num_instructions_to_generate?"),
        (["--see", "3"], "unknown argument --see; did you mean --seed?"),
        (["--qqqq"], "unknown argument --qqqq"),
        (["stray"], "unknown argument stray"),
        (["--dry_run", "stray"], "--dry_run is 'stray', but must be true or false"),
        (["--dry_run", "true", "stray"], "unknown argument stray"),
        (["--dry_run="], "--dry_run is '', but must be true or false"),
        (["--seed", "--dry_run"], "argument --seed: expected one argument"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_reported_with_its_name(argv: list[str], message: str) -> None:
    assert mistake(*argv) == message


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--threshold", "0.5", "--rouge_threshold", "0.6"], "--threshold is 0.5, but --rouge_threshold is 0.6; "),
        (["--rouge_threshold=0.6", "--threshold=0.5"], "--rouge_threshold is 0.6, but --threshold is 0.5; "),
    ],
)
def test_two_names_of_an_option_cannot_have_different_values(argv: list[str], message: str) -> None:
    assert mistake(*argv) == f"{message}both name the same option, so give one of them"


def test_output_and_output_path_cannot_differ() -> None:
    with pytest.raises(UserError, match=r"^--output is a\.jsonl, but --output_path is b\.jsonl; "):
        parse_values(["--output", "a.jsonl", "--output_path", "b.jsonl"], "", (OutputOptions,))


def test_two_names_of_an_option_may_have_the_same_value_and_the_last_value_of_a_name_counts() -> None:
    assert parse_arguments(["--threshold", "0.5", "--rouge_threshold", "0.5"], "").novelty.rouge_threshold == 0.5
    assert parse_arguments(["--threshold", "0.5", "--threshold", "0.6"], "").novelty.rouge_threshold == 0.6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sede: 3", "unknown option sede; did you mean seed?"),
        ("treshold: 3", "unknown option treshold; did you mean threshold?"),
        ("qqqq: 3", "unknown option qqqq"),
        ("3: 3", "unknown option 3"),
        ("on: 3", "unknown option on"),
        ("~: 3", "unknown option ~"),
        ("yes: 1", "yes is 1, but must be true or false"),
        ("config: other.yaml", "unknown option config"),
        ("--seed: 3", "unknown option --seed; did you mean seed?"),
        (
            "threshold: 0.5\nrouge_threshold: 0.6",
            "rouge_threshold and threshold are the same option; give one of them",
        ),
        (
            "rouge_threshold: 0.6\nthreshold: 0.6",
            "rouge_threshold and threshold are the same option; give one of them",
        ),
        ("- seed: 3", "must hold one 'option: value' a line, but holds a list"),
        ("seed", "must hold one 'option: value' a line, but holds a str"),
        (b"seed: 3\nengine: \xff", "--config cannot be read (it is not UTF-8); give the path of a UTF-8 YAML file"),
    ],
)
def test_a_wrong_yaml_file_is_reported_with_its_path(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert yaml_mistake(tmp_path, content) == message


@pytest.mark.parametrize(
    "content",
    [
        "seed: 1\nseed: 2",
        "seed: 2024-13-45",
        "seed: " + "[" * 1000,
        "seed: [1",
        "seed: 3\n\tx: 4",
        "a: b: c",
        "seed: \x01",
        "yes: true\n'yes': false",
        "[seed]: 3",
        "'': 3",
        "!!python/object:os.x {}",
    ],
)
def test_invalid_yaml_is_reported_in_one_line(tmp_path: Path, content: str) -> None:
    message = yaml_mistake(tmp_path, content)
    assert message.startswith("is not YAML: ") and "\n" not in message


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "\ufeff", "{}"])
def test_a_yaml_file_without_options_changes_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(content, encoding="utf-8")
    assert parse_arguments(["--config", str(path)], "test") == parse_arguments([], "test")


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xef\xbb\xbfseed: 3\r\ntop_k: 4\r\n")
    config = parse_arguments(["--config", str(path)], "test")
    assert (config.run.seed, config.sampling.top_k) == (3, 4)


def test_a_missing_yaml_file_and_a_folder_are_reported_with_the_reason(tmp_path: Path) -> None:
    assert re.search(
        r"--config .*none.yaml: cannot be read \(No such file", mistake("--config", str(tmp_path / "none.yaml"))
    )
    assert re.search(r"--config .*: cannot be read \(Is a directory\)", mistake("--config", str(tmp_path)))


def test_a_bad_yaml_value_is_refused_even_where_a_flag_would_win(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("seed: x")
    assert "seed is 'x'" in mistake("--config", str(path), "--seed", "1")


def words_mistake(*argv: str, positional: tuple[str, ...] = ("OLD_DIR", "NEW_DIR")) -> str:
    with pytest.raises(UserError) as caught:
        parse_values(argv, "test", GROUPS, positional=positional)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "OLD_DIR and NEW_DIR are missing; --help shows the order of the arguments"),
        (["--dry_run", "a"], "NEW_DIR is missing; --help shows the order of the arguments"),
        (["--seed", "1", "a"], "NEW_DIR is missing; --help shows the order of the arguments"),
        (["--filter_keywords", "--dry_run", "a"], "NEW_DIR is missing; --help shows the order of the arguments"),
        (["--filter_keywords", "x", "a", "b"],
         "OLD_DIR and NEW_DIR are missing: 'a', 'b' were read as values of --filter_keywords; give OLD_DIR NEW_DIR first"),
        (["a", "--filter_keywords", "x"],
         "NEW_DIR is missing: 'x' was read as a value of --filter_keywords; give OLD_DIR NEW_DIR first"),
        (["a", "--filter_keywords", "x", "--seed", "1", "--dry_run"],
         "NEW_DIR is missing: 'x' was read as a value of --filter_keywords; give OLD_DIR NEW_DIR first"),
        (["a", "--dry_run", "1"], "NEW_DIR is missing: '1' was read as a value of --dry_run; give OLD_DIR NEW_DIR first"),
        (["a", "b", "--dry_run", "c"], "unknown argument c"),
        (["a", "b", "c"], "unknown argument c"),
        (["a", "b", "--", "--seed"], "unknown argument --seed"),
        (["--sed", "a"], "unknown argument --sed; did you mean --seed?"),
    ],
)  # fmt: skip
def test_a_misplaced_positional_is_reported_correctly(argv: list[str], message: str) -> None:
    assert words_mistake(*argv) == message


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "RUN_DIR and ID are missing; --help shows the order of the arguments"),
        (["a"], "ID is missing; --help shows the order of the arguments"),
        (["--batch_dir", "/r"], "ID is missing; --help shows the order of the arguments"),
        (["a", "7", "--batch_dir", "/r"], "RUN_DIR is a, but --batch_dir is /r; give one of them"),
        (["a", "7", "b", "--batch_dir", "/r"], "unknown argument b"),
    ],
)
def test_a_positional_that_is_also_an_option_is_reported_under_the_name_that_was_used(
    argv: list[str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        parse_values(argv, "test", GROUPS, positional=("RUN_DIR", "ID"), by={"RUN_DIR": ["batch_dir"]})
    assert str(caught.value) == message


def test_one_or_more_positionals_can_be_required() -> None:
    read = "IN is missing: 'b' was read as a value of --stop_words; give IN first"
    assert words_mistake("--stop_words", "a", "b", positional=("IN...",)) == read


def test_help_shows_every_option_and_default_and_exits_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--help_all"], "Generate records.")
    shown = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for expected in ("Generate records.", "--threshold", "[default: 0.7]", "{auto,always,never}", "novelty"):
        assert expected in shown
    assert all(f"--{name}" in shown for name in declarations(GROUPS))


def test_help_of_many_options_shows_the_common_ones_and_how_to_see_all(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--help"], ["-h"], ["--seed", "1", "--help"]):
        with pytest.raises(SystemExit):
            parse_arguments(argv, "Generate records.")
        shown = capsys.readouterr().out
        options = {name for name in declarations(GROUPS) if re.search(rf"^  --{name}\b", shown, re.M)}
        assert options == {name for name, item in declarations(GROUPS).items() if item.metadata["common"]}
        assert 20 <= len(options) <= 30
        assert shown.endswith(f"\n--help_all shows all {len(declarations(GROUPS))} options.\n")


def test_help_of_few_options_shows_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_values(["--help"], "test", GROUPS, ["seed", "min_p"])
    shown = capsys.readouterr().out
    assert "--seed" in shown and "--min_p" in shown and "--help_all" not in shown


def every_option() -> dict[str, Field]:
    """Return the declaration of each option of the package, by the module and name of its group and its own name."""
    modules = [module.name for module in walk_packages(self_instruct.__path__, "self_instruct.") if "." in module.name]
    groups = {
        group
        for name in modules
        if name.rpartition(".")[2] in ("options", "config") or ".commands." in name
        for group in vars(import_module(name)).values()
        if isinstance(group, type) and is_dataclass(group) and any(item.metadata for item in fields(group))
    }
    return {f"{group.__qualname__}.{name}": item for group in groups for name, item in declarations((group,)).items()}


HUGE = ["9" * 400, "-" + "9" * 400, "9" * 5000, "1e300", "-1e300", "1e400", "0x10", "1:30", "nan", "x" * 400]
LAUGHS = "\n".join(["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 5))])


def test_every_option_refuses_a_value_without_bounds_in_one_short_message(tmp_path: Path) -> None:
    values = [*HUGE, *(yaml.safe_load(text) for text in HUGE if len(text) < 500), yaml.safe_load(LAUGHS)]
    found = every_option()
    assert len(found) > 100
    for name, item in found.items():
        for value in values:
            try:
                taken = convert(item, value, name, tmp_path)
            except UserError as error:
                assert len(str(error)) < 2_500, (name, error)
            else:
                assert isinstance(taken, str) or -(2**53) < taken < 2**53, (name, value)


@pytest.mark.parametrize("home", ["./~", "./~/run", "a/~"])
def test_a_tilde_that_does_not_begin_a_path_is_a_name(
    tmp_path: Path, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_arguments(["--batch_dir", home], "test").run.batch_dir == str(tmp_path / home)
