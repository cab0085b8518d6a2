"""Kill every command that writes files, and simulate power failures; report lost and doubled lines.

python benchmarks/crashes.py --kills 1000 --folder /tmp/crashes

A command is killed at write boundaries and at random moments. Each kill is stored in results.jsonl in the folder, so the same
command continues a benchmark that was stopped.
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import self_instruct as si
from self_instruct.generation import testing
from tests.support.chat_model import ChatModel
from tests.support.copies import Copies
from tests.support.crash_series import COPIED, MOVED, Series, Victim
from tests.support.crashes import Kill
from tests.support.endpoint_server import EndpointServer
from tests.support.power import ORDERED, REORDERED
from tests.support.runs import IO, environment, rows, scripted
from tests.support.runs import run as run_process
from tests.support.scripts import instruction, write_script

MAIN = ROOT / "self_instruct" / "__main__.py"
TARGET, VERIFIED = 8, 2  # each verified record runs several programs
PROGRAMS = ("generate --verify", "best-of-n", "verify")
HEAVY = (*PROGRAMS, "slots", "score", "tune")  # run programs, load a model, or start processes
KILLED, POWER = "kill -9", {"power failure": ORDERED, "power failure, renames reordered": REORDERED}
ROUNDS = 4
ADD = "def add_{0}(a, b):\n    return a + b + {0}"
TESTS = "assert add_{0}(0, 0) == {0}\nassert add_{0}(1, 2) == 3 + {0}"
JUDGEMENT = "helpful: 5, correct: {}, clear: 4\nverdict: good\n###\n"


class Coder(ChatModel):
    """Answers each task with code that is right or wrong, and each request for tests with right ones."""

    def _text(self, request: si.Request) -> str:
        if request.prompt.startswith(testing.HEADER):
            name = request.opening.rpartition("def add_")[2].partition("(")[0]
            return f"{TESTS.format(name)}\n###\n"
        if "as a numbered list" in request.prompt:
            return super()._text(request)
        code = ADD.format(zlib.crc32(request.prompt.encode()))
        return code if random.Random(request.seed).random() < 0.7 else code.replace(" + b", " - b")


def inputs(folder: Path) -> Path:
    """Write the input of the commands, unless it exists: scripts, a finished run, and a file of conversations."""
    if (folder / "made").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_script(folder / "script.jsonl", 40)
    made = run_process(sys.executable, IO, *scripted(folder / "script.jsonl", folder / "run", TARGET))
    assert made.returncode == 0, made.stderr
    accepted = rows(folder / "run" / "machine_generated_instructions.jsonl")
    answers = [{"text": JUDGEMENT.format(at % 5 + 1)} for at in range(len(accepted))]
    write(folder / "judge.jsonl", answers)
    write(folder / "predicted.jsonl", [{"text": f"{row['instruction']}\n###\n"} for row in accepted])
    turns = [
        [{"from": "human", "value": row["instruction"]}, {"from": "gpt", "value": row["output"]}] for row in accepted
    ]
    write(folder / "chats.jsonl", [{"id": str(at), "conversations": pair} for at, pair in enumerate(turns)])
    code = [
        {"id": str(at), "instruction": f"Write add_{at} in Python.", "output": ADD.format(at)} for at in range(TARGET)
    ]
    write(folder / "code.jsonl", [{**row, "score": at % 5} for at, row in enumerate(code)])
    write(folder / "verified.jsonl", code[:VERIFIED])
    write(folder / "tests.jsonl", [{"text": f"{TESTS.format(at)}\n###\n"} for at in range(VERIFIED)])
    lists = [
        "\n".join(f"{line}. {instruction(random.Random(at * 9 + line))}" for line in range(9)) for at in range(40)
    ]
    write(folder / "topics.jsonl", [{"text": f"{text}\n"} for text in lists])
    write_code(folder)
    (folder / "made").touch()
    return folder


def write_code(folder: Path) -> None:
    """Write a run with --verify, whose journal is a script, and one with several answers to each task and stored tests."""
    given = {"seed_tasks_path": ROOT / "seeds" / "general.jsonl", "recipe": "chat", "num_answers": 2, "horizon": 4}
    given["num_instructions_to_generate"] = VERIFIED
    si.generate(si.Config(**given, verify=["python"], batch_dir=folder / "coded"), engine=Coder())
    run = si.generate(si.Config(**given, batch_dir=folder / "several"), engine=Coder())
    names = [record.output.partition("(")[0].removeprefix("def add_") for record in run.records]
    write(folder / "several.jsonl", [{"text": f"{TESTS.format(name)}\n###\n"} for name in names])
    command = [MAIN, "verify", run.folder, "--engine", "scripted", "--script_path", folder / "several.jsonl"]
    made = run_process(sys.executable, *command)
    assert made.returncode == 0, made.stderr


def write(path: Path, lines: list[dict]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def generation_series(folder: Path, url: str) -> list[Series]:
    """Return the series of generation with each engine."""
    script = [IO, *scripted(folder / "script.jsonl", Path("out"), TARGET)]
    slots = [IO, "--config", ROOT / "configs" / "quickstart.yaml", "--batch_dir", "out", "--max_new_tokens", 60,
             "--num_instructions_to_generate", 3, "--engine_backend", "slots"]  # fmt: skip
    server = [IO, *scripted(Path(), Path("out"), TARGET), "--engine", "openai", "--api_base", url, "--api_model", "m",
              "--api_endpoint", "completions"]  # fmt: skip
    server = [server[0], *server[5:]]
    verified = [IO, "--engine", "scripted", "--script_path", folder / "coded" / "completions.jsonl", "--batch_dir", "out",
                "--seed_tasks_path", ROOT / "seeds" / "general.jsonl", "--recipe", "chat", "--num_answers", 2, "--horizon", 4,
                "--num_instructions_to_generate", VERIFIED, "--verify", "python"]  # fmt: skip
    return [
        Series("generate --verify", verified, exact=False),
        Series("scripted", script),
        Series("scripted", script, way=MOVED),
        Series("scripted", script, way=COPIED),
        Series("scripted", script, ranks=2, exact=False),
        Series("server", server, exact=False),
        Series("server", server, exact=False, way=MOVED),
        Series("slots", slots, exact=False),
    ]


def command_series(folder: Path) -> list[Series]:
    """Return the series of the other commands that write."""
    done, output = folder / "run", ["--output_path", "out/out.jsonl"]
    records = done / "machine_generated_instructions.jsonl"
    general, code = (ROOT / "seeds" / name for name in ("general.jsonl", "code.jsonl"))

    def run_in(here: Path, name: str = "run") -> None:
        shutil.copytree(folder / name, here / "out")

    def replays(script: str) -> list[object]:
        return ["--engine", "scripted", "--script_path", folder / script]

    commands = {
        "convert": ["convert", general, "--to", "alpaca", "--output_path", "out/out.json"],
        "merge": ["merge", "--sources", f"a={records}", f"b={code}", *output],
        "clean": ["clean", folder / "chats.jsonl", "--output_path", "out/out.json"],
        "lint": ["lint", records, "--fix", *output],
        "decontaminate": ["decontaminate", records, "--benchmarks", code, *output],
        "card": ["card", done, "--output_path", "out"],
        "refilter": ["refilter", done, "out", "--rouge_threshold", "0.5"],
        "select": ["select", folder / "code.jsonl", *output, "--by", "score", "--top", "0.5"],
        "judge": ["judge", "--input_path", records, *output, *replays("judge.jsonl")],
        "score": ["score", folder / "code.jsonl", *output, "--model_name_or_path", ROOT / "demo_model"],
        "report": ["report", done, "--output_path", "out/report.html"],
        "tune": ["tune", *scripted(folder / "script.jsonl", Path("out"))[:8], "--recipe", "few_shot", "--temperature", "1",
                 "--tokens_per_variant", "300"],
        "topics": ["topics", *replays("topics.jsonl"), "--output_path", "out/topics.txt", "--num_topics", "20",
                   "--topics_per_request", "5"],
    }  # fmt: skip
    verify = ["verify", "--input_path", folder / "verified.jsonl", *output, *replays("tests.jsonl")]
    words = ["--no_embeddings", "--self_consistency_rouge_threshold", "0.5", "--num_trials", "1"]
    consistency = ["self-consistency", "--batch_dir", "out", *replays("predicted.jsonl"), *words]
    return [
        Series("post_processing", [ROOT / "self_instruct" / "post_processing.py", records, *output]),
        *(Series(name, [MAIN, *command]) for name, command in commands.items()),
        Series("self-consistency", [MAIN, *consistency], start=run_in),
        Series("verify", [MAIN, *verify], exact=False),
        Series("best-of-n", [MAIN, "best-of-n", "out", "--run_tests"], start=partial(run_in, name="several")),
    ]


def shares(series: list[Series], kills: int) -> list[int]:
    """Divide the kills among the series; one that loads a model or runs programs gets half as many as another."""
    weights = [1 if one.name in HEAVY else 2 for one in series]
    counts = [kills * weight // sum(weights) for weight in weights]
    counts[0] += kills - sum(counts)
    return counts


def missing(options: argparse.Namespace, url: str, stored: list[dict]) -> Iterator[dict]:
    """Perform the kills and power failures that are not stored yet, and yield their results."""
    folder = inputs(options.folder / "inputs")
    series = generation_series(folder, url) + command_series(folder)
    server = Copies()
    for turn in range(1, ROUNDS + 1):  # so that a benchmark that is stopped early has results for every series
        for one, number in zip(series, shares(series, options.kills), strict=True):
            powered = (
                one.ranks == 1 and one.exact and not one.way and one.name not in ("card", "tune", *PROGRAMS)
            )  # pyarrow writes tables, tune runs processes: that is not recorded
            plan = {KILLED: number, **dict.fromkeys(POWER, options.power if powered else 0)}
            for what, count in plan.items():
                about = {"series": one.title, "ranks": one.ranks, "what": what}
                done = sum(about.items() <= row.items() for row in stored)
                if options.only not in one.title or done >= count * turn // ROUNDS:
                    continue
                for kill, left in disasters(one, what, count * turn // ROUNDS - done, options, server, done):
                    yield {**about, **asdict(kill), "left": left}


def disasters(
    one: Series, what: str, number: int, options: argparse.Namespace, server: Copies, done: int
) -> Iterator[tuple[Kill, int]]:
    """Perform kills or power failures of a series, and yield them. If its command cannot continue, print the error."""
    try:
        victim = Victim(options.folder / "work", one, server, seed=options.seed + done)
        yield from victim.kills(number) if what == KILLED else victim.failures(number, POWER[what])
    except AssertionError as error:
        print(f"{one.title}, {what}: {error}", flush=True)


def table(stored: list[dict]) -> str:
    """Format the results by series and in total."""
    keys = {(row["series"], row["ranks"], row["what"]): None for row in stored}
    head = f"{'series':<28} {'ranks':>5}  {'what':<33}"
    lines = [f"{head} {'times':>5} {'points':>6} {'lost':>5} {'doubled':>7}  identical  .part left"]
    for key in [*keys, ("all", "", "")]:
        found = [row for row in stored if key[0] == "all" or (row["series"], row["ranks"], row["what"]) == key]
        same = sum(row["identical"] for row in found)
        shown = "yes" if same == len(found) else f"{same} of {len(found)}"
        sums = [sum(row[name] for row in found) for name in ("lost", "doubled", "left")]
        points = len({(row["series"], row["what"], row["place"]) for row in found})
        name = f"{key[0]:<28} {key[1]:>5}  {key[2]:<33}"
        lines.append(f"{name} {len(found):>5} {points:>6} {sums[0]:>5} {sums[1]:>7}  {shown:<9} {sums[2]:>11}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument(
        "--power", type=int, default=40, help="power failures of each command, for each order of renames"
    )
    parser.add_argument("--folder", type=Path, default=Path("crashes"))
    parser.add_argument("--only", default="", help="run only the series whose name contains this text")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.update(environment())
    options.folder = options.folder.resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    results = options.folder / "results.jsonl"
    stored = rows(results) if results.exists() else []
    begun = time.monotonic()
    with EndpointServer(tasks=True, latency=0.02) as server, results.open("a", encoding="utf-8") as file:
        for row in missing(options, server.url, stored):
            stored.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    print(table(stored))
    print(f"{time.monotonic() - begun:.0f} s")
    return int(any(row["lost"] or row["doubled"] or row["left"] or not row["identical"] for row in stored))


if __name__ == "__main__":
    sys.exit(main())
