"""Fixtures for several test files: tiny real models, a scripted run, and the paths of the repository."""

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Processes that tests start inherit these: no hub, one thread each on a small machine, and no file compiled twice.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False  # pytest, too: it takes 6 s to rewrite the assertions of all test files
gc.disable()  # until all tests are collected, which takes 9 s rather than 14 this way

# No example has a deadline, since machines are busy at times; continuous integration tries the same examples every time.
settings.register_profile("suite", deadline=None, max_examples=20, derandomize="CI" in os.environ)
settings.load_profile("suite")

from tests.support import copies
from tests.support.kinds import CODE, starts_processes


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Llama with random weights and its own tokenizer."""
    from tests.support.tiny_models import save_tiny_model  # the process that starts the workers needs no transformers

    return save_tiny_model("llama", tmp_path_factory.mktemp("tiny_llama"))


# Files that take longest: started last, one of them alone would make the other workers wait.
LONGEST = (
    "test_slurm", "test_launch", "test_lost_processes", "test_crashes", "test_docs", "test_consistency_launch",
    "test_public_api", "test_injected_messages", "test_finetuning", "test_packaging", "test_cluster", "test_endpoint_launch",
    "test_generation_benchmark", "test_tune", "test_server_transformers_serve", "test_local_paged", "test_signals",
    "test_parser_positional", "test_server_engine", "test_local_slots", "test_kernels_subsequence", "test_plan_pilot",
    "test_faults", "test_validators_linear_time", "test_local_engine", "test_splitting_blocks",
)  # fmt: skip
E2E, GPU = (Path(__file__).parent / name for name in ("e2e", "gpu"))


def pytest_configure(config: pytest.Config) -> None:
    """Compile the search kernels while the workers of a parallel run collect the tests, and start what all of them fork."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        folder, server = copies.start_server()
        os.environ[copies.SHARED] = str(folder)
        config.add_cleanup(lambda: copies.end_server(folder, server))
        compiling = subprocess.Popen([sys.executable, "-m", "tests.support.kernels"], cwd=Path(__file__).parent.parent)
        config.add_cleanup(compiling.wait)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it needs, and put the longest files first: `make test` hands files out in this order."""
    places = {path: [path.is_relative_to(place) for place in (GPU, E2E)] for path in {item.path for item in items}}
    for item in items:
        on_gpu, whole = places[item.path]
        if on_gpu:
            item.add_marker("gpu")
        elif whole or starts_processes(*functions_of(item)):
            item.add_marker("e2e")
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


def pytest_collection_finish() -> None:
    """Exempt libraries and tests from garbage collection: with them, each collection takes 0.3 s."""
    gc.freeze()
    gc.enable()


def functions_of(item: pytest.Item) -> list[Any]:
    """Return the function of a test, the functions of its fixtures, and those parameters that are code."""
    if not isinstance(item, pytest.Function):
        return []
    fixtures = (definition.func for found in item._fixtureinfo.name2fixturedefs.values() for definition in found)
    given = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return [item.function, *fixtures, *(value for value in given if isinstance(value, CODE))]
