"""Presets: their options exist, they make the decisions of the parent system, and YAML and flags override them."""

import json
import random
import re
import string
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from self_instruct.config.option import declarations
from self_instruct.config.parser import convert, parse_values
from self_instruct.config.presets import PRESETS
from self_instruct.datasets.options import ComparisonOptions
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.generation.assembly import build_curator
from self_instruct.generation.config import GROUPS, Config, flatten, parse_arguments
from self_instruct.records import Record
from self_instruct.rules.filters import RULES, build_filters, first_reason
from self_instruct.runs.journal import Entry
from tests.support.runs import ROOT, generate, rows, run, scripted
from tests.support.scripts import write_script

PAPER = ["go to", *"image images graph graphs picture pictures file files map maps draw plot".split()]
ALPACA = [*PAPER, "video", "audio", "music", "flowchart", "diagram"]


def preset(name: str, *argv: str) -> Config:
    return parse_arguments(["--preset", name, *argv], "test")


def reason_for(
    name: str, instruction: str = "Add the two numbers.", output: str = "a + b", input: str = ""
) -> str | None:
    options = preset(name).filter
    filters = build_filters(
        "Write some tasks for an assistant.", options.min_instruction_words, options.max_instruction_words,
        options.filter_keywords, options.filter_openings, options.keep_programming, options.filter_rules,
    )  # fmt: skip
    found = first_reason(filters, Record("x", instruction, input, output))
    return found and found.partition(": ")[0]


# ---- the options of a preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_existing_options_to_valid_values(name: str) -> None:
    declared = declarations((*GROUPS, ComparisonOptions))
    for key, value in PRESETS[name].options.items():
        given = list(value) if isinstance(value, list) else value
        assert convert(declared[key], given, key, Path.cwd()) == value
        assert key == "compare" or declared[key].metadata["fixed"], f"{key} decides nothing about the data"
    resolved = {**flatten(preset(name)), "compare": "instruction"}  # a run compares the instruction alone
    assert {key: resolved[key] for key in PRESETS[name].options} == PRESETS[name].options


def test_runs_do_not_share_the_lists_of_a_preset() -> None:
    preset("alpaca").filter.filter_rules.append("echo")
    assert "echo" not in preset("alpaca").filter.filter_rules + preset("code-alpaca").filter.filter_rules


# ---- the decisions of the parents


def parent(keywords: list[str], openings: tuple[str, ...]) -> Callable[[str], bool]:
    """Return the rule that four parents share: 4 to 150 words, no keyword, none of the openings, and an ASCII character other
    than punctuation at the beginning.
    """
    return lambda text: (
        len(text.split()) in range(4, 151)
        and not any(re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in keywords)
        and not text.startswith(openings)
        and text[0] in {chr(code) for code in range(128)} - set(string.punctuation)
    )


ORACLES = {
    "armel": parent(PAPER, ("Write a program", "Write a function")),
    "self-instruct": lambda text: parent(PAPER, ("Write a program",))(text.capitalize()),
    "alpaca": parent(ALPACA, ("Write a program",)),
    "code-alpaca": parent(ALPACA, ("Write a program",)),
}
FRAGMENTS = [
    "Write a program", "write a Program", "Write a function", "Draw", "file", "Files", "filename", "go to", "gone", "•", "é",
    "'", "1.", "the", "map", "video", "Audio", "a", "b", "sum of", "word " * 70,
]  # fmt: skip


