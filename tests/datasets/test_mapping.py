"""`--map`: rows of unknown formats."""

import pytest

from self_instruct.datasets.mapping import guessed, mapped, parse_map
from self_instruct.errors import UserError
from tests.datasets.test_convert import converted
from tests.support.dataset_files import lines
from tests.support.runs import rows


def test_fields_and_paths_are_read_and_the_rest_is_kept(tmp_path):
    row = {"ask": "Name a river.", "got": {"text": "The Ebro.", "score": 3}, "tags": ["a"]}
    (tmp_path / "a.jsonl").write_text(lines(row))
    code, _, _ = converted(
        tmp_path / "a.jsonl", "jsonl", tmp_path / "o.jsonl", "--map", "instruction=ask,output=got.text"
    )
    (found,) = rows(tmp_path / "o.jsonl")
    assert code == 0 and (found["instruction"], found["output"]) == ("Name a river.", "The Ebro.")
    assert found["provenance"]["fields"] == '{"got": {"score": 3}, "tags": ["a"]}'


def test_other_values_become_json_and_turns_and_preferences_are_read():
    paths = {"instruction": "a", "output": "b"}
    assert mapped({"a": "x", "b": {"c": None}}, "place", paths).output == '{"c": null}'
    assert mapped({"x": {"talk": ["Hi", "Hello"]}}, "place", {"messages": "x.talk"}).output == "Hello"
    one = mapped({"q": "x", "w": "good", "l": "bad"}, "place", {"prompt": "q", "chosen": "w", "rejected": "l"})
    assert (one.instruction, one.output, one.rejected[0]["content"]) == ("x", "good", "bad")


@pytest.mark.parametrize("text", ["a=b", "instruction", "output=b", "instruction=a,instruction=b"])
def test_map_that_cannot_be_used_is_refused(text):
    with pytest.raises(UserError, match="--map"):
        parse_map([text])


def test_unknown_fields_are_refused_with_a_guess(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines({"post": "Which river?", "said": "The Ebro.", "n": 1}))
    with pytest.raises(UserError, match="--map instruction=post,output=said"):
        converted(tmp_path / "a.jsonl", "jsonl", tmp_path / "o.jsonl")
    assert guessed({"n": 1}) == "instruction=QUESTION,output=ANSWER"


def test_field_with_the_name_of_a_target_is_kept():
    row = {
        "ask": "x",
        "instruction": "own",
        "system": "s",
        "input": "i",
        "output": "o",
        "completion": "c",
        "prompt": "p",
    }
    found = mapped(row, "place", {"instruction": "ask", "input": "prompt"})
    assert (found.instruction, found.input, found.output, found.system) == ("x", "p", "", "")
    assert found.fields == {"instruction": "own", "system": "s", "input": "i", "output": "o", "completion": "c"}
    found = mapped({"a": "x", "b": [1], "tools": [2]}, "place", {"instruction": "a", "tools": "b"})
    assert found.fields == {"tools": [1], "row.tools": [2]}
