"""YAML files as plain data with text keys."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.user_files import UniqueKeyLoader

NAMES = st.sampled_from(
    ["yes", "on", "no", "y", "1", "010", "1.50", "~", "null", "2024-05-31", "=", "a", "a b", "1e3"]
)


@given(st.dictionaries(NAMES, st.integers(), min_size=1))
@settings(deadline=None, derandomize=True)
def test_a_key_is_its_literal_text_in_every_style(content: dict[str, int]) -> None:
    for left, right in (("", ""), ("'", "'"), ('"', '"'), ("? ", "\n")):
        text = "\n".join(f"{left}{key}{right}: {value}" for key, value in content.items())
        assert yaml.load(text, UniqueKeyLoader) == content
    assert yaml.load(yaml.safe_dump(content), UniqueKeyLoader) == content
    inner = ", ".join(f"{key}: {value}" for key, value in content.items())
    assert yaml.load(f"[{{{inner}}}]", UniqueKeyLoader) == [content]


def test_values_are_parsed_as_yaml() -> None:
    assert yaml.load("yes: yes\n1: 1\n~: ~", UniqueKeyLoader) == {"yes": True, "1": 1, "~": None}


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a: &a {yes: 1, n: 2}\nb: {<<: *a, n: 3}", {"yes": 1, "n": 3}),
        ("b: {<<: {yes: 1}, no: 2}", {"yes": 1, "no": 2}),
        # A merged mapping is constructed before the parser reaches it on its own.
        ("x: {y: {a: &a {<<: {yes: 1}, yes: 2}}}\nb: {<<: *a}", {"yes": 2}),
    ],
)
def test_merged_keys_are_strings_and_may_be_overridden(text: str, content: dict[str, int]) -> None:
    assert yaml.load(text, UniqueKeyLoader)["b"] == content


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yes: 1\n'yes': 2", "yes is repeated"),
        ("a: {1: 2, 1: 3}", "1 is repeated"),
        ("[1, 2]: 3", "a key is a list or mapping"),
        ("? {a: 1}\n: 3", "a key is a list or mapping"),
        ("'': 3", "a key is empty"),
    ],
)
def test_an_invalid_key_is_reported_with_its_position(text: str, said: str) -> None:
    with pytest.raises(yaml.YAMLError, match=rf"{said}[\s\S]*line [12], column"):
        yaml.load(text, UniqueKeyLoader)
