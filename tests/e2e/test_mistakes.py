"""The mistakes of docs/mistakes.md, tried with the real commands in this process."""

import pytest

from tests.support.list_mistakes import GROUPS, PLACE, outcomes, page
from tests.support.mistakes.running import message

MISTAKES = [(title, at) for title, group in GROUPS.items() for at in range(len(group))]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return outcomes(tmp_path_factory.mktemp("mistakes"))


@pytest.mark.parametrize(("title", "at"), MISTAKES)
def test_a_mistake_is_one_message_and_changes_no_file(found, title, at):
    mistake, outcome = found[title][at]
    assert outcome.code == 2 and outcome.stdout == "", outcome
    assert (
        outcome.stderr.startswith("error: ")
        and outcome.stderr.count("error: ") == 1
        and "Traceback" not in outcome.stderr
    )
    assert mistake.message in message(outcome)
    assert outcome.changed == []


def test_the_page_shows_the_current_messages(found):
    assert page(found) == PLACE.read_text(encoding="utf-8"), "python tests/support/list_mistakes.py updates it"
