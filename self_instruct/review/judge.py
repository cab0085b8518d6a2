"""The judge: a model scores each record as helpful, correct and clear from 1 to 5, with a verdict of good or bad.

The decision is a function of the stored text and the threshold, so another threshold needs no model. A text that cannot be
parsed gives the verdict unknown, and its record is not kept. With --all_answers, the other answers that a run has stored to a
task are judged too, each as a record with an id of its own; `best-of-n` chooses among them by their means.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from self_instruct.config.option import taken
from self_instruct.datasets.thoughts import after_thought
from self_instruct.errors import UserError
from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, RecordFormat
from self_instruct.generation.choice import several_answers
from self_instruct.generation.prompts import read_header
from self_instruct.records import Record, is_blank
from self_instruct.review.ask import ReviewResult, unread_lines
from self_instruct.review.dataset import DatasetReviewer, model_config, read_sources
from self_instruct.review.options import JUDGE_DECIDING, JUDGE_SAMPLING, JudgeOptions
from self_instruct.review.predictions import ERROR, Prediction, Trial
from self_instruct.runs.layout import JUDGE_REPORT, JUDGED, JUDGEMENTS

FORMAT = INSTRUCTION_INPUT_OUTPUT.with_triggers(instruction="Task", input="Answer", output="Judgement")
CRITERIA = ("helpful", "correct", "clear")
VERDICTS = ("good", "bad", "unknown")
_NOT_JUDGED = "not_judged"
LEVELS = tuple(1 + half / 2 for half in range(9))
_SCORE = re.compile(rf"\b({'|'.join(CRITERIA)})\b[*_`\"']*\s*[:=][\s*_`\"']*([^,;\n]*)", re.IGNORECASE)
_VERDICT = re.compile(r"\bverdict\b[*_`\"']*\s*[:=][\s*_`\"']*([^\n]*)", re.IGNORECASE)
# A remark may follow, but not the rest of another number or of a range: "4.5", "4/10", "4-5", "4 or 5".
_POINTS = re.compile(
    r"([1-5])(?:\.0+)?(?:\s*(?:/|out of)\s*5\b)?[*_`\"']*(?![\w%]|\s*(?:/|of\b|out of\b|to\b|or\b|[-–—~]\s*\d|[.,]?\d))",
    re.IGNORECASE,
)
_SAID = re.compile(r"(good|bad)[*_`\"']*(?=\s*(?:[.,;:!(\[{}\])–—-]|\Z))(?!\s*[/|])", re.IGNORECASE)

HEADER = (
    "Below are tasks, each with an answer and a strict judgement of that answer. A judgement has three scores from 1 (worst) "
    "to 5 (best), helpful: the answer does what the task asks, all of it; correct: what it says is true, and its code or its "
    "sums are right; clear: it can be understood at once. The verdict is good only if the pair could be shown to a model as an "
    "example to learn from, else bad. An answer that refuses, is cut off or has little to do with the task is bad, and so is "
    "any answer to a task that makes no sense."
)
"""The header of the judge's prompt."""

PATTERN = ", ".join(f"{name}: [1-5]" for name in CRITERIA) + "\nverdict: (?:good|bad)"
"""The pattern of a judgement, as the demonstrations show it."""

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {**{name: {"enum": [1, 2, 3, 4, 5]} for name in CRITERIA}, "verdict": {"enum": ["good", "bad"]}},
        "required": [*CRITERIA, "verdict"],
        "additionalProperties": False,
    }
)
"""The JSON schema of a judgement, for servers that do not know patterns."""

