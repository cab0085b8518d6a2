"""What a judge is asked: the records of a run or of any instruction file, and by which options. Knows nothing of engines."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from self_instruct.config.option import declarations, taken
from self_instruct.config.parser import DEFAULT, parse_values
from self_instruct.datasets.instruction_file import Task, read_files
from self_instruct.datasets.options import CurationOptions
from self_instruct.datasets.reading import Source
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, RecordFormat
from self_instruct.generation.config import GROUPS, CategoryOptions, Config, PromptOptions, RunOptions, assemble
from self_instruct.novelty.options import NoveltyOptions
from self_instruct.records import Record
from self_instruct.review.inquiry import Inquiry
from self_instruct.review.judgement import EXAMPLES, HEADER, examples, judged_record
from self_instruct.review.options import JudgeOptions
from self_instruct.review.predictions import Trial
from self_instruct.rules.options import FilterOptions
from self_instruct.runs.layout import ACCEPTED, JUDGE_REPORT, JUDGED, JUDGEMENTS, OutputPaths, check_jsonl

FORMAT = INSTRUCTION_INPUT_OUTPUT.with_triggers(instruction="Task", input="Answer", output="Judgement")
_FOR_RUNS = ("stop_words", "num_return_sequences", "report_to")
_GENERATION = tuple(
    name
    for group in GROUPS
    if group not in (RunOptions, PromptOptions, FilterOptions, NoveltyOptions, CategoryOptions)
    for name in declarations((group,))
    if name not in _FOR_RUNS
)
_DECIDING = ("seed", "chat_template", *(name for name in _GENERATION if declarations(GROUPS)[name].metadata["fixed"]))
_NAMES = (
    "batch_dir", "input_path", "output_path", "prompt_path", "seed", "chat_template", *JudgeOptions.__dataclass_fields__,
    *_GENERATION,
)  # fmt: skip
_ASKING = ("model_name_or_path", "engine", "script_path", "api_base")
_LIKE_A_JUDGE = {"temperature": 0.0, "max_new_tokens": 128}
_TOLD = {
    **{name: DEFAULT.format(value) for name, value in _LIKE_A_JUDGE.items()},
    "batch_dir": "directory of the run whose records are judged",
    "output_path": "JSONL file of the records of --input_path that stay; judgements and counts are put beside it",
    "prompt_path": DEFAULT.format("ours"),
}
_DESCRIPTION = (
    "Let a model judge the records of a run or of a file: helpful, correct and clear from 1 to 5, good or bad. What cannot be "
    "read is unknown, and never good. Judgements are stored; without --model_name_or_path, --engine or --api_base nothing is "
    "asked, and --judge_threshold decides by what is stored. Greedy, unless --temperature says otherwise."
)


@dataclass(frozen=True)
class JudgePlan(Inquiry):
    """A launch: the records with the line of each, the places of the files, the least mean with which a record stays.

    A record stands there as often as lines say it: it is asked about once, and its judgement is that of all its lines.
    """

    dataset: Sequence[tuple[Record, bytes]]
    journal: Path
    kept: Path
    report: Path
    threshold: float

    purpose = "judge"
    deciding = _DECIDING

    @property
    def path(self) -> Path:
        """The judgements."""
        return self.journal

    @property
    def format(self) -> RecordFormat:
        """Task, answer, judgement."""
        return FORMAT

    @cached_property
    def records(self) -> dict[str, Record]:
        """What is judged, as it is shown, by id."""
        return {record.id: judged_record(record) for record, _ in self.dataset}

    @cached_property
    def trials(self) -> list[Trial]:
        """One for each record."""
        return [(name, 0) for name in self.records]

    @property
    def asks(self) -> bool:
        """Whether a model was named that is to be asked."""
        return any(name in self.given for name in _ASKING)

    def demonstrations(self) -> list[Record]:
        """Good and bad answers with their judgements."""
        return examples()


def read_plan(argv: Sequence[str]) -> JudgePlan:
    """The plan that a command line asks for. Raises `UserError`."""
    given, _ = parse_values(
        argv,
        _DESCRIPTION,
        (CurationOptions, JudgeOptions, *GROUPS),
        _NAMES,
        ("[RUN_DIR]",),
        _TOLD,
        {"[RUN_DIR]": ["batch_dir"]},
    )
    folder, inputs, output = given.get("batch_dir"), given.get("input_path"), given.get("output_path")
    if bool(folder) == bool(inputs):
        problem = "both are given" if folder else "neither is given"
        raise UserError(
            f"--batch_dir RUN or --input_path FILES: {problem}; give the one whose records are to be judged"
        )
    if inputs and not output:
        raise UserError("--output_path is missing; give the JSONL file for the records that stay")
    if folder and output:
        raise UserError(f"--output_path: with --batch_dir the records that stay go to {JUDGED} in it; leave it out")
    options = taken(JudgeOptions, given)
    header = HEADER
    if "prompt_path" in given:
        from self_instruct.generation.assembly import read_header

        header = read_header(Path(given["prompt_path"]))
    config = _settled(given)
    if folder:
        journal = Path(folder) / JUDGEMENTS
        kept, report, sources = (
            Path(folder) / JUDGED,
            Path(folder) / JUDGE_REPORT,
            [str(Path(folder) / ACCEPTED)],
        )
        if not Path(sources[0]).is_file():
            raise UserError(f"--batch_dir {folder}: holds no {ACCEPTED}; give the directory of a generation run")
    else:
        check_jsonl(str(output), "--output_path")
        places = OutputPaths(Path(output or ""))
        journal, kept, report = places.beside(".judgements.jsonl"), places.kept, places.judge_report
        sources = list(inputs or [])
        for path in map(Path, sources):
            if path == kept or (path.exists() and kept.exists() and path.samefile(kept)):
                raise UserError(f"--input_path {path}: would be replaced by the output; give another --output_path")
    return JudgePlan(config, header, given, _dataset(sources), journal, kept, report, options.judge_threshold)


def _settled(given: Mapping[str, Any]) -> Config:
    known = declarations(GROUPS)
    values = {
        name: value for name, value in given.items() if name in known and name not in ("batch_dir", "prompt_path")
    }
    shown = {"num_prompt_instructions": len(EXAMPLES), "num_prompt_synthetic_instructions": 0}
    return assemble({**_LIKE_A_JUDGE, **shown, **values})


def _dataset(sources: Sequence[str]) -> list[tuple[Record, bytes]]:
    """Every line in order, with its record by the id that the line gives, or one made of its texts. Raises `UserError` for a
    line that cannot be read, and where two different records have one id.
    """
    found, dataset = dict[str, Record](), list[tuple[Record, bytes]]()
    for file in read_files([Source(path) for path in sources]):
        for line in file.lines:
            if not isinstance(line, Task):
                raise UserError(f"{line.place}: {line.problem}; mend the line, or curate the file first")
            texts = (line.record.instruction, line.record.input, line.record.output)
            name = line.name
            if name == line.record.id:  # its place, which other lines may move
                name = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
            record = found.setdefault(name, Record(name, *texts))
            if record != Record(name, *texts):
                raise UserError(
                    f"{line.record.id}: has the id {name}, as another record before it; give each an id of its own, or none"
                )
            dataset.append((record, line.content))
    return dataset
