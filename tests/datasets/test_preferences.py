"""Preferences and verdicts: the bad answer is never an output."""

import pytest

from self_instruct.datasets.preferences import is_preference, is_verdict, preference, verdict

Q, GOOD, BAD = "Name a river.", "The Ebro.", "No."
ASKED = {"role": "user", "content": Q}
TURNS = [{"role": "assistant", "content": text} for text in (GOOD, BAD)]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": Q, "chosen": GOOD, "rejected": BAD}, {"instruction": Q, "input": "", "chosen": GOOD, "rejected": BAD},
        {"prompt": [ASKED], "chosen": TURNS[:1], "rejected": TURNS[1:]},
        {"chosen": [ASKED, TURNS[0]], "rejected": [ASKED, TURNS[1]]},
        {"prompt": Q, "chosen": [ASKED, TURNS[0]], "rejected": [ASKED, TURNS[1]], "messages": [ASKED, TURNS[0]]},
        {"conversations": [{"from": "human", "value": Q}], "chosen": {"from": "gpt", "value": GOOD},
         "rejected": {"from": "gpt", "value": BAD}},
        {"chosen": f"\n\nHuman: {Q}\n\nAssistant: {GOOD}", "rejected": f"\n\nHuman: {Q}\n\nAssistant: {BAD}"},
        {"instruction": Q, "output": [GOOD, BAD]},
        {"prompt": Q, "response_0": BAD, "response_1": GOOD, "better_response_id": 1},
        {"prompt": Q, "responses": [BAD, GOOD, "Well."], "scores": [0.1, 0.9, 0.5]},
        {"instruction": Q, "completions": [{"response": BAD, "overall_score": 2.0}, {"response": GOOD, "overall_score": 8}]},
        {"prompt": Q, "answers": [{"answer": BAD, "rank": 7.0}, {"answer": GOOD, "rank": 1.0}]},
    ],
)  # fmt: skip
def test_chosen_answer_is_the_output_and_the_other_stays_rejected(row):
    assert is_preference(row)
    one = preference(row, "place")
    assert (one.instruction, one.output, [turn["content"] for turn in one.rejected]) == (Q, GOOD, [BAD])
    assert one.asked == [ASKED] and "messages" not in one.fields


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("row", [{"prompt": Q, "completion": BAD}, {"messages": [ASKED, TURNS[1]]}])
def test_answer_that_is_labelled_bad_is_not_an_output(row, good):
    row = {**row, "label": good}
    assert is_verdict(row)
    one = verdict(row, "place")
    assert one.instruction == Q and one.label is good and one.output == (BAD if good else "")
    assert [turn["content"] for turn in one.rejected] == ([] if good else [BAD])


@pytest.mark.parametrize("scores", [[1, 1], [1], [1, None], [True, False], [1, float("nan")]])
def test_answers_whose_scores_do_not_rank_them_are_not_a_preference(scores):
    assert not is_preference({"prompt": Q, "responses": [GOOD, BAD], "scores": scores})


def test_lists_without_a_question_are_not_a_preference():
    assert not is_preference({"instruction": ["a", "b"], "output": ["c", "d"]})