EXAMPLES = (
    ("Name the largest planet of the solar system and say in one sentence why it has bands.",
     "Jupiter. Its bands are clouds at different heights that strong winds draw out along the parallels.",
     (5, 5, 5, "good")),
    ("Write a Python function that returns the average of a list of numbers.",
     "def average(numbers):\n    return sum(numbers)",
     (2, 1, 4, "bad")),
    ("Translate into French: The shop opens at nine.",
     "Le magasin ouvre à neuf heures.",
     (5, 5, 5, "good")),
    ("Give three tips for keeping basil alive indoors.",
     "As an AI language model, I cannot keep plants, but there are many",
     (1, 2, 2, "bad")),
    ("How many minutes are there in two and a half hours?",
     "2.5 * 60 = 160, so there are 160 minutes.",
     (3, 1, 5, "bad")),
    ("Suggest a title for a story about a lighthouse keeper who is afraid of the dark.",
     "The Keeper of Small Lights",
     (5, 5, 5, "good")),
)  # fmt: skip
"""The demonstrations of the judge: tasks, answers and judgements, good and bad in turn."""


@dataclass(frozen=True)
class Judgement:
    """The scores of a record by criterion, its verdict, and the reason if the verdict is unknown."""

    verdict: str
    scores: dict[str, int]
    reason: str | None = None

    @property
    def mean(self) -> float | None:
        """The mean score; None if the verdict is unknown."""
        return fmean(self.scores.values()) if self.scores else None

    def passes(self, threshold: float) -> bool:
        """Return whether the verdict is good and the mean at least the threshold."""
        return self.verdict == "good" and self.mean is not None and self.mean >= threshold


def judged_record(record: Record, written: str = "") -> Record:
    """Return a record in the judge's format: task, answer, and the judgement that the model writes."""
    return Record(record.id, record.task, record.output, written)


def examples() -> list[Record]:
    """Return the demonstrations of the judge."""
    found = []
    for number, (task, answer, (helpful, correct, clear, verdict)) in enumerate(EXAMPLES, start=1):
        written = f"helpful: {helpful}, correct: {correct}, clear: {clear}\nverdict: {verdict}"
        found.append(judged_record(Record(f"example-{number}", task, "", answer), written))
    return found


def read_judgement(prediction: Prediction | None) -> Judgement:
    """Parse a prediction. It needs each score from 1 to 5 and a verdict of good or bad, without contradictions."""
    if prediction is None:
        return Judgement("unknown", {}, _NOT_JUDGED)
    if prediction.prediction is None:
        return Judgement("unknown", {}, prediction.reason or "error")
    text = after_thought(prediction.prediction)
    if text is None:
        return Judgement("unknown", {}, "thought_not_closed")
    scores = _scores(text)
    if scores is None:
        return Judgement("unknown", {}, "no_scores")
    said = {found[1].lower() if (found := _SAID.match(words)) else "" for words in _VERDICT.findall(text)}
    if len(said) != 1 or "" in said:
        return Judgement("unknown", {}, "no_verdict")
    return Judgement(said.pop(), scores)


def _scores(text: str) -> dict[str, int] | None:
    """Return the score of each criterion, or None if one is missing, unreadable or stated with two values."""
    scores: dict[str, int] = {}
    for name, written in _SCORE.findall(text):
        points = _POINTS.match(written.strip())
        if points is None or scores.setdefault(name.lower(), int(points[1])) != int(points[1]):
            return None
    return {name: scores[name] for name in CRITERIA} if set(scores) == set(CRITERIA) else None


def statistics(judgements: Sequence[Judgement], threshold: float) -> dict[str, Any]:
    """Return the counts of the report: verdicts, reasons for unknown ones, scores, and records kept at each threshold."""
    return {
        "records": len(judgements),
        "kept": sum(item.passes(threshold) for item in judgements),
        "threshold": threshold,
        "verdicts": _counted(VERDICTS, (item.verdict for item in judgements)),
        "unknown": dict(sorted(Counter(item.reason for item in judgements if item.reason is not None).items())),
        "scores": {
            name: _counted(range(1, 6), (item.scores[name] for item in judgements if item.scores)) for name in CRITERIA
        },
        "means": _counted(LEVELS[:-1], (_level(item.mean) for item in judgements if item.mean is not None)),
        "kept_at": [
            {"threshold": level, "records": sum(item.passes(level) for item in judgements)} for level in LEVELS
        ],
    }