@pytest.mark.parametrize("name", ORACLES)
def test_an_instruction_gets_the_decision_of_the_parent(name: str) -> None:
    made, rng, seen = preset(name).filter, random.Random(1), set()
    filters = build_filters("h", 4, 150, made.filter_keywords, made.filter_openings, rules=made.filter_rules)
    for _ in range(4000):
        text = " ".join(" ".join(rng.choices(FRAGMENTS, k=rng.randint(1, 7))).split())
        wanted = ORACLES[name](text)
        found = first_reason(filters, Record(text, text, "", f"answer to {text}"))
        assert (found is None) == wanted, (text, found)
        seen.add(wanted)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("name", "candidate", "reason"),
    [
        ("armel", {"instruction": "Write a function that adds."}, "opening"),
        ("armel", {"instruction": "write a function that adds."}, None),
        ("armel", {"instruction": "Add the music to it."}, None),
        ("armel", {"instruction": "Add the files to it."}, "keyword"),
        ("armel", {"instruction": "Add the numbers"}, "too_short"),
        ("armel", {"instruction": "a " * 150}, None),
        ("armel", {"instruction": "a " * 151}, "too_long"),
        ("armel", {"output": ""}, None),
        ("armel", {"output": "Add the two numbers."}, None),
        ("armel", {"output": "x = 1\n" * 9}, None),
        ("self-instruct", {"instruction": "Write a function that adds."}, None),
        ("self-instruct", {"instruction": "WRITE A PROGRAM that adds."}, "opening"),
        ("self-instruct", {"output": "7", "input": "7"}, "input_as_output"),
        ("self-instruct", {"output": " ", "input": "7"}, "empty_output"),
        ("self-instruct", {"output": "Here it is:"}, "ends_with_colon"),
        ("self-instruct", {"input": "Numbers:"}, "ends_with_colon"),
        ("self-instruct", {"output": "```\n```"}, None),
        ("alpaca", {"instruction": "Add the music to it."}, "keyword"),
        ("alpaca", {"instruction": "'Add the numbers to it.'"}, "starts_with_punctuation"),
        ("alpaca", {"instruction": "Über all the numbers."}, "starts_with_non_ascii"),
        ("alpaca", {"output": "As an AI language model, I cannot."}, None),
        ("code-alpaca", {"instruction": "Write a program that adds."}, "opening"),
        ("code-alpaca", {"instruction": "Write a function that adds."}, None),
        ("code-alpaca", {"instruction": "Read the file of numbers."}, "keyword"),
        ("airoboros", {"instruction": "Draw"}, None),
        ("airoboros", {"instruction": "• Write a program " + "a " * 200}, None),
        ("airoboros", {"output": "As an AI language model, I cannot."}, "refusal"),
        ("airoboros", {"output": "I'm sorry, no."}, "refusal"),
        ("airoboros", {"output": "\n"}, "empty_output"),
    ],
)
def test_each_rule_of_a_preset_accepts_and_rejects_as_its_parent_does(
    name: str, candidate: dict[str, str], reason: str | None
) -> None:
    assert reason_for(name, **candidate) == reason


@pytest.mark.parametrize("name", ["armel", "self-instruct", "alpaca", "code-alpaca"])
def test_rouge_uses_the_threshold_of_the_parent(name: str) -> None:
    seed = Record("s", "a b c d e f g h i j", "", "x")
    curator = build_curator(preset(name), INSTRUCTION_INPUT_OUTPUT, "h", [seed])
    texts = ["a b c d e f g h k l", "a b c d e f g o p q", "a b c d e f k l m n"]  # 0.8, exactly 0.7, 0.6
    block = "1. Instruction:\n{}\n\n1. Input:\n<noinput>\n\n1. Output:\ny{}\n###\n"
    text = "".join(block.format(text, at) for at, text in enumerate(texts))
    verdicts = curator.decide(Entry(0, [], [], 1, "", text, "stop", 1, 1, 0, None))
    assert [verdict.drop and verdict.drop.reason for verdict in verdicts] == ["rouge_l", None, None]


def test_airoboros_does_not_use_rouge() -> None:
    options = preset("airoboros", "--embedding_threshold", "0.9").novelty
    assert options.rouge_threshold > 1 and options.embedding_threshold == 0.9
    # A squared distance of 0.07 between unit vectors is this cosine.
    assert preset("airoboros").novelty.embedding_threshold == pytest.approx(1 - 0.07 / 2)


# ---- precedence


