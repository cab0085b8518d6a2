"""The built-in categories, each with good and bad completions."""

import pytest

from self_instruct.engines.scripted import ScriptedEngine
from self_instruct.generation.categories.library import category_files
from self_instruct.generation.categories.recipe import CategoryRecipe
from tests.support.category_runs import build_recipe, run_recipe
from tests.support.runs import rows

NAMES = (
    "general", "coding", "trivia", "math", "multiple_choice", "fill_in_the_blank", "contextual", "counterfactual_contextual",
    "theory_of_mind", "wordgame", "riddle", "writing", "editor", "cot",
)  # fmt: skip
FORM = "BEGININPUT\nBEGINCONTEXT\ndate: 2020-02-11\nENDCONTEXT\n{text}\nENDINPUT\nBEGININSTRUCTION\n{asked}\nENDINSTRUCTION"
BAKERY = (
    "The bakery Hollerin was sold to two sisters from Vask, who kept the oven of 1911 and replaced the shop window."
)
LETTER = "It rained on the day when the letter with the black seal came, and nobody read it."
QUARRY = "At noon the whistle of the quarry blew three times, so everybody ran uphill. Only Wim stayed, counting sticks aloud."

ONE_STEP: dict[str, list[tuple[str, str, str, str | None]]] = {
    "trivia": [
        ("Which gas do plants take in to make sugar?", "", "Carbon dioxide", None),
        ('Name a metal used in wires whose name starts with "C".', "", "Silver", "starts_with"),
        ("Which river flows through Budapest?", "", "", "empty_output"),
    ],
    "math": [
        ("A crate holds 12 jars. How many jars do 7 crates hold?", "", "7 * 12 = 84\nThey hold 84 jars.", None),
        ("Nine friends share 63 plums equally. How many does each get?", "", "63 / 9 = 8, so each gets 8.", "wrong_sum"),
    ],
    "multiple_choice": [
        ("Which of these is a mammal?\nA. Bat\nB. Trout\nC. Wasp\nD. Gecko", "", "A. Bat", None),
        ("Which of these is a tree?\nA. Oak\nB. Oak\nC. Fern\nD. Moss", "", "A. Oak", "same_options"),
        ("What do sheep give us?\nA. Wool\nB. Silk\nC. Cork\nD. Wax", "", "B. Silk", "wrong_letter"),
        ("Which colour does copper sulphate have?", "", "Blue", "no_options"),
    ],
    "fill_in_the_blank": [
        ("Complete the sentence: A group of wolves is called a ____.", "", "pack", None),
        ("Fill both gaps: ____ and ____ are the parents of Hamlet.", "", "Gertrude", "many_blanks"),
        ("Name what a baker heats before the bread goes in.", "", "the oven", "no_blank"),
    ],
    "counterfactual_contextual": [
        ("Who discovered penicillin, according to the text?",
         "In 1928 the gardener Odo Linz discovered penicillin on a forgotten slice of melon in his shed.", "Odo Linz", None),
        ("Where do penguins live, as the text tells it?",
         "Penguins live in the dunes around Lisbon, where they dig deep burrows and feed on dates and figs.",
         "Antarctica and southern oceans", "unsupported"),
    ],
    "theory_of_mind": [
        ("Leo puts the keys in the drawer. While he sleeps, Ana hangs them on the hook. Where does Leo look first?",
         "", "In the drawer, since he did not see that Ana moved them.", None),
        ("What do people believe about the full moon?", "", "That it makes them restless.", "no_story"),
    ],
    "wordgame": [
        ('Name three fruits whose names start with "p".', "", "pear, plum, peach", None),
        ('Rearrange the letters of "stale" into another word.', "", "steel", "anagram"),
        ("Play a nice game with words about the sea.", "", "waves, shore, gull", "no_constraint"),
    ],
    "riddle": [
        ("I run all day and never leave my bed. What am I?", "", "A river. It runs in its bed.", None),
        ("I am a candle that gets shorter with age. What am I?", "", "A candle", "answer_in_question"),
    ],
    "editor": [
        ("Correct the spelling of this note.", "We wil meet at the statoin soon.", "We will meet at the station soon.", None),
        ("Shorten the announcement of the fair.", "The fair opens at nine on Sunday.", "The fair opens at nine on Sunday.",
         "output_repeats_task"),
        ("Make the letter friendlier, please.", "<noinput>", "Dear friend, how are you?", "nothing_to_edit"),
    ],
    "cot": [
        ("A rope of 30 m is cut into 5 equal parts, and 2 are used. How much rope is left in pieces?", "",
         "Each part is 30 / 5 = 6 m long. After two of five are used, three pieces are left, so 3 * 6 = 18 m.\nAnswer: 18 m",
         None),
        ("Which of two clocks is right more often: one that stands still, or one that is a minute slow?", "",
         "The one that stands still.", "no_final_answer"),
    ],
}  # fmt: skip