def table(counts: dict[str, Any]) -> str:
    """Format the counts for printing."""
    lines = [
        f"{counts['kept']:,} of {counts['records']:,} records were kept: judged good, with a mean of at least "
        f"{counts['threshold']:g}.", "",
        *(f"  {name:<10}{number:>10,}" for name, number in counts["verdicts"].items()),
        *(f"    {name:<18}{number:>10,}" for name, number in counts["unknown"].items()),
        "", f"{'score':<10}{''.join(f'{points:>10}' for points in range(1, 6))}",
        *(f"{name:<10}{''.join(f'{number:>10,}' for number in found.values())}" for name, found in counts["scores"].items()),
        "", "mean of the scores",
    ]  # fmt: skip
    most = max(counts["means"].values(), default=0) or 1
    for level, number in counts["means"].items():
        upper = "5.0" if float(level) == LEVELS[-2] else f"{float(level) + 0.5:.1f}"
        lines.append(f"  {float(level):.1f}-{upper}{number:>10,} {'#' * -(-40 * number // most)}")
    lines += ["", f"{'kept at threshold':<18}{'records':>10}"]
    return "\n".join([*lines, *(f"  {row['threshold']:<16.1f}{row['records']:>10,}" for row in counts["kept_at"])])


def _is_half(record: Record) -> bool:
    """Return whether a record in the judge's format has no visible task or answer, so that no judge need be asked."""
    return is_blank(record.instruction) or is_blank(record.input)


def _level(mean: float) -> float:
    """Return the lower bound of the histogram bin of a mean; bins are half a point wide, and the last one includes 5."""
    return min(LEVELS[-2], int(mean * 2) / 2)


def _counted(names: Iterable[Any], found: Iterable[Any]) -> dict[str, int]:
    counts = Counter(found)
    return {str(name): counts[name] for name in names}


