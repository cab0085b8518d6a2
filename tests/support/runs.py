"""Run the real commands in their own processes, and read the files they write."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.copies import Copies, Copy
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
IO = ROOT / "instruction_io" / "instruction_output.py"
IIO = ROOT / "instruction_iio" / "instruction_input_output.py"
SECONDS = 600.0  # after which a process hangs, also on a busy machine
DATASET = ("machine_generated_instructions.jsonl", "rejected.jsonl", "report.json")

_copies = Copies()


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process: one thread, no Hub, no launcher variables."""
    kept = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return {**kept, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **more}


def start(*command: object, cwd: Path = ROOT, **more: str) -> subprocess.Popen[str]:
    """Start a process."""
    return subprocess.Popen(
        [str(part) for part in command], cwd=cwd, env=environment(**more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def rank_variables(rank: int, ranks: int, port: int) -> dict[str, str]:
    """Return the variables by which srun or mpirun tell a process its rank; rank 0 hosts the store."""
    return {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip


READ_ON_IMPORT = ("HF_", "PYTHON", "RES_")
"""Beginnings of the names of variables that a fork would not see: libraries read them when they are imported."""


def start_copy(*command: object, **more: str) -> Copy:
    """Start one of our commands in a fork."""
    return _copies.start([str(part) for part in command], ROOT, environment(**more))


def start_ranks(ranks: int, *command: object, port: int | None = None) -> list[Copy]:
    """Start the ranks of a launch in forks, as srun starts them. Rank 0 is last, so that it does not do all work alone."""
    port = port or free_port()
    last_first = [start_copy(*command, **rank_variables(rank, ranks, port)) for rank in reversed(range(ranks))]
    return last_first[::-1]


def run(*command: object, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a process to its end. Our own commands run in a fork of a loaded process if it sees the variables."""
    given = [str(part) for part in command]
    ours = given[0] == sys.executable and (given[1].endswith(".py") or given[2].startswith("self_instruct."))
    if ours and not any(name.startswith(READ_ON_IMPORT) for name in more):
        return _copies.run(given[1:], cwd, environment(**more), SECONDS)
    process = start(*command, cwd=cwd, **more)
    out, err = process.communicate(timeout=SECONDS)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_ranks(ranks: int, *command: object, port: int | None = None) -> list[subprocess.CompletedProcess[str]]:
    """Run the ranks of a launch to their end."""
    launch = start_ranks(ranks, *command, port=port)
    printed = [copy.communicate(SECONDS) for copy in launch]
    return [
        subprocess.CompletedProcess(copy.args, copy.returncode, *texts)
        for copy, texts in zip(launch, printed, strict=True)
    ]


def generate(*options: object, script: Path = IO, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a launch script without a launcher."""
    return run(sys.executable, script, *options, **more)


def scripted(script_path: Path, batch_dir: Path, target: int = 40) -> list[object]:
    """Return the options of a run that replays a script."""
    return [
        "--engine", "scripted", "--script_path", script_path, "--batch_dir", batch_dir,
        "--seed_tasks_path", ROOT / "seeds" / "code.jsonl", "--num_prompt_instructions", 4,
        "--num_instructions_to_generate", target, "--request_batch_size", 4, "--rouge_threshold", 0.6,
    ]  # fmt: skip


def rows(path: Path) -> list[dict]:
    """Return the objects of a JSONL file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def rejected_rows(path: Path) -> list[dict]:
    """Return the objects of a file of rejected rows, which is never empty, and missing if no row was rejected."""
    found = rows(path) if path.exists() else []
    assert bool(found) == path.exists(), f"{path} is empty"
    return found


def whole_rows(path: Path) -> list[dict]:
    """Return the objects of the complete lines of a JSONL file that may be missing or still being written."""
    written = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in written[: written.rfind(b"\n") + 1].splitlines()]


def dataset(folder: Path) -> dict[str, bytes]:
    """Return the files that are derived from the journal, by name."""
    return {name: (folder / name).read_bytes() for name in DATASET}
