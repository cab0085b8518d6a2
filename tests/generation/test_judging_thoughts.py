"""Runs of models that think: the same records as without thoughts, and drop reasons for completions without an answer."""

import json
import random
import shutil
from dataclasses import replace

import pytest

from self_instruct.engines.local.chat_template import ChatTemplate
from self_instruct.generation.automatic_options import with_earlier_choices, with_template
from self_instruct.generation.config import assemble
from self_instruct.generation.public import refilter
from self_instruct.generation.topics import topics_of
from tests.engines.test_local_chat_template import tokenizer
from tests.engines.test_local_thoughts import ALWAYS
from tests.generation.test_answers import RECIPES, run
from tests.generation.test_judging import blocks, curator_of, entry, outcomes
from tests.support.chat_model import ChatModel
from tests.support.runs import rows

DRAFT = "Perhaps this:\n1. Say a draft.\n5. Instruction:\nSay a draft.\n\n5. Output:\nno\n###\n"


class Thinker(ChatModel):
    """Thinks before each text, inside tags or in a separate field; with `fails`, some completions never reach an answer."""

    def __init__(self, fails=False, **options):
        super().__init__(orphans=True, **options)
        self._fails = fails

    def _complete(self, request):
        plain = super()._complete(request)
        kind = random.Random(f"thought:{request.seed}").randrange(6 if self._fails else 3)
        texts = [
            (f"<think>\n{DRAFT}</think>\n\n{plain.text}", None),
            (plain.text, DRAFT),
            (f"{DRAFT}[/THINK]{plain.text}", None),
            (f"<think>{DRAFT}", None),
            ("", DRAFT),
            (f"<think>{DRAFT}</think>\n", None),
        ]
        text, beside = texts[kind]
        return replace(plain, text=text, reasoning=beside, completion_tokens=plain.completion_tokens + 30)


def columns(folder):
    found = rows(folder / "machine_generated_instructions.jsonl")
    return [(row["instruction"], row["output"], row["provenance"]["id"]) for row in found]


@pytest.mark.parametrize("recipe", RECIPES)
def test_records_are_those_of_the_model_without_thoughts(tmp_path, recipe):
    run(tmp_path / "plain", ChatModel(orphans=True), recipe)
    run(tmp_path / "thinks", Thinker(), recipe, keep_reasoning=True)
    assert columns(tmp_path / "plain") == columns(tmp_path / "thinks") != []
    kept = rows(tmp_path / "thinks" / "machine_generated_instructions.jsonl")
    assert {row["reasoning_content"] for row in kept} == {DRAFT.strip()}
    assert all(0 < row["provenance"].get("response", row["provenance"])["tokens"]["reasoning"] for row in kept)
    assert "reasoning_content" not in rows(tmp_path / "plain" / "machine_generated_instructions.jsonl")[0]
    report = json.loads((tmp_path / "thinks" / "report.json").read_text())
    assert 0 < report["tokens"]["reasoning"] < report["tokens"]["completion"]
    assert "reasoning" not in (tmp_path / "plain" / "completions.jsonl").read_text()


@pytest.mark.parametrize("recipe", RECIPES)
def test_completions_without_an_answer_are_dropped_also_when_a_run_continues_or_is_refiltered(tmp_path, recipe):
    run(tmp_path / "run", Thinker(fails=True), recipe, keep_reasoning=True)
    rejected = rows(tmp_path / "run" / "rejected.jsonl")
    reasons = {row["reason"] for row in rejected}
    assert {"only_reasoning", "unclosed_thought"} <= reasons
    assert not any("draft" in f"{row[0]}{row[1]}" for row in columns(tmp_path / "run"))
    again = refilter(tmp_path / "run", tmp_path / "again", keep_reasoning=False).folder
    assert columns(again) == columns(tmp_path / "run")
    assert "reasoning_content" not in (again / "machine_generated_instructions.jsonl").read_text()
    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    journal = tmp_path / "cut" / "completions.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:25]))
    run(tmp_path / "cut", Thinker(fails=True, order=3), recipe, keep_reasoning=True)
    assert columns(tmp_path / "cut") == columns(tmp_path / "run")


