"""Run every command that README.md, CONTRIBUTING.md, SECURITY.md and docs/ show, except those that NOT_RUN lists with a reason.

`python tests/test_docs.py` prints the commands and the counts; with --write it updates the outputs that the pages show.

An `sh` block holds commands. In a `console` block `$ ` begins a command, and its output follows: a line `...` stands for any
lines, `...` at the end of a line for the rest of it, and times and sizes are not compared. The commands of a page run one after
the other in a copy of the project that holds the result of one real `make quickstart`.
"""

import contextlib
import difflib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.commands import called
from tests.support.runs import run

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
QUICKSTART = "make quickstart"
NOT_RUN = {
    "needs a Slurm cluster (tests/e2e/test_slurm.py has one)": [
        r"\bsbatch\b", r"squeue ", r"tail -f slurm-", r"scontrol ", r"sacct ", r"slurm_cluster\.py", r"export SLURM_CONF",
    ],
    "needs a server that holds a model": [
        r"--api_base http://localhost:8000", r"vllm serve ", r"transformers serve ", r"transformers chat ",
    ],
    "needs a GPU": [r"accelerate launch "],
    "needs a model, a dataset or an account on the network": [
        r"hf download ", r"--push_to_hub ", r"--model_name_or_path (Qwen|HuggingFaceTB|\./SmolLM2)",
        r"configs/open_instructions", r"pip-audit", r"--reward_model ", r"runs/(answers|pairs)\b",
    ],
    "continues a run that needs a GPU": [r"runs/generated\b", r"runs/code ", r"self-instruct status runs/starcoder2"],
    "installs packages": [r"^pip install ", r"^make sbom"],
    "trains a model (tests/e2e/test_finetuning.py does)": [r"trl (sft|dpo) ", r"python -c 'from peft "],
    "does not end by itself": [r"--watch", r"tensorboard "],
    "runs these tests, or changes the checkout": [r"^make (test|quality|style)\b"],
    "takes minutes": [r"^make bench", r"^python benchmarks/(crashes|fuzz)"],
}  # fmt: skip
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
VARYING = re.compile(
    r"\d[\d.,:]*(?= ?(?:s|ms|seconds|minutes|bytes|[GM]i?B|tokens/s|tokens a second|tokens per second)\b)"
    r"|\d[\d.]*%(?= (?:of its time|full|of the time))|\d{4}-\d\d-\d\d[T ][\d:.]+Z?"
)


@dataclass
class Command:
    """A command on a page, and the output that the page shows for it."""

    text: str
    shown: list[str] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Why the command is not run here; empty if it is run."""
        found = (reason for reason, patterns in NOT_RUN.items() if any(re.search(p, self.text) for p in patterns))
        return next(found, "")


def commands(text: str) -> list[Command]:
    """Return the commands of a page in order. A backslash, or a quote that is still open, continues a command."""
    found = []
    for language, body in FENCE.findall(text):
        if language == "console":
            found += console_commands(body)
        elif language == "sh":
            found += [Command(command) for command in logical_lines(body.splitlines())]
    return found


def console_commands(body: str) -> Iterator[Command]:
    """Yield the commands of a console block with their outputs."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *_ = logical_lines(part.splitlines())
        used = command.count("\n") + 1
        yield Command(command, trimmed(part.splitlines()[used:]))


def logical_lines(lines: list[str]) -> list[str]:
    """Return whole commands, of one or more lines each, without comments and blank lines."""
    found: list[str] = []
    waiting: list[str] = []
    for line in lines:
        if not waiting and (not line.strip() or line.startswith("#")):
            continue
        waiting.append(line)
        with contextlib.suppress(ValueError):
            shlex.split("\n".join(waiting), comments=True)
            if not line.endswith("\\"):
                found.append("\n".join(waiting))
                waiting = []
    return found


def trimmed(lines: list[str]) -> list[str]:
    """Return the lines without trailing space and without blank lines at either end."""
    return "\n".join(line.rstrip() for line in lines).strip("\n").splitlines()


def same(shown: str, actual: str) -> bool:
    """Compare a line of a page with a line of output."""
    shown, actual = VARYING.sub("N", shown), VARYING.sub("N", actual)
    return shown == actual or (shown.endswith("...") and actual.startswith(shown[:-3].rstrip()))


