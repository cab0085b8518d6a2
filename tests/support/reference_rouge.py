"""The reference implementation of ROUGE-L."""

import sys
from functools import cache
from importlib import import_module
from types import ModuleType

import pytest


@cache
def rouge_scorer() -> ModuleType:
    """Import `rouge_score.rouge_scorer`, without the parts of scipy and scikit-learn that nltk imports if it can.

    With them, the import takes 2.5 s; ROUGE needs neither.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("scipy.stats", "sklearn"):
            if name not in sys.modules:
                patch.setitem(sys.modules, name, None)
        return import_module("rouge_score.rouge_scorer")
