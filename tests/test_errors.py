"""Shared error messages: how to install a missing package."""

import ast
import configparser
import sys
from collections.abc import Callable

import pytest

from self_instruct.datasets.markup import check_libraries
from self_instruct.engines.server.client import Client
from self_instruct.errors import UserError
from self_instruct.rules.filters.language import unwanted_language
from tests.support.runs import ROOT


def test_every_extra_named_in_a_message_is_in_setup_cfg() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    named = set()
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "self_instruct").rglob("*.py")]
    for text in texts:
        for node in ast.walk(ast.parse(text if "install(" in text else "")):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "install":
                named.add(ast.literal_eval(node.args[0]))
    assert {"clean", "language", "openai", "quantization"} <= named <= set(setup["options.extras_require"])


@pytest.mark.parametrize(
    ("package", "extra", "needing"),
    [
        ("markdownify", "clean", check_libraries),
        ("openai", "openai", lambda: Client("http://127.0.0.1:9/v1", "none", str, 1.0, 1)),
        ("py3langid.langid", "language", lambda: unwanted_language(["en"], "--language")),
    ],
)
def test_a_missing_package_is_reported_with_the_install_command(
    package: str, extra: str, needing: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as caught:
        needing()
    assert f": pip install -e '.[{extra}]' in the project's directory" in str(caught.value)
