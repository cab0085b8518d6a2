"""Try every known mistake with the real command and record its message: python tests/support/list_mistakes.py

Writes docs/mistakes.md, or with --check only checks that it is current. Loads no weights.
"""

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")

from tests.support.mistakes import commands, generating
from tests.support.mistakes.running import Mistake, Outcome, furnished, message, stable, tried

PLACE = ROOT / "docs" / "mistakes.md"
GROUPS: dict[str, list[Mistake]] = {**generating.CASES, **commands.CASES}
_HEAD = """\
# Mistakes and their messages

`python tests/support/list_mistakes.py` tries each of these {number} mistakes with the real command and writes this file.
`tests/e2e/test_mistakes.py` checks that each ends with exit code 2, this one message, no traceback, and no file created or
changed except the run's log. The directory holds `seeds.jsonl` with 3 seed tasks and a finished `run`; options that are not
shown are valid.
"""


def outcomes(folder: Path) -> dict[str, list[tuple[Mistake, Outcome]]]:
    """Try each mistake in a prepared folder; return the outcomes by group."""
    with furnished(folder) as place:
        return {title: [(mistake, tried(mistake, place)) for mistake in group] for title, group in GROUPS.items()}


def page(found: dict[str, list[tuple[Mistake, Outcome]]]) -> str:
    """The content of docs/mistakes.md."""
    parts = [_HEAD.format(number=sum(map(len, found.values())))]
    for title, pairs in found.items():
        lines = [f"## {title}\n", "| given | message |", "|---|---|"]
        lines += [f"| {_given(mistake)} | {_cell(message(outcome))} |" for mistake, outcome in pairs]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _given(mistake: Mistake) -> str:
    command = "" if mistake.command == generating.IO else f"{mistake.command} "
    given = (
        f"`{command}{mistake.given}`".replace("{root}/", "")
        .replace("--engine huggingface --", "--")
        .replace(" `", "`")
    )
    return f"{given}: {_cell(mistake.about)}" if mistake.about and given != "``" else mistake.about or given


def _cell(text: str) -> str:
    return stable(" ".join(text.split())).replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = page(outcomes(Path(folder)))
    if "--check" in sys.argv[1:]:
        sys.exit(
            0 if PLACE.read_text(encoding="utf-8") == text else f"{PLACE} is not current; run this without --check"
        )
    PLACE.write_text(text, encoding="utf-8")
    print(f"{PLACE}: {text.count(chr(10) + '| ') - len(GROUPS)} mistakes")


if __name__ == "__main__":
    main()
