"""Asking a model for one field of records, the last of the format: compose, submit, read what comes back, score it, journal it.

A trial is shown the same demonstrations for every record: records are then compared on equal terms, and an engine that
shares the beginnings of prompts reads the demonstrations once. Other trials are shown others.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from rouge_score.rouge_scorer import RougeScorer

from self_instruct.engines.base import Completion, Engine, EngineLost, Request
from self_instruct.errors import UserError
from self_instruct.formats import SEPARATOR, RecordFormat
from self_instruct.generation.loop import ERRORS_IN_A_ROW
from self_instruct.generation.progress import Progress
from self_instruct.generation.prompts import PromptComposer
from self_instruct.novelty.embedding import Encoder
from self_instruct.novelty.tokens import TOKENIZERS, Tokenizer
from self_instruct.records import Prompt, Record
from self_instruct.review.predictions import ERROR, Prediction, PredictionFile, fingerprint, header_hash
from self_instruct.runs.spending import Spending

UNDER_WAY = 512
TOO_LONG = "prompt_too_long"
_ENCODED_TOGETHER = 512


@dataclass(frozen=True)
class Question:
    """One trial of one record; `index` numbers it among all of a launch, whether they are asked or not."""

    index: int
    record: Record
    trial: int


@dataclass
class Asker:
    """Asks for what is missing. `origin` is what all predictions of the launch have in common; without a scorer they are
    journalled as they are. Seeds follow from the `purpose`.

    `spending` is what answers have taken so far, with the budgets that nothing more is asked beyond. `failed` says that the
    engine broke down, `stopped` why not all was asked.
    """

    composer: PromptComposer
    engine: Engine
    file: PredictionFile
    scorer: "Scorer | None"
    origin: dict[str, Any]
    interrupted: Callable[[], str | None]
    purpose: str = "consistency"
    spending: Spending = field(default_factory=Spending)
    failed: bool = False
    stopped: str | None = None
    _under_way: dict[int, tuple[Question, Prompt]] = field(default_factory=dict)
    _errors: int = 0

    def run(self, questions: Sequence[Question], progress: Progress, before: int) -> None:
        """Asks all questions, or as many as it can; what was answered is journalled in any case. Progress counts from `before`,
        what earlier launches have asked.
        """
        waiting = deque(questions)
        try:
            while (waiting or self._under_way) and self.stopped is None:
                self._submit(waiting)
                if waiting and not self._under_way:
                    self.stopped = self.spending.spent()
                    break
                self._take(self.engine.poll())
                progress.reach(before + len(questions) - len(waiting) - len(self._under_way))
                self.stopped = self.stopped or self.interrupted()
        except EngineLost as error:
            self.failed, self.stopped = True, str(error)
        except UserError:
            self._take_the_rest()
            raise
        if self.stopped is not None:
            self._take_the_rest()

    def _take_the_rest(self) -> None:
        """What is whole by now was paid for, so it is journalled."""
        self.engine.interrupt()
        self._take(self.engine.poll())

    def _submit(self, waiting: deque[Question]) -> None:
        requests, refused = [], []
        while waiting and len(self._under_way) < UNDER_WAY and self.spending.allows(len(self._under_way)):
            question = waiting.popleft()
            prompt = self.composer.compose(question.trial, [], question.record)
            if not self.composer.fits(prompt):
                # The same for every launch, so it is an answer.
                refused.append(self._prediction(question, prompt, Completion(question.index, "", "error", 0, 0)))
                continue
            self._under_way[question.index] = question, prompt
            seed = f"{self.purpose}:{self.composer.seed}:{question.record.id}:{question.trial}"
            stop = stop_texts(self.composer.format, prompt.number)
            requests.append(Request(question.index, prompt.text, prompt.opening, stop, seed))
        if refused:
            self.file.append([replace(item, reason=TOO_LONG) for item in refused])
        self.engine.submit(requests)

    def _take(self, completions: Sequence[Completion]) -> None:
        asked = [(*self._under_way.pop(item.request), item) for item in completions]
        predictions = [self._prediction(*item) for item in asked]
        if self.scorer is not None:
            predictions = self.scorer.score(predictions, [question.record.instruction for question, *_ in asked])
        self.file.append(predictions)
        for prediction in predictions:
            self.spending.count(prediction.usage)
        for item in completions:
            self._errors = self._errors + 1 if item.finish_reason == "error" else 0
            if self._errors >= ERRORS_IN_A_ROW:
                self.failed = True
                self.stopped = f"the last {ERRORS_IN_A_ROW} requests could not be answered: {item.error}"

    def _prediction(self, question: Question, prompt: Prompt, completion: Completion) -> Prediction:
        told, reason = read_last(self.composer.format, prompt.number, question.record, completion)
        answer = asdict(completion)
        del answer["request"]
        return Prediction(
            record=question.record.id, record_sha256=fingerprint(question.record), trial=question.trial,
            prediction=told, reason=reason, rouge_l=None, embedding=None, embedding_model=None, **self.origin,
            header_sha256=header_hash(self.composer.header), prompt_sha256=prompt.sha256,
            seed_ids=prompt.seed_ids, **answer,
        )  # fmt: skip


def stop_texts(format: RecordFormat, number: int) -> tuple[str, ...]:
    """What ends the last field of block `number`: the separator, another block, or the same one told over again."""
    again = tuple("\n" + format.open_block(at).rstrip() for at in (number, number + 1))
    return (f"\n{SEPARATOR}\n", *again)


def read_last(
    format: RecordFormat, number: int, record: Record, completion: Completion
) -> tuple[str | None, str | None]:
    """The last field of the format, as a completion tells it, or None and the reason why there is none."""
    if completion.finish_reason == "error":
        return None, ERROR
    block = format.parse(completion.text, number, completion.finish_reason == "length", record)[0]
    if block.reason:
        return None, block.reason
    told = block.fields[format.fields[-1]]
    return (told, None) if told else (None, f"empty_{format.fields[-1]}")


@dataclass(frozen=True)
class _Words:
    """A tokenizer as `rouge_score` calls it."""

    tokenize: Tokenizer


@dataclass(frozen=True)
class Scorer:
    """Compares what was told with the instructions: ROUGE-L F1 of the words that a tokenizer sees, named as --rouge_tokenizer,
    and, with an encoder, which has a name, the cosine.
    """

    encoder: Encoder | None = None
    name: str | None = None
    tokenizer: str = "rouge"

    @cached_property
    def _rouge(self) -> RougeScorer:
        return RougeScorer(["rougeL"], tokenizer=_Words(TOKENIZERS[self.tokenizer]))

    def score(self, predictions: Sequence[Prediction], instructions: Sequence[str]) -> list[Prediction]:
        """The predictions with their scores, each against the instruction at its place; those without a text as they are."""
        told = [at for at, item in enumerate(predictions) if item.prediction is not None]
        pairs = [(instructions[at], predictions[at].prediction or "") for at in told]
        cosines = _cosines(pairs, self.encoder) if self.encoder else [None] * len(pairs)
        found = list(predictions)
        for at, pair, cosine in zip(told, pairs, cosines, strict=True):
            overlap = self._rouge.score(*pair)["rougeL"].fmeasure
            found[at] = replace(found[at], rouge_l=overlap, embedding=cosine, embedding_model=self.name)
        return found

    def rescore(
        self,
        file: PredictionFile,
        predictions: Sequence[Prediction],
        instructions: dict[str, str],
        interrupted: Callable[[], str | None],
    ) -> str | None:
        """Scores stored predictions anew and journals them; why it ended early, or None."""
        for start in range(0, len(predictions), _ENCODED_TOGETHER):
            if reason := interrupted():
                return reason
            part = predictions[start : start + _ENCODED_TOGETHER]
            file.append(self.score(part, [instructions[item.record] for item in part]))
        return None


def _cosines(pairs: Sequence[tuple[str, str]], encoder: Encoder) -> list[float]:
    """The cosine of each pair's embeddings."""
    if not pairs:
        return []
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    vectors = dict(zip(texts, encoder.encode(texts), strict=True))
    return [float(vectors[first] @ vectors[second]) for first, second in pairs]