def test_a_flag_beats_yaml_which_beats_the_preset_which_beats_the_default(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("preset: alpaca\ntop_p: 0.5\ntemperature: 0.3\n")
    values = flatten(parse_arguments(["--config", str(path), "--temperature", "0.1"], "test"))
    assert (values["temperature"], values["top_p"], values["max_new_tokens"], values["top_k"]) == (0.1, 0.5, 3072, 0)
    values = flatten(parse_arguments(["--config", str(path), "--preset", "armel"], "test"))
    assert (values["preset"], values["temperature"], values["repetition_penalty"]) == ("armel", 0.3, 1.2)
    assert values["filter_keywords"] == ["default"]


def test_null_and_an_empty_list_beat_the_preset_too(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("preset: airoboros\nembedding_threshold: null\nfilter_rules: []\n")
    values = flatten(parse_arguments(["--config", str(path)], "test"))
    assert values["embedding_threshold"] is None and values["filter_rules"] == []
    assert flatten(preset("alpaca", "--stop_words"))["stop_words"] == []
    path.write_text("preset: null\n")
    assert parse_arguments(["--config", str(path)], "test") == parse_arguments([], "test")


def test_a_preset_sets_only_options_of_the_command() -> None:
    values, _ = parse_values(
        ["--preset", "alpaca", "--filter_keywords", "tree"], "test", GROUPS, ["preset", "filter_keywords"]
    )
    assert values == {"preset": "alpaca", "filter_keywords": ["tree"]}
    with pytest.raises(UserError, match="unknown argument --preset"):
        parse_values(["--preset", "alpaca"], "test", GROUPS, ["seed"])


@pytest.mark.parametrize(("given", "nearest"), [("alpacca", "alpaca"), ("code_alpaca", "code-alpaca"), ("Armel", "armel"),
                                                ("selfinstruct", "self-instruct"), ("airoboro", "airoboros")])  # fmt: skip
def test_a_misspelt_preset_is_reported_with_the_nearest_name(tmp_path: Path, given: str, nearest: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"preset: {given}")
    for argv in (["--preset", given], ["--config", str(path)]):
        with pytest.raises(
            UserError, match=f"preset is '{given}', but must be one of armel, .*did you mean {nearest}"
        ):
            parse_arguments(argv, "test")


# ---- in a run


def test_a_run_records_the_resolved_preset_and_refilter_can_use_another(tmp_path: Path) -> None:
    script = write_script(tmp_path / "script.jsonl", 30)
    options = scripted(script, tmp_path / "run", 500)
    result = generate(*options, "--preset", "alpaca")
    assert result.returncode == 0, result.stderr
    recorded = yaml.safe_load((tmp_path / "run/run.yaml").read_text())["options"]
    assert recorded["preset"] == "alpaca"
    explicit = {"rouge_threshold": 0.6, "num_prompt_instructions": 4}
    wanted = {**PRESETS["alpaca"].options, **explicit}
    del wanted["compare"]  # an option of curate and merge
    assert {name: recorded[name] for name in wanted} == wanted
    command = [tmp_path / "run", tmp_path / "new", "--preset", "armel"]
    result = run(sys.executable, "-m", "self_instruct.refilter", *command, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    judged = yaml.safe_load((tmp_path / "new/run.yaml").read_text())["options"]
    assert (judged["preset"], judged["filter_keywords"], judged["rouge_threshold"]) == ("armel", ["default"], 0.7)
    assert judged["temperature"] == recorded["temperature"]
    assert len(rows(tmp_path / "new/rejected.jsonl")) > 0


def test_the_first_prompt_follows_the_preset() -> None:
    seeds = ROOT / "seeds" / "code.jsonl"
    result = generate("--seed_tasks_path", seeds, "--preset", "alpaca", "--dry_run")
    assert result.returncode == 0 and "3 of 72 seed tasks" in result.stderr
    assert INSTRUCTION_OUTPUT.open_block(4).strip() in result.stdout


# ---- the documentation


def block(name: str) -> str:
    """Return the text that docs/presets.md shows for a preset: its options that differ from the defaults."""
    defaults = flatten(parse_arguments([], "test"))
    differing = {key: value for key, value in PRESETS[name].options.items() if value != defaults.get(key, value)}
    ordered = {key: differing[key] for key in declarations(GROUPS) if key in differing}
    lines = (f"{key}: {json.dumps(value)}\n" for key, value in ordered.items())
    return f"```yaml\n# --preset {name}\n{''.join(lines)}```\n"


def test_the_documentation_shows_the_options_of_the_presets() -> None:
    assert PRESETS["alpaca"].options == PRESETS["code-alpaca"].options
    text = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
    for name, made in PRESETS.items():
        assert f"| `{name}` | {made.summary} |" in text
        assert name == "code-alpaca" or block(name) in text, block(name)


def test_the_documentation_names_every_rule_with_its_reasons() -> None:
    text = (ROOT / "docs" / "curation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|`]*(?:`--\w+`[^|`]*)* \| (`\w+`(?:, `\w+`)*) \|$", text, re.MULTILINE)
    assert {name: tuple(re.findall(r"\w+", reasons)) for name, reasons in rows} == RULES
    assert [name for name, _ in rows] == list(RULES)
