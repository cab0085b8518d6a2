"""The patterns of --constrain: the parsers read every text that matches, and only runs with the option send them."""

import random
import re

import pytest

import self_instruct as si
from self_instruct.config.option import declarations
from self_instruct.engines.base import WordCounter
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_OUTPUT
from self_instruct.generation.categories.topic_lists import listed
from self_instruct.generation.config import GROUPS, Config
from self_instruct.generation.patterns import check_constrain, options_pattern, task_list_pattern, topic_list_pattern
from self_instruct.generation.task_lists import listed_tasks
from self_instruct.generation.topics import TopicRecipe
from self_instruct.rules.validators.choices import chosen, read_options
from self_instruct.runs import manifest
from self_instruct.runs.journal import Entry
from tests.support.category_runs import Author, build_recipe, run_recipe, write_category
from tests.support.chat_model import ChatModel

QUESTION = "Which sum is right?\nA. 1+1 = 2 (two)\nB. 2*2 = 5\nC. 3|4 = [7]\nD. none"


def tasks_of(text: str, with_input: bool) -> list[tuple[str, str]]:
    verdicts = listed_tasks(with_input, Entry(7, [], [], 2, "", text, "stop", 1, 1, 0, None))
    assert [item.drop for item in verdicts] == [None] * len(verdicts), text
    return [(item.record.instruction, item.record.input) for item in verdicts]


PIECES = [
    "Task", "task", "new", "Input", "Answer", "a", "é", "1.", "2.", "3.", "17", ":", '"', "**", "---", "###", "-", "“",
    "\u2003", " ", " ", " ", "\n", "\n   ", "\n    ", "\n\n", "\n   Input: ", "\r", "\t", ")", "<noinput>",
]  # fmt: skip


@pytest.mark.parametrize("with_input", [False, True])
def test_every_list_that_matches_is_read_whole(with_input):
    rng, matching = random.Random(4), 0
    pattern = re.compile(task_list_pattern(2, with_input))
    for _ in range(15_000):
        texts = ["".join(rng.choices(PIECES, k=rng.randint(1, 6))) for _ in range(2)]
        given = "\n   Input: x" if with_input and rng.random() < 0.9 else ""
        text = f"1. {texts[0]}{given}\n2. {texts[1]}{given}"
        if pattern.fullmatch(text):
            matching += 1
            found = tasks_of(text, with_input)
            assert len(found) == 2 and all(instruction for instruction, _ in found), text
    assert matching > 100


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("1. Name a river.\n2. Sort these two:\n   3. b\n   1. a", True), ("1. Name a river.\n\n2. Sort.\n3.", True),
        ("1. Écris un poème.\n2. 写一首诗。", True), ("1. 1. Name a river.\n2. 2. Sort.", True),
        ("Sure:\n1. Name a river.\n2. Sort.", False), ("1. Name a river.", False), ("1. Name\n2. 17", False),
        ("1. Name a river.\n2. Sort.\n\nAny more?", False), ("1. Task: Name.\n2. Sort.", False),
    ],
)  # fmt: skip
def test_only_whole_lists_match(text, fits):
    assert bool(re.fullmatch(task_list_pattern(2, False), text)) is fits


def test_an_answer_is_one_of_the_options_and_its_validator_accepts_each():
    pattern, options = options_pattern(QUESTION), read_options(QUESTION)
    for letter, text in options.texts.items():
        assert re.fullmatch(pattern, f"{letter}. {text}")
        assert chosen(options, f"{letter}. {text}") == (letter, None)
    assert not re.fullmatch(pattern, "A. 2*2 = 5") and not re.fullmatch(pattern, "E. none")
    assert options_pattern("What is two and two?") is None


@pytest.mark.parametrize("constrain", [False, True])
def test_requests_for_tasks_have_the_pattern_and_answers_have_none(tmp_path, constrain):
    model = ChatModel()
    config = Config(
        recipe="chat", seed_tasks_path="seeds/general.jsonl", batch_dir=str(tmp_path / "run"), constrain=constrain,
        num_instructions_to_generate=8, stop_words=["END"],
    )  # fmt: skip
    si.generate(config, engine=model)
    lists = [item for item in model.asked if "as a numbered list" in item.prompt]
    assert lists and len(lists) < len(model.asked)
    assert {item.pattern for item in lists} == {task_list_pattern(5, False) if constrain else None}
    assert {item.stop for item in lists} == {("\n6.", "END") if constrain else ("END",)}
    assert {item.pattern for item in model.asked if item not in lists} == {None}
    described = manifest.read(tmp_path / "run")
    assert ("patterns_sha256" in described) is constrain
    # Neither the option nor the form of the patterns may change within a run.
    for key, text in (("options", "--constrain was"), ("patterns_sha256", "the form that --constrain enforces has")):
        before = {"options": {**described["options"], "constrain": not constrain}, "patterns_sha256": "other"}
        with pytest.raises(UserError, match=text):
            manifest.check_same_plan(tmp_path, {**described, key: before[key]}, described, declarations(GROUPS))


