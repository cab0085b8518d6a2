"""What several test files share: tiny real models, a scripted run, and the paths of the repository."""

import os
from pathlib import Path

import pytest

# Processes that tests start inherit these: no hub, and one thread each on a small machine.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")

from tests.support.tiny_models import save_tiny_model


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Llama with random weights and its own tokenizer."""
    return save_tiny_model("llama", tmp_path_factory.mktemp("tiny_llama"))


# Files that keep a process busy for longest, mostly by waiting: begun last, one of them alone would make the others wait.
LONGEST = ("test_slurm", "test_lost_processes", "test_crashes", "test_launch", "test_signals", "test_finetuning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first; `make test` hands files out in this order."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
