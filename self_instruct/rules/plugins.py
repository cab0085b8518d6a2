"""User-defined filters and validators, found by entry point or --plugin.

A plugin is a Python module that calls `register_filter` or `register_validator` when it is imported. An installed package
names its plugin in the entry point group `self_instruct.rules`; users give any other module on the Python path, or a .py file,
with --plugin. Entry points are loaded only when a run asks for a rule that is not built in.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar

from self_instruct.errors import UserError
from self_instruct.rules.filters import RULES, Filter, add_filter
from self_instruct.rules.validators import VALIDATORS, add_validator
from self_instruct.rules.validators.contract import Validator

GROUP = "self_instruct.rules"
Maker = TypeVar("Maker", bound=Callable[..., Validator])
OwnFilter = TypeVar("OwnFilter", bound=Filter)


def register_filter(name: str, reasons: Sequence[str]) -> Callable[[OwnFilter], OwnFilter]:
    """Decorate a function `Record -> reason or None` to register it as a filter of that name for --filter_rules.

    `reasons` lists all possible reasons, without details. Raises ValueError if the name is taken, TypeError if `reasons` is a
    text or if something other than a function is decorated.
    """

    def decorate(rule: OwnFilter) -> OwnFilter:
        _check_types(reasons, rule)
        add_filter(name, tuple(reasons), rule)
        return rule

    return decorate


def register_validator(name: str, reasons: Sequence[str]) -> Callable[[Maker], Maker]:
    """Decorate a function that returns a validator to register it under that name for category files.

    A category file can set the parameters of the function, which need type annotations. `reasons` lists all possible reasons,
    without details. Raises ValueError if the name is taken, TypeError if `reasons` is a text or if something
    other than a function is decorated.
    """

    def decorate(maker: Maker) -> Maker:
        _check_types(reasons, maker)
        add_validator(name, tuple(reasons), maker)
        return maker

    return decorate


def _check_types(reasons: object, function: object) -> None:
    if isinstance(reasons, str):
        raise TypeError(f"reasons is {reasons!r}; give a list of texts")
    if not callable(function):
        raise TypeError(f"{function!r} is registered, but is no function")


def load_plugins(modules: Sequence[str], names: Collection[str] = ()) -> None:
    """Import the plugins in `modules`, and those of entry points if `names` has a rule that is not registered yet.

    Raises UserError if a plugin cannot be imported.
    """
    for module in modules:
        _load(module)
    if set(names) - RULES.keys() - VALIDATORS.keys():
        for point in entry_points(group=GROUP):
            _import(f"the plugin {point.name} ({point.value})", point.load)


def _load(module: str) -> None:
    if not module.endswith(".py"):
        if str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        _import(f"--plugin {module}", lambda: importlib.import_module(module))
        return
    path = Path(module).resolve()
    name = f"self_instruct_plugin_{sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"--plugin {module}: is not a Python file")
    loaded, loader = importlib.util.module_from_spec(spec), spec.loader
    sys.modules[name] = loaded
    try:
        _import(f"--plugin {module}", lambda: loader.exec_module(loaded))
    except UserError:
        del sys.modules[name]
        raise


def _import(what: str, load: Callable[[], object]) -> None:
    """Call `load`, and turn an exception of the user's code into a UserError that begins with `what`."""
    try:
        load()
    except (Exception, SystemExit) as error:  # a script may end with sys.exit()
        raise UserError(
            f"{what}: cannot be imported ({type(error).__name__}: {error}); give the name of a module on the Python path or "
            "a .py file that can be imported by itself"
        ) from error
