"""Parse flags and YAML into checked option values. Precedence: flag, YAML file, preset, default.

Every value passes the same check, wherever it comes from. `HfArgumentParser` is not used: importing it takes over a
second, it lets YAML values pass unchecked, and `--help` should answer at once.
"""

import argparse
import os
import re
import reprlib
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field
from numbers import Number
from pathlib import Path
from typing import Any

from self_instruct.config.hub_names import is_hub_id
from self_instruct.config.option import declarations
from self_instruct.config.presets import PRESETS
from self_instruct.config.program import program
from self_instruct.config.suggestions import nearest, nearest_option
from self_instruct.errors import UserError
from self_instruct.user_files import MOST_EXACT, load_yaml, regular_bytes

DEFAULT = " [default: {}]"
_BEFORE_DEFAULT = " [default"
_LARGEST = {int: MOST_EXACT, float: 1e9}
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 300
_REPR.maxlong, _REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple = 80, 2, 24, 24
_MANY = 24  # a command with more options shows only the common ones in --help


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> typing.NoReturn:
        raise UserError(message)


def parse_values(
    argv: Sequence[str],
    description: str,
    groups: tuple[type, ...],
    names: Sequence[str] | None = None,
    positional: Sequence[str] = (),
    help_texts: Mapping[str, str] = types.MappingProxyType({}),
    by: Mapping[str, Sequence[str]] = types.MappingProxyType({}),
) -> tuple[dict[str, Any], list[str]]:
    """Return the given values by option name, including those set by a preset, and the positional arguments.

    The options are those of `groups`, restricted to `names` if given. A positional name that ends in `...` takes one or more
    arguments; one in brackets is optional. `help_texts` replaces the help of options that mean something else in this command:
    a whole text, or only a default such as `DEFAULT.format(0.65)`. `by` names the options that can replace a positional
    argument; the argument also becomes the value of the first of them. Raises UserError if the arguments are invalid.
    """
    declared = {name: item for name, item in declarations(groups).items() if names is None or name in names}
    given, words, mistaken = _parse_words(argv, description, declared, positional, groups, help_texts)
    config_path = given.pop("config", None)
    values = _read_yaml(Path(config_path), declared) if config_path is not None else {}
    flags = {name: convert(declared[name], raw, f"--{name}", Path.cwd()) for name, raw in given.items()}
    values.update(flags)
    arguments: list[str] = []
    for shown, its in assigned(
        words, positional, {shown: valued(by.get(shown, ()), values) for shown in positional}, mistaken
    ):
        names = by.get(shown, ())
        if its and names:
            _check_same(shown, its, names, flags)
            values = {name: value for name, value in values.items() if name not in names}
            values[names[0]] = its if _type_of(declared[names[0]])[1] else its[0]
        arguments += its or valued(names, values)
    return {**_preset_values(values.get("preset"), declared), **values}, arguments


def _parse_words(
    argv: Sequence[str], description: str, declared: dict[str, Field], positional: Sequence[str],
    groups: tuple[type, ...], help_texts: Mapping[str, str],
) -> tuple[dict[str, Any], list[str], Callable[[Sequence[str]], str]]:  # fmt: skip
    """Return the options as text, the positional words, and a function that formats the message for missing ones."""
    usage_line = " ".join([program(list(argv)), *usage(positional)])
    before, after = halves(argv)
    parser = _build_parser(usage_line, description, declared, groups, help_texts, "--help_all" in before)
    switches = {flag for item in declared.values() if _type_of(item)[0] is bool for flag in _flags(item)}
    lists = {flag for item in declared.values() if _type_of(item)[1] for flag in _flags(item)}
    known, left = parser.parse_known_args(joined(before, switches, bool(positional)))
    if unknown := strays(left, after, positional):
        flag = unknown[0].split("=")[0]
        hint = nearest_option(flag, _by_name(declared), "--") if unknown[0] in left and flag.startswith("-") else ""
        raise UserError(f"unknown argument {flag}{hint}")
    words = [*left, *after]
    return vars(known), words, lambda wanted: missing(wanted, len(words), before, switches, lists)


