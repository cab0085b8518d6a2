"""Self-instruct on your own GPUs: a local language model generates instruction-tuning data from seed tasks.

The names of this module are the public API; docs/python.md shows how to use it. Each name is imported on first use.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from self_instruct.datasets.public import Converted as Converted
    from self_instruct.datasets.public import Curated as Curated
    from self_instruct.datasets.public import convert as convert
    from self_instruct.datasets.public import curate as curate
    from self_instruct.datasets.public import merge as merge
    from self_instruct.datasets.public import select as select
    from self_instruct.engines.base import Completion as Completion
    from self_instruct.engines.base import Engine as Engine
    from self_instruct.engines.base import EngineLost as EngineLost
    from self_instruct.engines.base import Request as Request
    from self_instruct.engines.base import TokenCounter as TokenCounter
    from self_instruct.engines.scripted import ScriptedEngine as ScriptedEngine
    from self_instruct.errors import UserError as UserError
    from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT as INSTRUCTION_INPUT_OUTPUT
    from self_instruct.formats import INSTRUCTION_OUTPUT as INSTRUCTION_OUTPUT
    from self_instruct.formats import RecordFormat as RecordFormat
    from self_instruct.generation.config import Config as Config
    from self_instruct.generation.public import generate as generate
    from self_instruct.generation.public import refilter as refilter
    from self_instruct.records import Drop as Drop
    from self_instruct.records import Record as Record
    from self_instruct.review.public import Judged as Judged
    from self_instruct.review.public import Scored as Scored
    from self_instruct.review.public import best_of_n as best_of_n
    from self_instruct.review.public import judge as judge
    from self_instruct.review.public import score as score
    from self_instruct.rules.plugins import register_filter as register_filter
    from self_instruct.rules.plugins import register_validator as register_validator
    from self_instruct.runs.run import Run as Run
    from self_instruct.runs.run import load_run as load_run

__version__ = "0.1.0"
__path__.append(str(Path(__file__).with_name("shims")))

_HOMES = {
    "Completion": "engines.base",
    "Config": "generation.config",
    "Converted": "datasets.public",
    "Curated": "datasets.public",
    "Drop": "records",
    "Engine": "engines.base",
    "EngineLost": "engines.base",
    "INSTRUCTION_INPUT_OUTPUT": "formats",
    "INSTRUCTION_OUTPUT": "formats",
    "Judged": "review.public",
    "Record": "records",
    "RecordFormat": "formats",
    "Request": "engines.base",
    "Run": "runs.run",
    "Scored": "review.public",
    "ScriptedEngine": "engines.scripted",
    "TokenCounter": "engines.base",
    "UserError": "errors",
    "best_of_n": "review.public",
    "convert": "datasets.public",
    "curate": "datasets.public",
    "generate": "generation.public",
    "judge": "review.public",
    "load_run": "runs.run",
    "merge": "datasets.public",
    "refilter": "generation.public",
    "register_filter": "rules.plugins",
    "register_validator": "rules.plugins",
    "score": "review.public",
    "select": "datasets.public",
}
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
