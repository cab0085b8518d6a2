"""Group requests that share a prompt into jobs, and distribute a response's texts and token counts over them."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from self_instruct.config.thought_tags import thought_tags
from self_instruct.engines.base import Completion, FinishReason, Request, Sampling, Usage, cut_at_stop, timestamp
from self_instruct.engines.server.answers import Answer, Choice
from self_instruct.engines.server.form import Form
from self_instruct.engines.server.reader import estimate_tokens

_numbers = itertools.count()


@dataclass
class Job:
    """Requests sent together, and the number and tokens of their failed attempts. Jobs sort by their first request."""

    requests: list[Request]
    attempts: int = 0
    failed_usage: Usage = Usage(0, 0)
    number: int = field(default_factory=lambda: next(_numbers))

    def __lt__(self, other: "Job") -> bool:
        return (self.requests[0].index, self.number) < (other.requests[0].index, other.number)

    def split(self) -> list["Job"]:
        """Return one job per request; the first carries the tokens of failed attempts."""
        alone = [Job([request], self.attempts) for request in self.requests]
        alone[0].failed_usage = self.failed_usage
        return alone

    def fail(self, reason: str) -> list[Completion]:
        """Return completions without a text, with the reason as their error."""
        created = timestamp()
        found = [Completion(r.index, "", "error", 0, 0, 0, created, reason) for r in self.requests]
        if self.failed_usage != Usage(0, 0):
            found[0] = replace(found[0], usage=self.failed_usage)
        return found


def jobs_of(requests: Iterable[Request], together: bool) -> list[Job]:
    """Group requests into jobs: with `together`, consecutive ones that differ only in index and seed share a job."""
    jobs: list[Job] = []
    for request in requests:
        if together and jobs and _same(jobs[-1].requests[0], request):
            jobs[-1].requests.append(request)
        else:
            jobs.append(Job([request]))
    return jobs


def _same(first: Request, other: Request) -> bool:
    return replace(other, index=first.index, seed=first.seed) == first


def distribute(job: Job, answer: Answer, form: Form, sampling: Sampling) -> tuple[list[Completion], Job | None]:
    """Return a completion for each choice received, and a job with the requests that got none."""
    first = job.requests[0]
    answered, rest = job.requests[: len(answer.choices)], job.requests[len(answer.choices) :]
    choices = answer.choices[: len(answered)]
    read = form.read
    prompt_tokens = estimate_tokens(first.prompt + first.opening)
    lengths = [estimate_tokens(choice.reasoning + choice.text) for choice in choices]
    thoughts = [estimate_tokens(thought_tags().split(choice.text).thought + choice.reasoning) for choice in choices]
    usage = answer.usage
    if usage is None:
        usage = Usage(prompt_tokens, sum(lengths), estimated=True)
    else:
        prompt_tokens = usage.prompt_tokens
        lengths = _shares(usage.completion_tokens, lengths)
    if answer.reasoning_tokens is not None:
        thoughts = _shares(answer.reasoning_tokens, thoughts)
    elif answer.usage is not None:  # tokens up to the limit and no text: the server hides a thought
        thoughts = [
            length if choice.finish_reason == "length" and not choice.text else thought
            for choice, length, thought in zip(choices, lengths, thoughts, strict=True)
        ]
    most, created, found = (first.sampling or sampling).max_new_tokens, timestamp(), []
    for at, (request, choice, length) in enumerate(zip(answered, choices, lengths, strict=True)):
        own = Usage(usage.prompt_tokens if at == 0 else 0, length, usage.estimated)
        text, stopped = cut_at_stop(choice.text if request.raw else read(choice.text, request.opening), request.stop)
        reason = "stop" if stopped and choice.error is None else _reason(choice, length, most)
        found.append(
            Completion(
                request.index, text, reason, prompt_tokens, length, 0, created, choice.error,
                own + job.failed_usage if at == 0 else own, choice.reasoning or None, min(thoughts[at], length) or None,
            )
        )  # fmt: skip
    return found, Job(rest, job.attempts) if rest else None


def _reason(choice: Choice, length: int, most: int) -> FinishReason:
    if choice.finish_reason is not None:
        return choice.finish_reason
    return "length" if length >= most else "stop"


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total into whole numbers proportional to the weights."""
    scale, shares, given = max(1, sum(weights)), [], 0
    seen = 0
    for weight in weights:
        seen += weight
        share = total * seen // scale - given
        shares.append(share)
        given += share
    shares[-1] += total - given
    return shares