def valued(names: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """Return the given values of these options in one list."""
    found = [values[name] for name in names if values.get(name)]
    return [text for value in found for text in (value if isinstance(value, list) else [value])]


def assigned(
    words: Sequence[str],
    positional: Sequence[str],
    named: Mapping[str, Sequence[str]],
    mistaken: Callable[[Sequence[str]], str],
) -> list[tuple[str, list[str]]]:
    """Assign the words to the positional arguments; one whose values come from options (`named`) may get none.

    Raises UserError with the message of `mistaken` if there are too few words.
    """
    wanted = [shown for shown in positional if not named[shown] and not shown.startswith("[")]
    if len(words) < len(wanted):
        raise UserError(mistaken(wanted))
    left, spare, found = list(words), len(words) - len(wanted), list[tuple[str, list[str]]]()
    for shown in positional:
        most = len(left) if "..." in shown else 1
        takes = most if shown in wanted else min(most, spare)
        spare -= 0 if shown in wanted else takes
        found.append((shown, left[:takes]))
        del left[:takes]
    return found


def _check_same(shown: str, words: Sequence[str], names: Sequence[str], flags: Mapping[str, Any]) -> None:
    """Raise UserError if flags give other values for a positional argument than the positional words."""
    other = valued(names, flags)
    if other and [os.path.abspath(text) for text in words] != [os.path.abspath(text) for text in other]:
        option = next(name for name in names if flags.get(name))
        raise UserError(f"{bare(shown)} is {' '.join(words)}, but --{option} is {' '.join(other)}; give one of them")


def _preset_values(name: str | None, declared: dict[str, Field]) -> dict[str, Any]:
    """Return the values of a preset for the options that the command has."""
    settings = PRESETS[name].options if name is not None else {}
    return {
        key: convert(declared[key], raw, f"--preset {name}: {key}", Path.cwd())
        for key, raw in settings.items()
        if key in declared
    }


def _build_parser(
    program: str, description: str, declared: dict[str, Field], groups: tuple[type, ...], help_texts: Mapping[str, str],
    everything: bool,
) -> _Parser:  # fmt: skip
    short = len(declared) > _MANY and not everything
    epilog = f"--help_all shows all {len(declared)} options." if short else None
    parser = _Parser(
        prog=program, description=description, epilog=epilog, allow_abbrev=False, argument_default=argparse.SUPPRESS,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=119),
    )  # fmt: skip
    parser.add_argument("--help_all", action="help", help=argparse.SUPPRESS)
    if declared:
        parser.add_argument("--config", metavar="FILE.yaml", help="YAML file of options by name; flags override it")
    for group in groups:
        items = [item for item in declared.values() if item.name in group.__dataclass_fields__]  # type: ignore[attr-defined]
        section = parser.add_argument_group(group.__doc__ or "")
        for item in items:
            hidden = short and not item.metadata["common"]
            text = argparse.SUPPRESS if hidden else _help(item, help_texts.get(item.name))
            once: dict[str, Any] = {"action": _Once} if item.metadata["alias"] else {}
            section.add_argument(*_flags(item), dest=item.name, **_arity(item), **once, help=text)
    return parser


class _Once(argparse.Action):
    """Store the value of an option that has two names; refuse another value under the other name."""

    _earlier: tuple[str, Any] | None = None

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        flag = str(option_string)
        if self._earlier is not None and self._earlier[0] != flag and self._earlier[1] != values:
            raise UserError(
                f"{self._earlier[0]} is {_shown(self._earlier[1])}, but {flag} is {_shown(values)}; both name the same "
                "option, so give one of them"
            )
        self._earlier = flag, values
        setattr(namespace, self.dest, values)


