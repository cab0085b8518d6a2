"""Curate files in many tasks, which datatrove runs on this machine, as jobs of Slurm or on a Ray cluster.

Three steps follow each other: `filter` reads and filters a share of the rows, `compare` finds the near pairs among the texts
that have certain words in their prefix (novelty/partition.py), and `decide`, one task, keeps rows in order and writes.
datatrove marks the tasks that have ended, so the same command again runs only the others. OUT.tasks/ holds its logs, and
until the end the rows, words and pairs.
"""

import errno
import json
import os
import shlex
import shutil
import subprocess
import sys
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import chain, cycle, islice
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from self_instruct import __version__
from self_instruct.datasets.curate import CurateJob, Material, report_of, warn_of_untokenized
from self_instruct.datasets.curate_files import CurateCounts, CurateStep, Decided, InputFile
from self_instruct.datasets.instruction_file import Line, Task, tasks_of
from self_instruct.datasets.pipeline import open_pipeline
from self_instruct.datasets.reading import Reader, open_source, open_sources
from self_instruct.datasets.rows import Row, Unreadable
from self_instruct.errors import UserError, install
from self_instruct.novelty.kernels.sequences import processors
from self_instruct.novelty.partition import PAIR, keep_first, near_pairs, part_of, prefix
from self_instruct.novelty.rules import highest_allowed
from self_instruct.novelty.tokens import TOKENIZERS
from self_instruct.records import Drop, Nearest, json_line
from self_instruct.rules.build import reasons_of_rules
from self_instruct.rules.filters import OF_EARLIER_RECORDS
from self_instruct.runs.files import put
from self_instruct.runs.layout import PIPE
from self_instruct.runs.tally import Tally

_ROW_BITS = 40  # the low bits of a key are the number of the row, the others the number of the file
_SETTINGS, _JOBS, _DONE = "settings.json", "jobs.json", "done.json"


