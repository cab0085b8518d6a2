"""The words of a command line: which belong to options, and which name places, as RUN_DIR.

argparse gives an option that may do without a value the word that follows it, whatever that is. Here a flag takes a word only
if it is true or false. Knows flags and words, not what an option's value must be.
"""

import re
from collections.abc import Collection, Sequence

TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NUMBER = re.compile(r"-\d*\.?\d+")


def halves(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before and after `--`, behind which no word is an option."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    return list(argv[:end]), list(argv[end + 1 :])


def joined(words: Sequence[str], switches: Collection[str], places: bool) -> list[str]:
    """The words with each of `switches`, flags of what is true or false, in one word with its value. Where a command has no
    `places`, any word that follows is taken for the value, so that it is told with the flag when it is none.
    """
    found: list[str] = []
    for word in words:
        if found and found[-1] in switches and (word.lower() in TRUTHS or not (places or word.startswith("-"))):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return [f"{word}=true" if word in switches else word for word in found]


def usage(places: Sequence[str]) -> list[str]:
    """Places as a usage line shows them; one whose name ends in `...` takes one or more."""
    return [f"{name[:-3]} [{name}]" if name.endswith("...") else name for name in places]


def strays(words: Sequence[str], after: Sequence[str], places: Sequence[str]) -> list[str]:
    """What is no option, of `words` that argparse did not know, and no place: flags, and more words than places. `after` stood
    behind `--`.
    """
    flags = [word for word in words if word[:1] == "-" != word and " " not in word and not _NUMBER.fullmatch(word)]
    many = any(name.endswith("...") for name in places)
    return flags or ([] if many else [*words, *after][len(places) :])


def missing(
    places: Sequence[str], given: int, words: Sequence[str], switches: Collection[str], lists: Collection[str]
) -> str:
    """What to say when only so many of the places are given: which are missing, and what was read as a value of an option that
    takes as many as follow it, one of `lists`, or of a switch.
    """
    names = [name.removesuffix("...") for name in places]
    missed = names[given:]
    said = f"{' and '.join(missed)} {'is' if len(missed) == 1 else 'are'} missing"
    option, taken = _last_taken(words, switches, lists)
    if not taken:
        return f"{said}; --help shows what is given in which order"
    taken = taken[-len(missed) :]
    read = "was read as a value" if len(taken) == 1 else "were read as values"
    return f"{said}: {', '.join(map(repr, taken))} {read} of {option}; give {' '.join(names)} first"


def _last_taken(words: Sequence[str], switches: Collection[str], lists: Collection[str]) -> tuple[str, list[str]]:
    """The last option that took words which could have been places, and those."""
    last: tuple[str, list[str]] = ("", [])
    option, taken = last
    for word in words:
        if word in switches or word in lists:
            option, taken = word, []
        elif word.startswith("-"):
            option = ""
        elif option in lists or (option in switches and not taken and word.lower() in TRUTHS):
            taken.append(word)
            last = option, taken
        else:
            option = ""
    return last
