"""Run a command with a mistake in this process, in its own folder, and return the outcome.

Every case has the same files: `seeds.jsonl`, `script.jsonl`, the finished `run`, `curated.jsonl`, and a tiny `model`
without weights. A case's own files are written before it and removed after it.
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
    """A command line and its files: `given` replaces options of `sound`; `files` are by name, None for a folder.

    `message` is a part of the expected message; `about` describes a file's content that the command line does not
    show.
    """

    command: str
    given: str
    message: str
    about: str = ""
    files: Mapping[str, str | bytes | None] = field(default_factory=dict)
    sound: Mapping[str, str] = field(default_factory=dict)
    code: int = 2

    @property
    def argv(self) -> list[str]:
        """Return the whole command line."""
        words = shlex.split(self.given.format(root=ROOT))
        kept = [
            part for name, value in self.sound.items() if f"--{name}" not in words for part in (f"--{name}", value)
        ]
        return [*words, *kept]


@dataclass(frozen=True)
class Outcome:
    """The result of a mistake: the exit code, both streams, and the files that changed (without the logs of the run)."""

    code: int
    stderr: str
    stdout: str
    changed: list[str]


@contextlib.contextmanager
def furnished(folder: Path) -> Iterator[Path]:
    """Write the shared files into the folder, and make it the working directory."""
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
            raise RuntimeError(outcome.stderr)
        yield folder
    finally:
        os.chdir(before)


def tried(mistake: Mistake, folder: Path) -> Outcome:
    """Run the command with the mistake in a furnished folder; paths in its output are relative to that folder."""
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
    stderr = outcome.stderr.replace(f"{folder}/", "").replace(str(folder), ".").replace(f"{ROOT}/", "")
    return Outcome(outcome.code, stderr, outcome.stdout, changed)


def message(outcome: Outcome) -> str:
    """Return the one error message without `error: `, or all of stderr if there is not exactly one."""
    lines = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    return lines[0].removeprefix("error: ") if len(lines) == 1 else outcome.stderr


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
    """Return a message without parts that differ between runs, such as hashes."""
    return re.sub(r"\b(script|local)-[0-9a-f]{12}\b", r"\1-...", text)