@dataclass(frozen=True)
class Work:
    """What each task knows: the job, the folder and number of tasks, the optional columns that any input needs, and how often
    words are in a sample of the rows.
    """

    job: CurateJob
    folder: Path
    tasks: int
    columns: set[str]
    frequent: Mapping[str, int]

    @property
    def parts(self) -> int:
        """The number of shares of each file. Row r belongs to share r modulo this number."""
        return -(-self.tasks // len(self.job.inputs))

    @property
    def limit(self) -> float:
        """The highest allowed ROUGE-L F1."""
        return highest_allowed(self.job.novelty.rouge_threshold, self.job.novelty.rouge_rule)

    def rows(self, file: int, part: int) -> Path:
        """The file with the rows of a share, which begins with an `_About`."""
        return self.folder / "rows" / f"{file:05}-{part:05}.jsonl"

    def words(self, part: int) -> Path:
        """The folder with the texts that a task compares."""
        return self.folder / "words" / f"{part:05}"

    def pairs(self, part: int) -> Path:
        """The file of the near pairs that a task has found."""
        return self.folder / "pairs" / f"{part:05}.pairs"


@dataclass(frozen=True)
class _About:
    """Facts about a file that a share has found; the repairs are those of the whole file in share 0."""

    has_output: bool
    untokenized: int
    repairs: Mapping[str, int]
    repaired: dict[str, list[str]]


class _CurateTask(PipelineStep):
    type = "curate"

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        """Do a task of a step, and measure the time."""
        with self.track_time("task"):
            self.work(rank, world_size)

    @abstractmethod
    def work(self, rank: int, world_size: int) -> None:
        """Do task `rank` of `world_size`."""


class FilterRows(_CurateTask):
    """Read and filter a share of the rows; write them with their drops, and the words of the others for `ComparePart`."""

    name = "filter"

    def work(self, rank: int, world_size: int) -> None:
        """Do the shares of a task."""
        work = self._work
        shares = [(file, part) for file in range(len(work.job.inputs)) for part in range(work.parts)]
        for file, part in shares[rank::world_size]:
            material = Material(work.job)
            texts = list(_texts_of_share(work, file, part, material))
            read = material.files[0]
            about = _About(read.has_output, material.untokenized, dict(read.reader.repairs), read.reader.repaired)
            path = work.rows(file, part)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as output:
                output.write(json_line(asdict(about)))
                for line in read.lines:
                    output.write(_dumped(line, material.drops.get(line.place), material.evidence.get(line.place)))
            self._write_words(file, part, material, texts)
            self.stat_update("rows", value=len(read.lines))
            self.stat_update("passed", value=len(material.passed))

    def _write_words(self, file: int, part: int, material: Material, texts: Sequence[str]) -> None:
        """Write, for each part of the comparison, a line for each text: key, items of its prefix as place:position, words."""
        work, lines = self._work, defaultdict[int, list[str]](list)
        tokens = TOKENIZERS[work.job.novelty.rouge_tokenizer]
        lines_of_file = enumerate(material.files[0].lines)
        for passed, text in zip(material.passed, texts, strict=True):
            at = next(at for at, line in lines_of_file if line is passed)
            words, items = tokens(text), defaultdict[int, list[str]](list)
            for place, position in enumerate(prefix(words, work.limit, work.frequent)):
                items[part_of(words[position], work.tasks)].append(f"{place}:{position}")
            key = file << _ROW_BITS | at * work.parts + part
            for other, chosen in items.items():
                lines[other].append(f"{key}\t{' '.join(chosen)}\t{' '.join(words)}\n")
        for other, found in lines.items():
            folder = work.words(other)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{file:05}-{part:05}.tsv").write_bytes("".join(found).encode("utf-8", "surrogatepass"))


class ComparePart(_CurateTask):
    """Find the near pairs among the texts with certain words in their prefix."""

    name = "compare"

    def work(self, rank: int, world_size: int) -> None:
        """Do one part."""
        found = near_pairs(_texts(self._work.words(rank)), self._work.limit)
        path = self._work.pairs(rank)
        path.parent.mkdir(parents=True, exist_ok=True)
        found.tofile(path)
        self.stat_update("near pairs", value=len(found))


class Decide(_CurateTask):
    """Keep rows in order, and write the files of a curation."""

    name = "decide"

    def work(self, rank: int, world_size: int) -> None:
        """Decide on all rows, and remove what the other steps have written."""
        work, job = self._work, self._work.job
        if (work.folder / _DONE).exists():
            return
        counts = CurateCounts(reasons_of_rules(job.filter))
        near, step, files = _Novelty(work), CurateStep(counts), list[InputFile]()
        with open_pipeline(job.inputs, str(job.outputs.kept), job.option) as pipeline:
            for at, reader in enumerate(pipeline.readers):
                shares = [_loaded(work.rows(at, part)) for part in range(work.parts)]
                abouts = [_About(**next(share)) for share in shares]
                first = replace(reader, repairs=Counter(abouts[0].repairs), repaired=abouts[0].repaired)
                files.append(InputFile(first, [], any(about.has_output for about in abouts)))
                counts.untokenized += sum(about.untokenized for about in abouts)
                counts.shares.append(pipeline.run(near.decided(at, _in_turn(shares)), step))
            pipeline.report = report_of(job, counts, files)
        put(work.folder / _DONE, json_line(_dumped_counts(counts)))
        for name in ("rows", "words", "pairs"):
            shutil.rmtree(work.folder / name, ignore_errors=True)


class _Novelty:
    """The drops of near texts, and the rows for which they are dropped."""

    def __init__(self, work: Work) -> None:
        self._drops = keep_first(np.fromfile(work.pairs(part), PAIR) for part in range(work.tasks))
        self._named = {match.position for match in self._drops.values()}
        self._causes = dict[int, tuple[int, Line]]()

    def decided(self, file: int, rows: Iterator[Any]) -> Iterator[Decided | Unreadable]:
        """Yield the rows of a file; call it for the files in order."""
        for at, (line, drop, match) in enumerate(map(_restored, rows)):
            if isinstance(line, Unreadable):
                yield line
                continue
            key = file << _ROW_BITS | at
            if key in self._named:
                self._causes[key] = file, line
            near = self._drops.get(key)
            if near is None:
                yield Decided(line, file, drop, None, match)
            else:
                cause = self._causes[near.position]
                nearest = Nearest(cause[1].place, near.score)
                yield Decided(line, file, Drop("novelty", "rouge_l", nearest=nearest), cause)


def curate_in_tasks(job: CurateJob, executor: str, tasks: int, sbatch: Mapping[str, str]) -> CurateCounts | list[str]:
    """Curate in many tasks, and return the counts; while Slurm has tasks to run, return the numbers of its jobs.

    Raises UserError for options that need all rows in one process.
    """
    _check(job, executor)
    folder = Path(os.path.abspath(job.outputs.beside(".tasks")))
    if waiting := _in_queue(folder):
        return waiting
    _prepare(folder, job, tasks)
    readers = open_sources(job.inputs, job.option)
    columns = set[str]().union(*(reader.columns for reader in readers))
    work = Work(job, folder, tasks, columns, _frequent(job, readers, columns))
    chained = list[Any]()
    for step, number in ((FilterRows(work), tasks), (ComparePart(work), tasks), (Decide(work), 1)):
        about: dict[str, Any] = {"logging_dir": str(folder / step.name)}
        chained.append(
            _SlurmExecutor(step, number, sbatch, depends=chained[-1] if chained else None, **about)
            if executor == "slurm"
            else {"local": _LocalExecutor, "ray": _RayExecutor}[executor]([step], number, **about)
        )
    try:
        for one in (
            chained[-1:] if executor == "slurm" else chained
        ):  # a Slurm job waits for the one that it depends on
            one.run()
    except subprocess.CalledProcessError as error:
        raise UserError(f"{error.cmd[0]} failed, with the message above; correct --sbatch") from None
    finally:
        ids = [getattr(one, "job_id", None) for one in chained]
        jobs = [str(job_id) for job_id in ids if job_id not in (None, -1)]
        (folder / _JOBS).write_text(json.dumps(jobs), encoding="utf-8")
    done = folder / _DONE
    if not done.exists():
        return jobs
    counts = _restored_counts(json.loads(done.read_bytes()))
    warn_of_untokenized(counts)
    return counts


def _check(job: CurateJob, executor: str) -> None:
    where = f"--executor {executor}"
    if job.novelty.embedding_threshold is not None:
        raise UserError(
            f"{where} compares by words only; leave out --embedding_threshold, and curate the output with it in one process"
        )
    ordered = [name for name in reasons_of_rules(job.filter) if name in OF_EARLIER_RECORDS]
    if ordered:
        raise UserError(
            f"{where}: the rule {ordered[0]} compares a row with all earlier ones, but a task reads only a share; leave "
            "it out of --filter_rules"
        )
    if any(source.path == PIPE for source in job.inputs):
        raise UserError(f"{where}: every task opens the input, so it cannot be a pipe; give the path of a file")
    if executor == "ray" and not find_spec("ray"):
        raise UserError(f"{where} needs the package ray: {install('ray')}")
    if executor == "slurm" and not shutil.which("sbatch"):
        raise UserError(f"{where}: there is no command sbatch here; run this on a login node of the cluster")


def _prepare(folder: Path, job: CurateJob, tasks: int) -> None:
    """Make the folder of the work, and empty it unless it is of the same work."""
    stats = [(source.path, os.stat(source.path)) for source in job.inputs if os.path.exists(source.path)]
    settings = json.dumps(
        {
            "version": __version__, "inputs": [[path, stat.st_size, stat.st_mtime_ns] for path, stat in stats], "tasks": tasks,
            "options": [asdict(source) for source in job.inputs] + [job.compare, asdict(job.filter), asdict(job.novelty)],
        }
    )  # fmt: skip
    path = folder / _SETTINGS
    if path.exists() and path.read_text(encoding="utf-8") == settings:
        if job.outputs.kept.exists() or not (folder / _DONE).exists():
            return
    if folder.exists() and not path.exists():
        raise UserError(
            f"{folder}: is needed for the tasks, but exists and is not of an earlier curation; move it away"
        )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path.write_text(settings, encoding="utf-8")


class _LocalExecutor(LocalPipelineExecutor):
    """Run tasks in processes of this machine. datatrove's own pool would wait forever for a process that was killed."""

    def run(self) -> None:
        """Run the tasks that have not ended."""
        tasks = self.get_incomplete_ranks()
        try:
            with ProcessPoolExecutor(min(self.tasks, processors()), get_context("forkserver")) as pool:
                self._run_all(pool, tasks)
        except BrokenProcessPool:
            why = "the process of a task was killed, perhaps for lack of memory, which more --tasks need less of"
            raise ChildProcessError(errno.ECHILD, why) from None

    def _run_all(self, pool: ProcessPoolExecutor, tasks: list[int]) -> None:
        try:
            list(pool.map(self._run_for_rank, tasks, tasks))
        except BaseException:
            for process in active_children():  # a pool ends after its running tasks, which may take hours
                process.kill()
            raise


class _RayExecutor(RayPipelineExecutor):
    """Run tasks on the Ray cluster that RAY_ADDRESS names or that runs here, or else in processes of this machine.

    Each is a Ray task, which Ray runs again if its process was killed.
    """

    def run(self) -> None:
        """Run the tasks that have not ended."""
        import ray

        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
        own, work = ray.put(self), ray.remote(_run_task)
        try:
            ray.get([work.remote(own, task) for task in self.get_incomplete_ranks()])
        except ray.exceptions.RayError as error:
            why = f"a task failed on Ray: {str(error).strip().splitlines()[-1][:300]}"
            raise ChildProcessError(errno.ECHILD, why) from None


def _run_task(executor: _RayExecutor, task: int) -> None:
    executor._run_for_rank(task, task)


class _SlurmExecutor(SlurmPipelineExecutor):
    """Submit tasks with the given options of sbatch, and leave the others to the cluster."""

    def __init__(self, step: PipelineStep, tasks: int, sbatch: Mapping[str, str], **more: Any) -> None:
        # A step whose tasks failed leaves no job waiting for it.
        super().__init__(
            [step], tasks, time="", partition="", qos=None, job_name=f"curate-{step.name}",
            sbatch_args={"kill-on-invalid-dep": "yes", **sbatch},
            env_command=f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH", **more,
        )  # fmt: skip

    def get_launch_file_contents(self, sbatch_args: dict[str, Any], run_script: str) -> str:
        """Return the job script, without datatrove's own choice of time, partition and memory."""
        chosen = {"time", "partition", "mem-per-cpu"} - set(self._sbatch_args)
        left = {name: value for name, value in sbatch_args.items() if name not in chosen}
        return str(super().get_launch_file_contents(left, run_script))


def _in_queue(folder: Path) -> list[str]:
    """Return the jobs of an earlier call that have not ended."""
    path = folder / _JOBS
    jobs: list[str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    if not jobs:
        return []
    queue = subprocess.run(
        ["squeue", "--me", "--noheader", "--format=%F"], check=False, stdout=subprocess.PIPE, text=True
    )
    if queue.returncode:
        raise UserError(
            f"squeue failed, with the message above, so jobs of an earlier call may still run: {', '.join(jobs)}"
        )
    return [job for job in jobs if job in queue.stdout.split()]


def _frequent(job: CurateJob, readers: Sequence[Reader], columns: set[str]) -> dict[str, int]:
    """Count the words of the rows that were read to detect the formats."""
    counts, tokens = Counter[str](), TOKENIZERS[job.novelty.rouge_tokenizer]
    for reader in readers:
        head = replace(reader, container=replace(reader.container, rows=iter(())))
        for task in tasks_of(head, columns):
            if isinstance(task, Task):
                counts.update(tokens(task.compared(job.compare)))
    return dict(counts)  # datatrove writes its steps as JSON, which fails for a Counter


def _texts_of_share(work: Work, file: int, part: int, material: Material) -> Iterator[str]:
    """Read a share of a file's rows, and yield the texts to compare. Outputs are expected if any row of the file has one."""
    job = work.job

    def has_output() -> bool:
        rows = open_source(job.inputs[file], job.option).rows() if work.parts > 1 else ()
        return any(not isinstance(row, Unreadable) and bool(row[1].output) for row in rows)

    reader = open_source(job.inputs[file], job.option)
    return material.texts(_share(reader, part, work.parts), work.columns, has_output)


def _share(reader: Reader, part: int, parts: int) -> Reader:
    """Return a reader of every `parts`-th row. Share 0 counts the repairs of all rows."""

    def rows(everything: Iterator[Row | Unreadable]) -> Iterator[Row | Unreadable]:
        for at, row in enumerate(everything):
            if at % parts == part:
                yield row
            elif part == 0 and isinstance(row, Row):
                reader.count(row)

    mine = rows(chain(reader.first, reader.container.rows))
    return replace(reader, first=[], container=replace(reader.container, rows=mine))


def _dumped(line: Line | Unreadable, drop: Drop | None, match: Mapping[str, Any] | None) -> bytes:
    """Return a row, without its texts, as a JSON line."""
    if isinstance(line, Unreadable):
        return json_line({"unreadable": asdict(line)})
    row = {"id": line.place, "name": line.name, "content": line.content.decode("latin-1")}
    return json_line({**row, "drop": asdict(drop) if drop else None, "match": match})


def _restored(row: dict[str, Any]) -> tuple[Line | Unreadable, Drop | None, Mapping[str, Any] | None]:
    """Return the row that `_dumped` wrote."""
    if "unreadable" in row:
        return Unreadable(**row["unreadable"]), None, None
    line, drop = Line(row["id"], row["name"], row["content"].encode("latin-1")), row["drop"]
    if drop is not None:
        drop = Drop(**{**drop, "nearest": Nearest(**drop["nearest"]) if drop["nearest"] else None})
    return line, drop, row["match"]


def _dumped_counts(counts: CurateCounts) -> dict[str, Any]:
    return {
        **asdict(counts), "overlap": [[*pair, number] for pair, number in counts.overlap.items()],
        "shares": [[share.kept, [[*key, number] for key, number in share.drops.items()]] for share in counts.shares],
    }  # fmt: skip


def _restored_counts(content: dict[str, Any]) -> CurateCounts:
    shares = [Tally(kept, Counter({(a, b): number for a, b, number in drops})) for kept, drops in content["shares"]]
    overlap = Counter({(a, b): number for a, b, number in content["overlap"]})
    rules = {name: tuple(reasons) for name, reasons in content["rules"].items()}
    return CurateCounts(**{**content, "rules": rules, "shares": shares, "overlap": overlap})


def _texts(folder: Path) -> Iterator[tuple[int, list[tuple[int, int]], list[str]]]:
    """Yield the texts that `FilterRows` wrote for a part."""
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as lines:
            for line in lines:
                key, items, words = line.rstrip("\n").split("\t")
                chosen = [
                    (int(place), int(position))
                    for place, _, position in (item.partition(":") for item in items.split())
                ]
                yield int(key), chosen, words.split(" ")


def _loaded(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines."""
    with path.open("rb") as file:
        yield from map(json.loads, file)


def _in_turn(shares: Sequence[Iterator[Any]]) -> Iterator[Any]:
    """Yield the rows of a file from its shares in order."""
    for share in cycle(shares):
        for row in islice(share, 1):
            yield row
            break
        else:
            return