def test_unclosed_thought_drops_the_block_around_it_and_keeps_the_blocks_before():
    first = blocks("Sort all numbers of a list.")
    curator = curator_of()
    assert outcomes(curator.decide(entry(first + "<think>\nAnother?"))) == [None, ("parse", "unclosed_thought")]
    broken = first + "3. Instruction:\nBoil one egg for lunch.\n\n3. Output:\n<think>\nHow long"
    verdicts = curator_of().decide(entry(broken, 1, "length"))
    assert outcomes(verdicts) == [None, ("parse", "unclosed_thought")] and "Boil" in verdicts[1].text
    alone = curator.decide(entry("<think>\nAnother?", 2))
    assert outcomes(alone) == [("parse", "unclosed_thought")] and alone[0].text == "Another?"
    hidden = curator.decide(replace(entry("", 3, "length"), reasoning_tokens=9))
    assert outcomes(hidden) == [("parse", "only_reasoning")]
    assert outcomes(curator.decide(entry("", 4))) == [("parse", "empty_block")]


def test_topics_are_read_after_the_thought():
    found = topics_of(entry("night trains?\n2. no\n</think>harbour towns\n3. old maps"))
    assert [item.record.instruction for item in found if item.drop is None][-2:] == ["harbour towns", "old maps"]


def test_tokens_of_uncounted_thoughts_are_estimated_by_their_share_of_the_text():
    thinking = replace(entry("<think>" + "a" * 30 + "</think>" + "b" * 10), completion_tokens=80)
    assert thinking.thought_tokens == 60 and replace(thinking, reasoning_tokens=5).thought_tokens == 5
    assert entry("b").thought_tokens == 0


@pytest.mark.parametrize(
    ("given", "earlier", "chosen"),
    [
        ("auto", {}, None), ("auto", {"chat_template_kwargs": None}, None), ("auto", None, "auto"), ("{}", {}, "{}"),
        ("auto", {"chat_template_kwargs": '{"enable_thinking": false}'}, '{"enable_thinking": false}'),
    ],
)  # fmt: skip
def test_automatic_template_variables_are_taken_from_the_earlier_launch(given, earlier, chosen):
    before = None if earlier is None else {"options": earlier}
    assert (
        with_earlier_choices(assemble({"chat_template_kwargs": given}), before).prompt.chat_template_kwargs == chosen
    )


def test_turning_thinking_off_is_stored_in_the_options_and_logged(caplog):
    reader = ChatModel()
    reader.template_arguments = {"enable_thinking": False}
    caplog.set_level("INFO")
    assert with_template(assemble({}), reader).prompt.chat_template_kwargs == '{"enable_thinking": false}'
    assert "Thinking is turned off: the chat template gets enable_thinking=false" in caplog.text
    assert with_template(assemble({}), ChatModel()).prompt.chat_template_kwargs is None
    given = assemble({"chat_template_kwargs": '{"enable_thinking": true}'})
    assert with_template(given, ChatModel()) == given
    reader = ChatModel()
    reader.template = ChatTemplate(tokenizer(ALWAYS))
    with_template(assemble({}), reader)
    assert "The chat template opens a thought (<think>) before every answer" in caplog.text


def test_a_run_with_thoughts_only_says_which_options_to_change(tmp_path):
    class Lost(ChatModel):
        def _complete(self, request):
            return replace(super()._complete(request), text="", reasoning="a plan", reasoning_tokens=2)

    run(tmp_path / "run", Lost(), patience=10)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert "the model spends its tokens on thoughts" in report["stopped"] and "--max_new_tokens" in report["stopped"]
    assert report["drops"]["parse"] == {"only_reasoning": 10}