def _shown(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


def _by_name(declared: Mapping[str, Field]) -> dict[str, Field]:
    """Return the declarations by option name and by alias."""
    return {name: item for item in declared.values() for name in (item.name, item.metadata["alias"]) if name}


def _flags(item: Field) -> list[str]:
    alias = item.metadata["alias"]
    return [f"--{item.name}", f"--{alias}"] if alias else [f"--{item.name}"]


def _arity(item: Field) -> dict[str, Any]:
    kind, many, _ = _type_of(item)
    if many:
        return {"nargs": "*", "metavar": "NAME" if item.metadata["choices"] else kind.__name__.upper()}
    metavar = "{" + ",".join(item.metadata["choices"]) + "}" if item.metadata["choices"] else kind.__name__.upper()
    return {"nargs": "?", "const": "true", "metavar": metavar} if kind is bool else {"metavar": metavar}


def _help(item: Field, replacement: str | None) -> str:
    default = " ".join(item.default_factory()) or None if callable(item.default_factory) else item.default
    text = item.metadata["help"]
    if replacement is not None:
        default = None
        text = (
            text.partition(_BEFORE_DEFAULT)[0] + replacement
            if replacement.startswith(_BEFORE_DEFAULT)
            else replacement
        )
    if _type_of(item)[1] and item.metadata["choices"]:
        text += f". Available: {', '.join(item.metadata['choices'])}"
    shown = (
        DEFAULT.format(default) if default is not None and default is not False and _BEFORE_DEFAULT not in text else ""
    )
    return (text + shown).replace("%", "%%")


def _type_of(item: Field) -> tuple[type, bool, bool]:
    """Return the plain type, whether it is a list, and whether it may be None."""
    kind: Any = item.type
    optional = isinstance(kind, types.UnionType) and type(None) in typing.get_args(kind)
    if optional:
        kind = next(arg for arg in typing.get_args(kind) if arg is not type(None))
    many = typing.get_origin(kind) is list
    return (typing.get_args(kind)[0] if many else kind), many, optional


def _read_yaml(path: Path, declared: dict[str, Field]) -> dict[str, Any]:
    try:
        text = regular_bytes(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--config {path}: cannot be read ({_reason(error)}); give the path of a UTF-8 YAML file"
        ) from None
    try:
        content = load_yaml(text)
    except ValueError as error:
        raise UserError(f"{path}: is not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold one 'option: value' a line, but holds a {type(content).__name__}")
    return _named_values(content, declared, f"{path}: ", path.resolve().parent)


def check_values(
    options: Mapping[str, Any], groups: tuple[type, ...], names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Check options given by name in Python code, like those of a YAML file, and add the values of a preset among them.

    Paths may be `Path` objects, lists tuples, and numbers those of numpy. Relative paths start at the working directory.
    Raises UserError for an unknown name, with a suggestion, and for an invalid value.
    """
    declared = {name: item for name, item in declarations(groups).items() if names is None or name in names}
    values = _named_values({name: _plain(value) for name, value in options.items()}, declared, "", Path.cwd())
    return {**_preset_values(values.get("preset"), declared), **values}


def _plain(value: Any) -> Any:
    """Return the value in the form that YAML would have."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Number) and hasattr(value, "item"):
        return value.item()  # of numpy
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _named_values(content: Mapping[Any, Any], declared: dict[str, Field], where: str, folder: Path) -> dict[str, Any]:
    """Return the checked values of options given by name or alias; each message starts with `where`."""
    by_name = _by_name(declared)
    values: dict[str, Any] = {}
    for key, raw in content.items():
        item = by_name.get(str(key))
        if item is None:
            raise UserError(f"{where}unknown option {key}{nearest_option(str(key), by_name)}")
        if item.name in values:
            raise UserError(
                f"{where}{' and '.join(_flags(item)).replace('--', '')} are the same option; give one of them"
            )
        values[item.name] = convert(item, raw, f"{where}{key}", folder)
    return values


def convert(item: Field, raw: Any, where: str, folder: Path) -> Any:
    """Check and convert the text of a flag or a YAML value; relative paths are resolved from `folder`."""
    kind, many, optional = _type_of(item)
    if raw is None:
        if optional:
            return None
        raise UserError(f"{where} has no value; give {_article(kind)} or leave the line out")
    if many:
        if not isinstance(raw, list):
            raise UserError(f"{where} is {brief_repr(raw)}, but must be a list of texts, as in [one, two]")
        return [_scalar(item, kind, value, f"{where}[{at}]", folder) for at, value in enumerate(raw)]
    return _scalar(item, kind, raw, where, folder)


def _scalar(item: Field, kind: type, raw: Any, where: str, folder: Path) -> Any:
    value = _cast(kind, raw)
    if value is None:
        hint = "; put it in quotes" if kind is str and not isinstance(raw, (list, dict)) else ""
        raise UserError(f"{where} is {brief_repr(raw)}, but must be {_article(kind)}{hint}")
    rule = item.metadata
    if rule["choices"] and value not in rule["choices"]:
        raise UserError(
            f"{where} is {brief_repr(value)}, but must be one of {', '.join(rule['choices'])}{nearest(value, rule['choices'])}"
        )
    if value == "" and not _type_of(item)[1]:
        raise UserError(f"{where} is empty; give {_article(kind)} or leave it out")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_bounds(rule, kind, value, where)
    if value == "-" and rule["path"] == "always":
        return value  # standard input or output
    if rule["path"] in ("source", "named"):
        name, path = split_name(value) if rule["path"] == "named" else ("", value)
        place = _place(path, where, folder) if path != "-" else path
        return f"{name}={path if is_hub_id(path) and not os.path.exists(place) else place}".removeprefix("=")
    if isinstance(value, str) and (rule["path"] == "always" or (rule["path"] and value.startswith((".", "~")))):
        return _place(value, where, folder)
    return value


def _check_bounds(rule: Mapping[str, Any], kind: type, value: float, where: str) -> None:
    low, above, high, most = rule["minimum"], rule["above"], rule["maximum"], _LARGEST[kind]
    wrong = (low is not None and value < low) or (above is not None and value <= above)
    if wrong or not -most <= value <= most or (high is not None and value > high):
        bounds = [f"at least {low:g}" if low is not None else "", f"above {above:g}" if above is not None else "",
                  f"at most {high:,g}" if high is not None else ""]  # fmt: skip
        if high is None and value > most:
            bounds.append(f"at most {most:,.0f}")
        elif low is None and above is None and value < -most:
            bounds.append(f"at least {-most:,.0f}")
        raise UserError(
            f"{where} is {brief_repr(value)}, but must be {' and '.join(b for b in bounds if b) or 'a number'}"
        )


def brief_repr(value: Any) -> str:
    """Return the repr of a value for a message, with long texts, numbers and lists shortened."""
    try:
        return _REPR.repr(value)
    except ValueError:  # Python does not convert larger integers to text
        return "a number of over 4,300 digits"


def split_name(text: str) -> tuple[str, str]:
    """Split a text of the form NAME=REST; the name is empty if there is none."""
    name, sign, rest = text.partition("=")
    return (name, rest) if sign and rest and "/" not in name else ("", text)


def _place(value: str, where: str, folder: Path) -> str:
    try:
        # Path("./~") equals Path("~"), but here it is a folder named "~", which must not be expanded.
        path = os.path.normpath(folder / (Path(value).expanduser() if value.startswith("~") else value))
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return path
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{where} is {brief_repr(value)}, which cannot be a path ({error})") from None
    except OSError as error:
        raise UserError(f"{where} is {value[:300]!r}, which cannot be reached ({error.strerror})") from None
    return path


def _cast(kind: type, raw: Any) -> Any:
    """Return the value as `kind`, or None if it cannot be one. Flags give text; YAML gives typed values."""
    if kind is str:
        return raw if isinstance(raw, str) else None
    if kind is bool:
        return raw if isinstance(raw, bool) else TRUTHS.get(raw.lower()) if isinstance(raw, str) else None
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        return None
    if kind is int and isinstance(raw, float):
        return None
    try:
        return kind(raw)
    except (ValueError, OverflowError):
        return None


def _article(kind: type) -> str:
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[kind]


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"


TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NUMBER = re.compile(r"-\d*\.?\d+")


def halves(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the arguments at `--`, after which no word is an option."""
    end = list(argv).index("--") if "--" in argv else len(argv)
    return list(argv[:end]), list(argv[end + 1 :])


def joined(words: Sequence[str], switches: Collection[str], has_positional: bool) -> list[str]:
    """Join each boolean flag in `switches` with its value into one word, such as `--dry_run=true`.

    Without positional arguments, any word after a flag is its value, so that an invalid one is reported together with the flag.
    """
    found: list[str] = []
    for word in words:
        if (
            found
            and found[-1] in switches
            and (word.lower() in TRUTHS or not (has_positional or word.startswith("-")))
        ):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return [f"{word}=true" if word in switches else word for word in found]


def usage(positional: Sequence[str]) -> list[str]:
    """Return the positional arguments as a usage line shows them."""
    return [f"{name[:-3]} [{name}]" if name.endswith("...") else name for name in positional]


def bare(shown: str) -> str:
    """Return the name of a positional argument without `[`, `]` and `...`."""
    return shown.strip("[].")


def strays(words: Sequence[str], after: Sequence[str], positional: Sequence[str]) -> list[str]:
    """Return the unknown arguments: unknown flags in `words`, or else the words beyond the positional arguments.

    `words` are those that argparse did not recognise, `after` those after `--`.
    """
    flags = [
        word
        for word in words
        if word[:1] == "-" != word and " " not in word.partition("=")[0] and not _NUMBER.fullmatch(word)
    ]
    many = any("..." in name for name in positional)
    return flags or ([] if many else [*words, *after][len(positional) :])


def missing(
    positional: Sequence[str], given: int, words: Sequence[str], switches: Collection[str], lists: Collection[str]
) -> str:
    """Return the message for missing positional arguments, of which only the first `given` were found.

    It also names the words that were read as values of the list option or switch before them.
    """
    names = [bare(name) for name in positional]
    missed = names[given:]
    problem = f"{' and '.join(missed)} {'is' if len(missed) == 1 else 'are'} missing"
    option, taken = _last_taken(words, switches, lists)
    if not taken:
        return f"{problem}; --help shows the order of the arguments"
    taken = taken[-len(missed) :]
    read = "was read as a value" if len(taken) == 1 else "were read as values"
    return f"{problem}: {', '.join(map(repr, taken))} {read} of {option}; give {' '.join(names)} first"


def _last_taken(words: Sequence[str], switches: Collection[str], lists: Collection[str]) -> tuple[str, list[str]]:
    """Return the last option whose values may be misplaced positional arguments, and these values."""
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
