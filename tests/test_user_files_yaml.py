"""YAML files as plain data with text keys."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.user_files import UniqueKeyLoader, load_yaml

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


@pytest.mark.parametrize("join", ["b{n}: &b{n} [{parts}]", "b{n}: &b{n} {{<<: [{parts}]}}"])
def test_aliases_that_stand_for_billions_of_values_are_refused(join: str) -> None:
    lines = ["b0: &b0 {a: 1}"]
    lines += [join.format(n=n, parts=", ".join([f"*b{n - 1}"] * 10)) for n in range(1, 12)]
    with pytest.raises(ValueError, match="its aliases expand to more than 100,000 values"):
        load_yaml("\n".join(lines))
    assert load_yaml("\n".join(lines[:3]))["b0"] == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "an alias contains itself in its text, line 1"),
        ("a: &a {b: [*a]}", "an alias contains itself in its text, line 1"),
        ("a: !!timestamp x", "a value does not match its tag"),
        ("a: !!int ''", "a value does not match its tag"),
        ("a" * 2_000_000, "it has 2,000,000 characters, more than 1,048,576"),
    ],
)
def test_yaml_that_cannot_be_read_raises_value_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_yaml(text)


@pytest.mark.parametrize("text", ["1:30", "1:30.5", "0x10", "0b1", "010", "0o10"])
def test_only_decimal_digits_are_numbers(text: str) -> None:
    assert load_yaml(f"a: {text}") == {"a": text}


@pytest.mark.parametrize("text", ["0", "-7", "+7", "1_000", "1.5", ".5", "1.0e+3", "-1.5e-05", ".inf", "-.inf"])
def test_decimal_numbers_are_read_as_pyyaml_reads_them(text: str) -> None:
    assert load_yaml(f"a: {text}") == yaml.safe_load(f"a: {text}")
