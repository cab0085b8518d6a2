"""Running a command with a mistake in it, in this process and in a folder of its own; and what came of it.

Every case finds the same files there: `seeds.jsonl`, `script.jsonl`, the finished `run`, `curated.jsonl`, and a tiny `model`
without weights. Its own are put there before and taken away after.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from self_instruct.commands import consistency, explain, refilter
from self_instruct.commands import curate as post_processing
from self_instruct.commands.generate import run as generate
from self_instruct.commands.guard import guarded
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.generation.signals import SIGNALS

ROOT = Path(__file__).resolve().parents[3]
COMMANDS: dict[str, Callable[[list[str]], object]] = {
    "instruction_output.py": lambda argv: generate(INSTRUCTION_OUTPUT, ROOT / "instruction_io/prompt.txt", argv),
    "instruction_input_output.py": lambda argv: generate(
        INSTRUCTION_INPUT_OUTPUT, ROOT / "instruction_iio/prompt.txt", argv
    ),
    "output_instruction.py": lambda argv: consistency.run(ROOT / "instruction_io/inverse_prompt.txt", argv),
    "post_processing": lambda argv: guarded(lambda: post_processing.main(argv)),
    "refilter": lambda argv: guarded(lambda: refilter.main(argv)),
    "explain": lambda argv: guarded(lambda: explain.main(argv)),
}
SEEDS = """\
{"id": "a", "instruction": "Name three rivers of Europe.", "output": "Rhine, Danube, Loire"}
{"id": "b", "instruction": "Add all numbers of a list.", "output": "sum(numbers)"}
{"id": "c", "instruction": "Explain why the sky is blue.", "output": "Air scatters blue light most."}
"""
SCRIPT = """\
{"text": "Sort the letters of the word kettle.\\n\\n4. Output:\\neekltt\\n###\\n"}
{"text": "Describe how a glacier moves downhill.\\n\\n4. Output:\\nIt slides and bends.\\n###\\n"}
{"text": "Compare the violin with the cello.\\n\\n4. Output:\\nThe cello is larger and lower.\\n###\\n"}
"""
SOUND = {
    "seed_tasks_path": "seeds.jsonl", "engine": "scripted", "script_path": "script.jsonl", "batch_dir": "new",
    "num_prompt_instructions": "3", "num_prompt_synthetic_instructions": "0",
}  # fmt: skip
"""Options that a generation runs with."""


@dataclass(frozen=True)
class Mistake:
    """What is given to a command: `given` in place of what `sound` has of it, and `files` by name, None for a folder.

    `told` is a part of the one message; `about` says in words what a file has, where the command line does not show it.
    """

    command: str
    given: str
    told: str
    about: str = ""
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    sound: Mapping[str, str] = field(default_factory=dict)
    code: int = 2

    @property
    def argv(self) -> list[str]:
        """The whole command line."""
        words = shlex.split(self.given.format(root=ROOT))
        kept = [
            part for name, value in self.sound.items() if f"--{name}" not in words for part in (f"--{name}", value)
        ]
        return [*words, *kept]


@dataclass(frozen=True)
class Outcome:
    """What came of a mistake: the exit code, what went to the error stream and to the other, and which files changed, but for
    the log of the run that is there.
    """

    code: int
    told: str
    said: str
    changed: list[str]


@contextlib.contextmanager
def furnished(folder: Path) -> Iterator[Path]:
    """The folder with the files that all cases share, as the working directory."""
    before = Path.cwd()
    folder = folder.resolve()
    (folder / "seeds.jsonl").write_text(SEEDS)
    (folder / "script.jsonl").write_text(SCRIPT)
    (folder / "curated.jsonl").write_text(SEEDS)
    os.chdir(folder)
    try:
        outcome = _run("instruction_output.py", [part for name, value in {**SOUND, "batch_dir": "run"}.items()
                                                 for part in (f"--{name}", value)])  # fmt: skip
        if outcome.code != 0:
            raise RuntimeError(outcome.told)
        yield folder
    finally:
        os.chdir(before)


def tried(mistake: Mistake, folder: Path) -> Outcome:
    """What the command says to a mistake, in a folder that is furnished; paths in it are told from there."""
    before = _content(folder)
    for name, content in mistake.files.items():
        place = folder / name
        if content is None:
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)
    own = _content(folder)
    try:
        outcome = _run(mistake.command, mistake.argv)
        changed = sorted(name for name, _ in own.items() ^ _content(folder).items() if not name.startswith("run/logs"))
    finally:
        for name in sorted(_content(folder).keys() - before.keys(), reverse=True):
            place = folder / name
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
        for name, content in before.items():
            if content is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
    told = outcome.told.replace(f"{folder}/", "").replace(str(folder), ".").replace(f"{ROOT}/", "")
    return Outcome(outcome.code, told, outcome.said, changed)


def message(outcome: Outcome) -> str:
    """The one message, without the word before it; all that was told, if it is not one."""
    lines = [line for line in outcome.told.splitlines() if line.startswith("error: ")]
    return lines[0].removeprefix("error: ") if len(lines) == 1 else outcome.told


def _run(command: str, argv: list[str]) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    code: int | str | None = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            COMMANDS[command](argv)
    except SystemExit as ended:
        code = ended.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Outcome(code if isinstance(code, int) else 1, err.getvalue(), out.getvalue(), [])


def _content(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def stable(text: str) -> str:
    """A message without what differs from one run of it to the next, as hashes."""
    return re.sub(r"\b(script|local)-[0-9a-f]{12}\b", r"\1-...", text)