@dataclass
class Judge(DatasetReviewer):
    """Judges the records of a dataset, and keeps those with a mean score of at least `threshold`.

    A record on several lines is judged once, and the judgement applies to all of them.
    """

    threshold: float
    all_answers: bool

    purpose = "judge"
    deciding = JUDGE_DECIDING
    answers = "records are judged"
    answer_noun = "judgements"
    captions = ("the kept records, unchanged", "every judgement as written, with its record's id")
    pattern = PATTERN
    schema = SCHEMA

    @property
    def format(self) -> RecordFormat:
        """Task, answer, judgement."""
        return FORMAT

    @cached_property
    def records(self) -> dict[str, Record]:
        """The records and, after each, its other answers in the judge's format, by id."""
        found = dict[str, Record]()
        for record, _ in self.dataset:
            found[record.id] = judged_record(record)
            found.update((item.id, item) for item in self.choices.get(record.id, ()))
        return found

    @cached_property
    def choices(self) -> dict[str, list[Record]]:
        """All answers to each record whose choice is open, in the judge's format; empty without --all_answers.

        Equal answers share an id, so they are judged once. The output of the record has the record's id.
        """
        found = dict[str, list[Record]]()
        for record, line in self.dataset if self.all_answers else ():
            item = several_answers(record, json.loads(line))
            if item is None or not item.is_open:
                continue
            ids, answers = {record.output: record.id}, [(request, text.strip()) for request, text in item.answers]
            for request, output in answers:
                ids.setdefault(output, f"{record.id}:{request}")
            found[record.id] = [judged_record(replace(record, id=ids[text], output=text)) for _, text in answers]
        return found

    @cached_property
    def trials(self) -> list[Trial]:
        """One trial for each record that has a task and an answer."""
        return [(name, 0) for name, record in self.records.items() if not _is_half(record)]

    def demonstrations(self) -> list[Record]:
        """Good and bad answers with their judgements."""
        return examples()

    def check(self, found: Mapping[Trial, Prediction]) -> None:
        """Check the stored judgements, and that --all_answers has answers to judge."""
        if self.all_answers and not self.choices:
            raise UserError("--all_answers: no record has several answers with an open choice; leave the option out")
        super().check(found)

    def judgements(self, current: Mapping[str, Prediction | None]) -> dict[str, Judgement]:
        """Parse the current judgements, by id of the record or answer."""
        return {
            name: Judgement("unknown", {}, "nothing_to_judge")
            if _is_half(self.records[name])
            else read_judgement(item)
            for name, item in current.items()
        }

    def means(self, found: Mapping[Trial, Prediction]) -> dict[str, list[float | None]]:
        """Return the mean scores of the answers to each record of which all answers are judged.

        The mean is None where the verdict is unknown.
        """
        judgements = self.judgements(self.current(found))
        choices = {name: [judgements[item.id] for item in answers] for name, answers in self.choices.items()}
        return {
            name: [item.mean for item in answers]
            for name, answers in choices.items()
            if not any(item.reason in (_NOT_JUDGED, ERROR) for item in answers)
        }

    def decide(self, found: Mapping[Trial, Prediction]) -> ReviewResult:
        """Keep the records with the verdict good and a mean of at least the threshold."""
        current = self.current(found)
        judgements = self.judgements(current)
        kept = [line + b"\n" for record, line in self.dataset if judgements[record.id].passes(self.threshold)]
        judges = {(item.model, item.model_revision) for item in current.values() if item is not None}
        counts = statistics([judgements[record.id] for record, _ in self.dataset], self.threshold)
        names = {record.id for record, _ in self.dataset}
        repeated = counts["repeated"] = len(self.dataset) - len(names)
        counts["judges"] = [{"model": model, "model_revision": revision} for model, revision in sorted(judges)]
        counts["inputs"] = [{"path": path} for path in self.inputs]
        counts["options"] = {"judge_threshold": self.threshold, **self.given_options}
        note = ["", f"{repeated:,} records repeat an earlier one's texts and share its judgement."] if repeated else []
        if self.all_answers:
            others = _counted(VERDICTS, (item.verdict for name, item in judgements.items() if name not in names))
            counts["other_answers"] = others
            shown = ", ".join(f"{number:,} {verdict}" for verdict, number in others.items())
            note += ["", f"{sum(others.values()):,} other answers to {len(self.choices):,} of the records: {shown}."]
            note += [f"`self-instruct best-of-n {self.kept_path.parent} --judged` makes the best answers the outputs."]
        answers = {name: item for name, item in current.items() if item is not None}
        unread = [
            (item, judgements[name].reason or "") for name, item in answers.items() if not judgements[name].scores
        ]
        lines = unread_lines("judgement", unread, len(answers))
        if unread and len(unread) == len(answers):
            return ReviewResult(kept, counts, [*lines, *note, ""], None)
        option = ("judge_threshold", 3.0 if self.threshold == 4 else 4.0)
        return ReviewResult(kept, counts, [table(counts), *note, *(["", *lines] if lines else []), ""], option)


def judge_of(given: Mapping[str, Any]) -> Judge:
    """Return the judge for the given options. Raises UserError for a wrong option, and for records that cannot be read."""
    header = HEADER
    if "prompt_path" in given:
        header = read_header(Path(given["prompt_path"]))
    config = model_config(given, JUDGE_SAMPLING, len(EXAMPLES))
    names, endings = (JUDGEMENTS, JUDGED, JUDGE_REPORT), (".judgements.jsonl", f".{JUDGE_REPORT}")
    sources, options = read_sources(given, "judge", names, endings), taken(JudgeOptions, given)
    if options.all_answers and "batch_dir" not in given:
        raise UserError("--all_answers needs the directory of a run; give --batch_dir instead of --input_path")
    return Judge(config, header, given, *sources, options.judge_threshold, options.all_answers)