def test_answers_to_multiple_choice_questions_are_limited_to_their_options(tmp_path):
    def write(request):
        return f"{QUESTION}\n\n5. Output:\nnone of these\n###\n" if request.opening else "A. 1+1 = 2 (two)"

    recipe = build_recipe(
        "--categories", "multiple_choice:100", "--recipe", "chat", "--constrain", "--max_requests", 4, "--horizon", 1
    )
    engine = Author(write)
    loop, _ = run_recipe(recipe, tmp_path / "run", engine)
    patterns = {options_pattern(QUESTION), INSTRUCTION_OUTPUT.pattern()}
    assert {item.pattern for item in engine.asked} == patterns
    assert [record.output for record in loop.curator.pool.before(9)] == ["A. 1+1 = 2 (two)"]


def test_requests_of_few_shot_have_the_pattern_of_blocks(tmp_path):
    model = ChatModel(orphans=True)
    config = Config(
        recipe="few_shot", seed_tasks_path="seeds/general.jsonl", batch_dir=str(tmp_path / "run"), constrain=True,
        num_instructions_to_generate=8,
    )  # fmt: skip
    si.generate(config, engine=model)
    blocks = [item for item in model.asked if item.opening]
    assert len(blocks) < len(model.asked)
    assert {item.pattern for item in blocks} == {INSTRUCTION_OUTPUT.pattern()}
    assert {item.pattern for item in model.asked if item not in blocks} == {None}


def test_both_steps_of_a_category_have_the_pattern_of_their_blocks(tmp_path):
    def write(request):
        return (
            "It is done.\n###\n"
            if "Output:" in request.opening
            else "Ask for a pear.\n###\n4. Instruction:\nAsk.\n###\n"
        )

    write_category(tmp_path, "plain", steps=2)
    recipe = build_recipe(
        "--categories",
        "plain:100",
        "--categories_path",
        tmp_path,
        "--recipe",
        "few_shot",
        "--constrain",
        "--max_requests",
        4,
        "--horizon",
        1,
    )
    engine = Author(write)
    run_recipe(recipe, tmp_path / "run", engine)
    for item in engine.asked:
        last = "Output:" in item.opening
        assert item.pattern == (INSTRUCTION_OUTPUT if last else recipe.categories["plain"].first_format).pattern(last)
        assert re.fullmatch(item.pattern, write(item))
    assert len({item.pattern for item in engine.asked}) == 2


@pytest.mark.parametrize("constrain", [False, True])
def test_requests_for_topics_have_the_pattern_of_their_list(tmp_path, constrain):
    config = Config(batch_dir=str(tmp_path / "run"), constrain=constrain)
    recipe = TopicRecipe(config, INSTRUCTION_OUTPUT, 3, "")
    prompt, request = recipe.for_model(WordCounter()).session(WordCounter()).plan.ask(0)
    assert request.pattern == (topic_list_pattern(prompt.number, 3) if constrain else None)
    assert ("patterns_sha256" in recipe.described()) is constrain


def test_every_list_of_topics_that_matches_is_read_whole():
    rng, matching = random.Random(4), 0
    pattern = re.compile(topic_list_pattern(7, 3))
    pieces = [
        *'aBé写1:.,-*"“#()',
        " - ",
        " – ",
        ": ",
        "**",
        "bees",
        "Topic 2",
        " of ",
        "\n",
        "\t",
        "\u2003",
        "12. ",
        " ",
        " ",
    ]
    for _ in range(6_000):
        topics = [rng.choice("aÉn写x") + "".join(rng.choices(pieces, k=rng.randint(0, 5))) for _ in range(3)]
        text = f"{topics[0]}\n8. {topics[1]}\n9. {topics[2]}" + rng.choice(["", "\n10."])
        if pattern.fullmatch(text):
            matching += 1
            found = [topic for item, topic in listed(f"7. {text}") if item]
            assert len(found) == 3 and None not in found, text
    assert matching > 100
    assert not re.fullmatch(topic_list_pattern(7, 2), "bees\n9. salt") and not pattern.fullmatch("bees\n8. salt")


def test_magpie_is_refused():
    with pytest.raises(UserError, match="does not go with --recipe magpie"):
        check_constrain(Config(recipe="magpie", constrain=True))
    check_constrain(Config(recipe="magpie"))


class Thinker(WordCounter):
    """A model whose chat template opens a thought, or has thinking switched on."""

    def __init__(self, opened="", arguments=()):
        super().__init__()
        object.__setattr__(self, "template", type("Template", (), {"opened_thought": opened}))
        object.__setattr__(self, "template_arguments", dict(arguments))


def test_thinking_models_are_refused():
    config = Config(recipe="chat", constrain=True)
    check_constrain(config, Thinker(arguments={"enable_thinking": False}))
    for reader, said in (
        (Thinker("<think>\n"), "<think>"),
        (Thinker("", {"enable_thinking": True}), "enable_thinking=True"),
    ):
        with pytest.raises(UserError, match=rf"thinks before it answers \({said}\)"):
            check_constrain(config, reader)
