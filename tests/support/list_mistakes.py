"""Try every known mistake with the real command, and write the messages: python tests/support/list_mistakes.py

It writes docs/mistakes.md; with --check it only says whether the page is up to date. No weights are loaded.
"""

import os
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")

from tests.support.mistakes import commands, generating
from tests.support.mistakes.running import Mistake, Outcome, furnished, message, stable, tried

PLACE = ROOT / "docs" / "mistakes.md"
GROUPS: dict[str, list[Mistake]] = {**generating.CASES, **commands.CASES}
_HEAD = """\
# Error messages

```console
$ self-instruct generate --max_lenght 900
error: unknown argument --max_lenght; did you mean --max_length?
```

A mistake in a command gives one message and exit code 2. No file is created or changed, except the log of an existing
run. Below are {number} mistakes with their messages, written by `tests/support/list_mistakes.py`, which tries each one.
The commands run in a folder with `seeds.jsonl` (3 seed tasks) and a finished run in `run`; options that are not shown are
correct.
"""


def outcomes(folder: Path) -> dict[str, list[tuple[Mistake, Outcome]]]:
    """Return the outcome of each mistake, by group, after filling the folder with the files that they need."""
    with furnished(folder) as place:
        return {title: [(mistake, tried(mistake, place)) for mistake in group] for title, group in GROUPS.items()}


def page(found: dict[str, list[tuple[Mistake, Outcome]]]) -> str:
    """Return the content of docs/mistakes.md."""
    parts = [_HEAD.format(number=sum(map(len, found.values())))]
    for title, pairs in found.items():
        cases = (f"{_given(mistake)}\n{_wrapped(message(outcome))}" for mistake, outcome in pairs)
        parts.append("\n".join([f"## {title}\n", "```text", *cases, "```\n"]))
    return "\n".join(parts)


def _given(mistake: Mistake) -> str:
    command = "" if mistake.command == generating.IO else f"{mistake.command} "
    given = f"{command}{mistake.given}".replace("{root}/", "").replace("--engine huggingface --", "--").strip()
    about = stable(mistake.about.replace("`", ""))
    return f"{given}    # {about}" if given and about else given or f"# {about}"


def _wrapped(text: str) -> str:
    lines = textwrap.wrap(stable(" ".join(text.split())), 120, break_long_words=False, break_on_hyphens=False)
    return textwrap.indent("\n".join(lines), "    ")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = page(outcomes(Path(folder)))
    if "--check" in sys.argv[1:]:
        sys.exit(
            0 if PLACE.read_text(encoding="utf-8") == text else f"{PLACE} is not current; run this without --check"
        )
    PLACE.write_text(text, encoding="utf-8")
    print(f"{PLACE}: {sum(map(len, GROUPS.values()))} mistakes")


if __name__ == "__main__":
    main()