TWO_STEPS: dict[str, list[tuple[str, str | None, str | None]]] = {
    "general": [
        ("Explain why the sky turns red in the evening.", "A low sun shines through more air, which scatters blue.", None),
        ("Sky red?", None, "too_short"),
        ("Give me tips to fall asleep sooner.", "", "empty_output"),
    ],
    "coding": [
        ("Write `twice(x)` in Python. PLAINFORMAT", "def twice(x):\n    return 2 * x", None),
        ("Reverse a list in place in Python. PLAINFORMAT", "Sure, here is how:\n\nvalues.reverse()", "prose_around_code"),
    ],
    "contextual": [
        (FORM.format(text=BAKERY, asked="Who bought the bakery, and what did they replace?"),
         "Two sisters from Vask bought the bakery Hollerin and replaced the shop window.", None),
        (FORM.format(text=LETTER, asked="What became of the oven?").replace("ENDINPUT\n", ""), None, "grammar"),
        (FORM.format(text=QUARRY, asked="Why did Wim stay?"), "A banker called Grimaldi paid miners late.", "unsupported"),
    ],
    "writing": [
        ("Write two sentences in praise of rubber boots for a catalogue, about thirty words in all.",
         "These boots have stood in three floods and a wedding, and were asked back to both. They are green, patient and "
         "entirely waterproof, which is more than one may say of their wearers.", None),
        ("Write a poem of exactly 40 words about a lost glove.", "One glove, alone.", "wrong_word_count"),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def everything() -> CategoryRecipe:
    return build_recipe("--categories", ",".join(NAMES), "--batch_dir", "unused")


def test_every_built_in_category_has_cases_here(everything):
    assert set(category_files()) == set(NAMES) == {*ONE_STEP, *TWO_STEPS}
    assert {name for name, item in everything.categories.items() if item.steps == 2} == set(TWO_STEPS)


@pytest.mark.parametrize("name", NAMES)
def test_every_demonstration_passes_the_rules_of_its_category_and_is_parsed_back(everything, name):
    category, rules = everything.categories[name], everything.curator().rules[name]
    check = rules.check
    assert len(category.demonstrations) >= 4 and category.description
    for number, record in enumerate(category.demonstrations, start=1):
        assert check(record, {}) == record
        block = category.format.parse(category.format.render(record, number).split("\n", 1)[1], number)[0]
        assert (block.fields["instruction"], block.fields["output"]) == (record.instruction, record.output)
        if category.steps == 2:
            task = category.first_format.parse(category.first_format.render(record, 1).split("\n", 1)[1], 1)
            assert [item.fields for item in task] == [{"instruction": record.instruction}]
            assert rules.check_task(record, {}) == record


def test_demonstrations_are_dissimilar(everything):
    texts = [record.task for item in everything.categories.values() for record in item.demonstrations]
    assert len(texts) == len(set(texts)) >= 14 * 4


@pytest.mark.parametrize("name", NAMES)
def test_prompts_name_the_topic_and_the_variables(everything, name):
    prompts = [
        prompt for shown, prompt in everything.first_prompts(ScriptedEngine({})) if shown.startswith(f"{name}, ")
    ]
    category = everything.categories[name]
    assert len(prompts) == category.steps
    assert "{" not in prompts[0].text.rpartition("###")[2]
    assert not category.uses_topics or everything.topics[0] in prompts[0].text.rpartition("###")[2]


def completion(name: str, blocks: list[tuple[str, str, str]], first: int, labels: tuple[str, ...]) -> str:
    texts = []
    for number, block in enumerate(blocks, start=first):
        texts.append("\n\n".join(f"{number}. {label}:\n{text}" for label, text in zip(labels, block, strict=True)))
    return "\n###\n".join(texts).split("\n", 1)[1]


@pytest.mark.parametrize("name", ONE_STEP)
def test_good_completions_are_kept_and_bad_ones_dropped_for_the_right_reason(everything, name, tmp_path):
    cases, category = ONE_STEP[name], everything.categories[name]
    labels = tuple(word for _, word in category.format.triggers)
    blocks = [tuple(part for part, label in zip(case[:3], ("Instruction", "Input", "Output"), strict=True) if label in labels)
              for case in cases]  # fmt: skip
    text = completion(name, blocks, category.demonstrations_per_prompt + 1, labels)
    recipe = build_recipe("--categories", name, "--max_requests", 1, "--samples_per_request", 9, "--horizon", 1)
    run_recipe(recipe, tmp_path / "run", ScriptedEngine({0: (text, False)}))
    kept = rows(tmp_path / "run/machine_generated_instructions.jsonl")
    rejected = rows(tmp_path / "run/rejected.jsonl")
    assert [row["instruction"] for row in kept] == [case[0] for case in cases if case[3] is None]
    assert [row["reason"] for row in rejected] == [case[3] for case in cases if case[3] is not None]
    assert all(row["provenance"]["category"] == name and row["provenance"]["topic"] for row in kept)


@pytest.mark.parametrize("name", TWO_STEPS)
def test_two_step_tasks_are_kept_or_dropped_by_their_answers(everything, name, tmp_path):
    cases, category = TWO_STEPS[name], everything.categories[name]
    tasks = completion(name, [(case[0],) for case in cases], category.demonstrations_per_prompt + 1, ("Instruction",))
    answers = [case[1] for case in cases if case[1] is not None]
    script = {0: (tasks, False), **{at: (text + "\n###\n", False) for at, text in enumerate(answers, start=1)}}
    more = ("--max_requests", len(script), "--samples_per_request", 9, "--horizon", 1)
    run_recipe(build_recipe("--categories", name, *more), tmp_path / "run", ScriptedEngine(script))
    kept = rows(tmp_path / "run/machine_generated_instructions.jsonl")
    rejected = rows(tmp_path / "run/rejected.jsonl")
    good = [case for case in cases if case[2] is None]
    assert [(row["instruction"], row["output"]) for row in kept] == [case[:2] for case in good]
    assert [row["reason"] for row in rejected] == [case[2] for case in sorted(
        (case for case in cases if case[2]), key=lambda case: case[1] is not None)]  # fmt: skip
    assert [row["provenance"]["response"]["request"] for row in kept] == [1]