def first_difference(shown: list[str], actual: list[str]) -> str | None:
    """Return the first shown line that the output does not have where the page has it, or None."""
    at, skipping = 0, False
    for line in shown:
        if line.strip() == "...":
            skipping = True
            continue
        rest = range(at, len(actual)) if skipping else range(at, min(at + 1, len(actual)))
        found = next((index for index in rest if same(line, actual[index])), None)
        if found is None:
            return line
        at, skipping = found + 1, False
    return None if skipping or at == len(actual) or not shown else actual[at]


def updated(shown: list[str], actual: list[str]) -> list[str]:
    """Return what a page should show: the output, or the lines most like those it shows where it leaves some out."""
    if first_difference(shown, actual) is None:
        return shown
    if not any(line.strip() == "..." for line in shown):
        return actual
    lines = []
    for line in shown:
        if line.strip() == "..." or any(same(line, other) for other in actual):
            lines.append(line)
        else:
            near = difflib.get_close_matches(line, actual, 1, 0.3)
            lines += [f"{near[0][: len(line) - 4]} ..." if line.endswith("...") else near[0]] if near else []
    return lines


# ---- running


def copy_of_project(folder: Path) -> Path:
    """Make a folder that looks like a clone; what commands write stays in it."""
    folder.mkdir(parents=True)
    for name in ("self_instruct", "configs", "seeds", "demo_model", "benchmarks", "tests"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("instruction_io", "instruction_iio"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    shutil.copy(ROOT / "Makefile", folder / "Makefile")
    return folder


def execute(command: str, folder: Path) -> tuple[int, list[str]]:
    """Run a command in a copy of the project, and return its exit code and what it printed."""
    words = shlex.split(command.replace("\\\n", " "), comments=True)
    before = Path.cwd()
    ours = words[0] == "self-instruct" and not {"|", "&&", ";"} & set(words)
    if ours and words[1] == "generate":  # in a fork, because it handles signals and may start processes
        done = run(sys.executable, "-m", "self_instruct.__main__", *words[1:], cwd=folder)
        return done.returncode, printed(done.stdout, done.stderr, folder)
    if ours:
        os.chdir(folder)
        try:
            found = called(words[1], *words[2:])
        finally:
            os.chdir(before)
        return found.returncode, printed(found.stdout, found.stderr, folder)
    text = f'self-instruct() {{ python -m self_instruct "$@"; }}\n{command}'
    if command == QUICKSTART:
        text = f"make -s -o {sys.prefix}/installed VENV={sys.prefix} quickstart"
    environment = {
        **os.environ,
        "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}", "PYTHONPATH": str(folder),
        "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    done = subprocess.run(["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, printed(done.stdout, done.stderr, folder)


def printed(out: str, err: str, folder: Path) -> list[str]:
    """Return the lines of the output, or of the errors if there is no output, with paths as seen from the folder."""
    text = (out if out.strip() else err).replace(f"{folder}/instruction_io/../", "").replace(f"{folder}/", "")
    text = re.sub(r"\S*/bin/python(?=\s)", "python", text.replace(str(folder), "."))
    return trimmed(text.replace(f"{ROOT}/", "").replace(str(ROOT), ".").splitlines())


@dataclass
class Ran:
    """A finished command with its exit code and output."""

    command: Command
    code: int
    output: list[str]

    @property
    def problem(self) -> str | None:
        """Return the first difference, or None."""
        refused = any(line.startswith("error:") for line in self.command.shown)
        if (self.code != 0) != refused:
            return f"{self.command.text}\nended with exit code {self.code}:\n" + "\n".join(self.output[-15:])
        line = first_difference(self.command.shown, self.output) if self.command.shown else None
        return None if line is None else f"{self.command.text}\nprints this line otherwise: {line}"


class Project:
    """Make copies of the project, one for each page, all with the result of the same quickstart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first = copy_of_project(folder / "first")
        self.quickstart = execute(QUICKSTART, self.first)

    def run_page(self, page: Path) -> list[Ran]:
        """Run the commands of a page in its copy."""
        folder = copy_of_project(self.folder / page.stem)
        shutil.copytree(self.first / "runs", folder / "runs")
        ran = []
        for command in commands(page.read_text(encoding="utf-8")):
            if not command.reason:
                made = self.quickstart if command.text == QUICKSTART else execute(command.text, folder)
                ran.append(Ran(command, *made))
        return ran


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("docs").resolve() / "project")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_of_a_page_run_and_print_what_it_shows(page: Path, project: Project) -> None:
    problems = [ran.problem for ran in project.run_page(page) if ran.problem]
    assert problems == [], "python tests/test_docs.py --write updates the outputs that the pages show"


def test_every_pattern_of_commands_that_are_not_run_matches_one() -> None:
    texts = [command.text for page in PAGES for command in commands(page.read_text(encoding="utf-8"))]
    unused = [p for patterns in NOT_RUN.values() for p in patterns if not any(re.search(p, text) for text in texts)]
    assert unused == []


def test_a_changed_output_is_found_and_repaired() -> None:
    [command] = console_commands("$ self-instruct x \\\n    --y 1\nfirst 1\n...\nlast 3 in 12 s\nlong ...\n")
    assert command.text == "self-instruct x \\\n    --y 1"
    shown, output = command.shown, ["first 1", "second", "last 3 in 7 s", "long and more"]
    assert first_difference(shown, output) is None
    assert first_difference(shown, [*output, "another"]) == "another"
    assert first_difference(shown, ["first 2", *output[1:]]) == "first 1"
    assert updated(shown, ["first 2", *output[1:]]) == ["first 2", *shown[1:]]
    assert updated(["first 1"], ["other", "lines"]) == ["other", "lines"]


# ---- the form of the pages


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tables_have_three_short_columns_and_code_is_fenced(page: Path) -> None:
    text = prose(page)
    for line in re.findall(r"^\|.*\|$", text, re.MULTILINE):
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        assert len(cells) <= 3 and max(map(len, cells)) <= 102, line
    assert re.findall(r"\n\n {4,}\S.*", text) == [], "indented code is not seen by these tests: fence it"
    assert {language for language, _ in FENCE.findall(page.read_text(encoding="utf-8"))} <= {
        "sh", "console", "text", "json", "yaml", "toml", "python", "jinja",
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES[3:], ids=NAMES[3:])
def test_a_page_of_docs_begins_with_a_command_and_is_in_the_index(page: Path) -> None:
    language, _ = FENCE.findall(page.read_text(encoding="utf-8"))[0]
    assert language in ("sh", "console", "python")
    first = page.read_text(encoding="utf-8").index(f"```{language}\n")
    assert page.read_text(encoding="utf-8")[:first].count("\n") <= 12
    assert f"(docs/{page.name})" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


# ---- the table, and --write


def write_outputs() -> None:
    """Run the commands of all pages, and update the shown outputs."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder).resolve() / "project")
        for page in PAGES:
            text = page.read_text(encoding="utf-8")
            for ran in project.run_page(page):
                if ran.problem and ran.command.shown and "ended with exit code" not in ran.problem:
                    old = "$ " + "\n".join([ran.command.text, *ran.command.shown]) + "\n"
                    new = [ran.command.text, *updated(ran.command.shown, ran.output)]
                    text = text.replace(old, "$ " + "\n".join(new) + "\n")
                print(f"{page.relative_to(ROOT)}: {ran.problem or 'as shown: ' + ran.command.text.splitlines()[0]}")
            page.write_text(text, encoding="utf-8")


def print_table() -> None:
    """Print each command with the reason why it is not run, and the counts."""
    reasons: Counter[str] = Counter()
    for page in PAGES:
        for command in commands(page.read_text(encoding="utf-8")):
            reasons[command.reason or "run"] += 1
            print(f"{page.relative_to(ROOT)}: {' '.join(command.text.split())[:90]}  [{command.reason or 'run'}]")
    print(f"\n{sum(reasons.values())} commands")
    for reason, count in reasons.most_common():
        print(f"{count:>4}  {reason}")


if __name__ == "__main__":
    write_outputs() if "--write" in sys.argv[1:] else print_table()
