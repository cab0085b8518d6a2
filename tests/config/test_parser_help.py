"""--help of every command is short, and fast because it loads no slow library."""

import re
import subprocess
import sys

from self_instruct.commands import COMMANDS
from tests.support.runs import ROOT
from tests.test_rooms import HEAVY

CODE = """
import sys
from self_instruct.commands import COMMANDS, run_command
for name in COMMANDS:
    print("COMMAND", name)
    try:
        run_command(name, [{flag!r}])
    except SystemExit as ended:
        assert not ended.code, ended.code
print("COMMAND", *{{name.split(".")[0] for name in sys.modules}})
"""


def shown(flag: str) -> tuple[dict[str, set[str]], set[str]]:
    """Return the options that each command shows with the flag, and the packages that the commands loaded."""
    command = [sys.executable, "-c", CODE.format(flag=flag)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *texts, modules = done.stdout.split("COMMAND ")[1:]
    found = {text.split()[0]: set(re.findall(r"^  --(\w+)", text, re.M)) for text in texts}
    assert list(found) == list(COMMANDS)
    return found, set(modules.split())


def test_help_is_fast_and_short_and_help_all_shows_the_rest() -> None:
    (short, modules), (full, more) = shown("--help"), shown("--help_all")
    assert (modules | more) & (HEAVY | {"numpy", "pydantic", "jinja2", "pandas", "pyarrow"}) == set()
    for name in COMMANDS:
        assert 1 <= len(short[name]) <= 26, name
        assert short[name] <= full[name] and (len(full[name]) > 25) == (short[name] != full[name]), name
    assert "api_extra_body" in full["generate"] - short["generate"]
    assert full["generate"] - full["curate"] and len(full["generate"]) > 80
