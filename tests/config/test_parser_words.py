"""Assigning the words of a command line to options and positional arguments, compared with argparse."""

import argparse

from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.config.parser import TRUTHS, halves, joined, missing, strays

SWITCHES, LISTS = {"--on", "--off"}, {"--names"}
WORD = st.sampled_from(
    ["--on", "--off", "--on=no", "--names", "--names=a", "--size", "a", "b", "true", "No", "1", "maybe", "-", ""]
)


def parsed(words: list[str]) -> tuple[dict[str, object], list[str]]:
    parser = argparse.ArgumentParser(allow_abbrev=False, argument_default=argparse.SUPPRESS, exit_on_error=False)
    for flag in SWITCHES:
        parser.add_argument(flag, nargs="?", const="true")
    parser.add_argument("--names", nargs="*")
    parser.add_argument("--size")
    known, left = parser.parse_known_args(words)
    return vars(known), left


@given(st.lists(WORD, max_size=6))
@settings(deadline=None, derandomize=True)
def test_a_switch_takes_only_a_following_word_for_true_or_false(words: list[str]) -> None:
    taken = [at > 0 and words[at - 1] in SWITCHES and word.lower() in TRUTHS for at, word in enumerate(words)]
    try:
        known, left = parsed(joined(words, SWITCHES, has_positional=True))
    except argparse.ArgumentError:  # --size without a value
        return
    assert {value for name, value in known.items() if name in ("on", "off")} <= {"true", "No", "no", "1"}
    if not {"--names", "--size"} & set(words):
        flags = [word.startswith("--") for word in words]
        assert left == [word for word, *its in zip(words, taken, flags, strict=True) if not any(its)]


@given(st.lists(WORD, max_size=6))
@settings(deadline=None, derandomize=True)
def test_without_positional_arguments_words_are_assigned_as_in_argparse(words: list[str]) -> None:
    def outcome(given: list[str]) -> object:
        try:
            return parsed(given)
        except argparse.ArgumentError as error:
            return str(error)

    def plain(word: str) -> bool:
        return not word.startswith("-")

    if all(map(plain, (word for word in words if not word.startswith("--")))):
        assert outcome(joined(words, SWITCHES, has_positional=False)) == outcome(words)


@given(st.lists(st.sampled_from(["--", "a", "-x"]), max_size=5))
def test_two_dashes_end_the_options(words: list[str]) -> None:
    before, after = halves(words)
    assert "--" not in before and [*before, "--", *after] == (words if "--" in words else [*words, "--"])


def test_unknown_flags_are_reported_before_surplus_words() -> None:
    assert strays(["a", "--x", "b"], [], ["IN"]) == ["--x"]
    assert strays(["a", "b"], ["c"], ["IN"]) == ["b", "c"]
    assert strays(["a", "-5", "-.5", "- b", "-"], ["--x"], ["IN..."]) == []
    assert strays(["-5x"], [], ["IN"]) == ["-5x"]
    assert strays(["--outptu=my file", "a"], [], ["IN"]) == ["--outptu=my file"]


def test_a_missing_positional_is_reported_with_the_option_that_took_its_word() -> None:
    message = missing(["RUN"], 0, ["--names", "a", "--on", "--size", "3"], SWITCHES, LISTS)
    assert message == "RUN is missing: 'a' was read as a value of --names; give RUN first"
    assert "'1' was read as a value of --on" in missing(["RUN"], 0, ["--names", "a", "--on", "1"], SWITCHES, LISTS)
    assert missing(["RUN"], 0, ["--on=1", "--names=a"], SWITCHES, LISTS) == (
        "RUN is missing; --help shows the order of the arguments"
    )
