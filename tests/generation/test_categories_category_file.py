"""Reading category files: valid contents, and the messages for mistakes."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.errors import UserError
from self_instruct.generation.categories.category_file import read_category
from self_instruct.generation.categories.library import category_files, find, share_sampling
from self_instruct.generation.categories.quotas import quotas_of, read_shares
from self_instruct.generation.categories.template import Template
from tests.support.category_runs import build_recipe, write_category
from tests.support.runs import ROOT

GOOD = """\
prompt: Write about {topic}.
demonstrations:
- {instruction: Do one thing for me., output: Done.}
"""

MISTAKES = {
    "promt: hello\n": "promt is unknown; did you mean prompt?",
    GOOD + "rouge_treshold: 0.5\n": "rouge_treshold is unknown; did you mean rouge_threshold?",
    GOOD + "steps: 3\n": "steps is 3, but must be a whole number from 1 to 2",
    GOOD + "steps: yes\n": "steps is True, but must be a whole number from 1 to 2",
    GOOD + "steps: 2\n": "response_prompt is missing; give a text",
    GOOD + "format: oii\n": "format is 'oii', but must be io or iio; did you mean iio?",
    GOOD + "tasks_per_request: many\n": "tasks_per_request is 'many', but must be a whole number",
    GOOD + "request: of {topics}\n": "request has the variable {topics}, which is not one of topic, count; did you mean topic?",
    GOOD + "request: about { Topic }\n": "request has { Topic }; a variable is written {topic}, in lower case",
    GOOD + "variables: [a]\n": "variables is ['a'], but must hold",
    GOOD + "variables: {style: plain}\n": "variables.style is 'plain', but must be a list of values",
    GOOD + "variables: {Style: [a]}\n": "variables.Style cannot be the name of a variable",
    GOOD + "variables: {count: [1]}\n": "variables.count cannot be the name of a variable",
    GOOD + "variables: {style: [yes]}\n": "variables.style[0] is True, but must be a text or a number; put yes, no",
    GOOD + "variables: {style: {drawn: [a]}}\n": "variables.style.drawn is unknown; did you mean draw?",
    GOOD + "variables: {style: {draw: [a], rotate: [b]}}\n": "variables.style must have either draw or rotate",
    GOOD + "variables: {style: {draw: [a], shown: {b: text}}}\n": "variables.style.shown.b is not one of the values",
    GOOD + "validators: constraints\n": "validators is 'constraints', but must be a list",
    GOOD + "validators: [1]\n": "validators[0] is 1, but must be a name",
    GOOD + "response_prompt: Answer.\n": "response_prompt is for a second step, but steps is 1",
    GOOD + "instruction_validators: [riddle]\n": "instruction_validators is for tasks without answers",
    GOOD + "answered_alone: some\n": "answered_alone is 'some', but must be missing or all or none",
    GOOD + "steps: 2\nresponse_prompt: Answer.\nanswered_alone: missing\n": "answered_alone is 'missing', but must be all or",
    GOOD + "prompt: again\n": "is not YAML: prompt is repeated",
    "prompt: ''\n" + GOOD.partition("\n")[2]: "prompt is empty; give a text",
    "prompt: 7\n" + GOOD.partition("\n")[2]: "prompt is 7, but must be a text",
    "prompt: hello\n": "demonstrations is missing; a model needs at least one",
    "prompt: a\ndemonstrations: [b]\n": "demonstrations[0] is 'b', but must have an instruction and an output",
    "prompt: a\ndemonstrations: [{instruction: b}]\n": 'demonstrations[0]: field "output" is missing',
    "prompt: a\ndemonstrations: [{instruction: b c, outptu: d}]\n": "demonstrations[0].outptu is unknown; did you mean output?",
    "prompt: a\ndemonstrations: [{instruction: b, input: c, output: d}]\n": "demonstrations[0] has an input, but the format is",
    "prompt: a\ndemonstrations: [{id: x, instruction: b, output: d}, {id: x, instruction: c, output: d}]\n":
        "demonstrations has the id 'x' twice",
    "- a list\n": "must hold 'key: value' lines",
    "": "must hold 'key: value' lines",
    "a: [": "is not YAML",
    "1: 2\n": "1 is unknown",
    "yes: 2\n": "yes is unknown",
    "[1]: 2\n": "is not YAML: a key is a list or mapping",
    GOOD + "variables: {on: [a]}\nrequest: '{no}'\n": "request has the variable {no}, which is not one of on, topic, count",
    GOOD + "variables: {style: {draw: [a], shown: {no: text}}}\n": "variables.style.shown.no is not one of the values",
    GOOD + "variables: {style: {draw: [a], shown: {a: no}}}\n": "variables.style.shown.a is False, but must be a text",
}  # fmt: skip


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_reported_with_file_and_key(text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(str(path))) as caught:
        read_category(path)
    assert MISTAKES[text] in str(caught.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("rouge_threshold: 7\n", "rouge_threshold is 7.0, but must be above 0 and at most 1.01"),
        ("filter_rules: [lenght]\n", "filter_rules[0] is 'lenght', but must be one of"),
        ("temperature: warm\n", "temperature is 'warm', but must be a number"),
        ("validators: [constraint]\n", "validators: validator 'constraint' is unknown; did you mean constraints?"),
        ("validators: [{multiple_choice: {option: 4}}]\n", "unknown parameter 'option'; did you mean options?"),
    ],
)
def test_values_of_options_and_validators_are_checked_by_file_and_key(tmp_path, more, message):
    path = write_category(tmp_path, "mine", more=more)
    with pytest.raises(UserError, match=re.escape(f"category file {path}: ")) as caught:
        build_recipe("--categories", "mine", "--categories_path", tmp_path)
    assert message in str(caught.value)


def test_a_file_that_is_not_utf8_or_missing_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"prompt: \xff\n")
    with pytest.raises(UserError, match="is not UTF-8"):
        read_category(tmp_path / "mine.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_category(tmp_path / "none.yaml")


def test_a_file_in_the_users_directory_replaces_a_built_in_category(tmp_path):
    mine, riddle = write_category(tmp_path, "mine"), write_category(tmp_path, "riddle")
    assert find(["mine", "riddle"], tmp_path) == [mine, riddle]
    assert find(["riddle"])[0] != riddle
    with pytest.raises(UserError, match=r"names 'ridle', which is unknown; did you mean riddle\?; there are coding"):
        find(["ridle"])
    with pytest.raises(UserError, match="is not a directory"):
        find(["riddle"], tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--seed_tasks_path", "seeds/code.jsonl"), "--seed_tasks_path does not go with --categories"),
        (("--prompt_path", "p.txt"), "--prompt_path does not go with --categories"),
        (("--num_return_sequences", "2"), "--num_return_sequences does not go with --categories"),
        (("--topics_path", "nowhere.txt"), "cannot be read"),
    ],
)
def test_options_that_conflict_with_categories_are_refused(more, message):
    with pytest.raises(UserError, match=re.escape(message)):
        build_recipe("--categories", "riddle", *more)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a:0", "share of a is '0'"), ("a:-1", "is '-1'"), ("a:x", "is 'x'"), ("a:nan", "is 'nan'"), ("a:inf", "is 'inf'"),
     ("a:", "is ''"), ("a,,b", "a name is missing"), ("", "a name is missing"), ("a:1,a:2", "has a twice")],
)  # fmt: skip
def test_invalid_shares_are_refused(text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        read_shares(text)


def test_shares_are_read_and_divide_the_records():
    assert read_shares("general:50, coding:30,riddle") == {"general": 50.0, "coding": 30.0, "riddle": 1.0}
    assert quotas_of({"a": 1, "b": 1, "c": 1}, 10) == {"a": 4, "b": 3, "c": 3}
    assert quotas_of({"a": 50, "b": 30, "c": 20}, 7) == {"a": 4, "b": 2, "c": 1}


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20), st.integers(0, 10**6))
def test_quotas_add_up_and_are_within_one_of_the_exact_share(shares, number):
    named = {str(at): share for at, share in enumerate(shares)}
    quotas = quotas_of(named, number)
    assert sum(quotas.values()) == number
    for name, share in named.items():
        assert abs(quotas[name] - number * share / sum(shares)) < 1 + 1e-6


def test_templates_fill_in_variables_and_remove_lines_that_become_empty():
    text = Template('{topic}: {"a": {x}} {{topic}} %s {0} {}\n{tail}\n\nend')
    assert text.names == ("topic", "x", "tail") and text.malformed == ()
    assert text.fill({"topic": "{x}", "x": "1", "tail": ""}) == '{x}: {"a": 1} {{x}} %s {0} {}\n\nend'
    with pytest.raises(KeyError):
        text.fill({"topic": "a"})
    assert Template("{ topic } and {Topic}").malformed == ("{ topic }", "{Topic}")


@settings(max_examples=80)
@given(st.text(max_size=60), st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=20), min_size=2))
def test_a_value_is_never_read_as_a_template(text, values):
    assert Template("{a}|{b}").fill(values) == f"{values['a']}|{values['b']}" or not "".join(values.values()).strip()
    if "{" not in text:
        assert Template(text).fill(values) == text


def test_a_category_sets_only_its_own_options(tmp_path):
    path = write_category(tmp_path, "mine", more="rouge_threshold: 0.5\ntemperature: 0.2\nmax_instruction_words: 9\n")
    recipe = build_recipe("--categories", "mine,riddle", "--categories_path", tmp_path, "--rouge_threshold", "0.9")
    own, other = recipe.configs["mine"], recipe.configs["riddle"]
    assert (own.novelty.rouge_threshold, own.sampling.temperature, own.filter.max_instruction_words) == (0.5, 0.2, 9)
    assert (other.novelty.rouge_threshold, other.sampling.temperature) == (0.65, 1.0)
    assert own.sampling.top_p == recipe.config.sampling.top_p and Path(path).stem == "mine"


def test_share_sampling_compares_the_options_of_categories_and_run(tmp_path):
    write_category(tmp_path, "plain", more="max_new_tokens: 9\ntop_p: 0.95\n")
    write_category(tmp_path, "cold", more="temperature: 0\n")
    run = vars(build_recipe("--categories", "plain", "--categories_path", tmp_path).config.sampling)
    assert share_sampling(["plain"], tmp_path, run) and not share_sampling(["plain", "cold"], tmp_path, run)


def test_the_documentation_has_a_valid_example_and_lists_all_built_in_categories(tmp_path):
    text = (ROOT / "docs/categories.md").read_text(encoding="utf-8")
    (tmp_path / "haiku.yaml").write_text(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0], encoding="utf-8")
    recipe = build_recipe("--categories", "haiku", "--categories_path", tmp_path)
    assert recipe.categories["haiku"].variables["season"].values == ("spring", "summer", "autumn", "winter")
    rules = recipe.curator().rules["haiku"]
    assert all(rules.check(record, {}) == record for record in recipe.seeds)
    table = re.findall(r"^\| `(\w+)` \| (\d), (\w+) \|", text, re.MULTILINE)
    files = [(name, read_category(path)) for name, path in category_files().items()]
    assert sorted(table) == sorted((name, str(item.steps), item.answered_alone) for name, item in files)


def test_the_airoboros_configuration_uses_all_categories():
    recipe = build_recipe("--config", ROOT / "configs/airoboros.yaml", "--batch_dir", "unused")
    recipe.check()
    assert set(recipe.categories) == set(category_files()) and sum(recipe.quotas.values()) == 5000
    assert recipe.config.prompt.num_prompt_synthetic_instructions == 0
    assert all(record.depth == 0 for record in recipe.seeds)
