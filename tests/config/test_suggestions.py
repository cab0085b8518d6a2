"""Suggestions for option names that do not exist."""

import importlib
import pkgutil
from dataclasses import is_dataclass

import pytest

import self_instruct
from self_instruct.config.option import declarations
from self_instruct.config.parser import parse_values
from self_instruct.config.suggestions import OTHER_NAMES, nearest_option
from self_instruct.datasets.options import CurationOptions
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS, TopicOptions

GENERATION = declarations(GROUPS)
CURATION = declarations((CurationOptions,))


def all_options() -> set[str]:
    modules = [name for _, name, _ in pkgutil.walk_packages(self_instruct.__path__, "self_instruct.")]
    names = [name for name in modules if name.endswith(".options")] + ["self_instruct.generation.config"]
    groups = [
        item
        for name in names
        for item in vars(importlib.import_module(name)).values()
        if isinstance(item, type) and is_dataclass(item) and item.__name__.endswith("Options")
    ]
    return {*declarations(tuple(groups)), "record_format"}


def test_every_suggested_option_exists():
    suggested = {option.split()[0] for options in OTHER_NAMES for option in options.split("|")}
    assert suggested <= all_options()


def test_each_name_occurs_once():
    names = [name for names in OTHER_NAMES.values() for name in names.split()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--output_dir", "--batch_dir"), ("--output", "--batch_dir"), ("--model", "--model_name_or_path"),
        ("--num_samples", "--num_instructions_to_generate"), ("-n", "--num_instructions_to_generate"),
        ("--temp", "--temperature"), ("--seed-file", "--seed_tasks_path"), ("--input", "--seed_tasks_path"),
        ("--max_model_len", "--max_length"), ("--load_in_4bit", "--quantization 4bit"), ("--batch-dir", "--batch_dir"),
    ],
)  # fmt: skip
def test_generation_suggests_its_own_option_for_a_name_of_another_tool(given, meant):
    with pytest.raises(UserError) as caught:
        parse_values([given, "x"], "", GROUPS)
    assert str(caught.value) == f"unknown argument {given}; did you mean {meant}?"


def test_the_suggestion_is_an_option_of_the_command():
    assert nearest_option("output_dir", CURATION, "--") == "; did you mean --output_path?"
    assert nearest_option("n", declarations((TopicOptions,)), "--") == "; did you mean --num_topics?"
    assert nearest_option("max_tokens", CURATION) == ""


def test_a_misspelled_name_suggests_the_nearest_spelling():
    assert nearest_option("--max_lenght", GENERATION, "--") == "; did you mean --max_length?"
    assert nearest_option("qqqq", GENERATION) == ""
