"""Explain why a candidate was accepted or rejected, from the files of its run and the seed file."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from self_instruct.formats import RecordFormat
from self_instruct.report.candidates import Candidate, Run, find, read_run, shortened
from self_instruct.rules.filters import OUTPUT_RULES
from self_instruct.runs.journal import Entry
from self_instruct.runs.layout import JOURNAL

_OPTIONS = {
    "rouge_l": ("rouge_threshold", "rouge_rule", "rouge_tokenizer"),
    "embedding": ("embedding_threshold", "embedding_model_name_or_path", "embedding_reference"),
    "too_short": ("min_instruction_words", "rouge_tokenizer"), "too_long": ("max_instruction_words", "rouge_tokenizer"),
    "starts_with_non_ascii": ("rouge_tokenizer",), "keyword": ("filter_keywords",),
    "opening": ("filter_openings", "keep_programming"), "cut_by_length": ("max_new_tokens",),
    "timeout": ("test_seconds",), "vacuous": ("mutation_score_threshold",), "no_tests": ("num_tests",),
    "broken_code": ("verify",),
    "target_reached": ("num_instructions_to_generate",), "quota_reached": ("num_instructions_to_generate", "categories"),
}  # fmt: skip
_SAMPLING = (
    "model_name_or_path", "api_model", "temperature", "top_p", "top_k", "min_p", "repetition_penalty",
    "max_new_tokens", "stop_words", "seed",
)  # fmt: skip
_PENALTIES = ("presence_penalty", "frequency_penalty")  # not every engine has them


def explain_candidate(folder: Path, id_or_text: str) -> str:
    """Explain one candidate of a run directory. Raises UserError if the text matches none, or several."""
    run = read_run(folder)
    candidate, found_by = find(run, id_or_text)
    return "\n\n".join([*found_by, *explain(run, candidate)])


def explain(run: Run, candidate: Candidate) -> Iterator[str]:
    """Yield the paragraphs of the explanation."""
    record = candidate.record
    yield f"[{record.id}] {candidate.outcome}"
    for name in ("instruction", "input", "output"):
        if text := getattr(record, name):
            yield _part(f"Its {name}:", text)
    yield from _accepted(run, candidate) if candidate.accepted else _rejected(run, candidate)
    yield from _origin(run, candidate)
    options = run.options_of(candidate)
    penalties = options.get("engine") in ("openai", "vllm") or any(options.get(name) for name in _PENALTIES)
    names = (*_SAMPLING, *_PENALTIES) if penalties else _SAMPLING
    stated = [f"{name} {options[name]!r}" for name in names if options.get(name) is not None]
    yield _part("Sampled with:", ", ".join(stated))


def _accepted(run: Run, candidate: Candidate) -> Iterator[str]:
    about, options = candidate.row["provenance"], run.options_of(candidate)
    rules = [
        *(options.get("filter_rules") or ()),
        *(OUTPUT_RULES if options.get("check_outputs") and not about.get("category") else ()),
    ]
    named = f" ({' '.join(rules)})" if rules else ""
    score = about.get("embedding_similarity")
    meaning = f" The most similar one by meaning had a cosine of {score:.3f}." if score is not None else ""
    yield f"It passed all filter rules{named}, and no earlier record was too similar.{meaning}"
    yield from _near(run, about.get("most_similar"), "ROUGE-L F1")
    yield from _tested(about.get("verification"))


def _rejected(run: Run, candidate: Candidate) -> Iterator[str]:
    row, reason = candidate.row, str(candidate.row.get("reason"))
    options = run.options_of(candidate)
    settings = [f"--{name} {options[name]}" for name in _OPTIONS.get(reason, ()) if name in options]
    if settings:
        yield f"Decided by {', '.join(settings)}"
    if reason in ("duplicate", "copies_output"):
        same = "The same as" if reason == "duplicate" else "Its output equals that of"
        yield _part(f"{same} {_named(run, row['detail'])}", _text_of(run, row["detail"]))
    yield from _near(run, row.get("nearest"), "cosine" if reason == "embedding" else "ROUGE-L F1")
    yield from _tested(row.get("verification"))


def _tested(about: Any) -> Iterator[str]:
    """Yield the tests of an answer with code, and what became of them; `about` is its provenance, or None."""
    if not isinstance(about, dict):
        return
    tests = [str(test) for test in about.get("tests") or ()]
    named = f"{len(tests)} test{'s' * (len(tests) != 1)}"
    if about.get("outcome") in ("passed", "vacuous"):
        title = f"Its answer passes {named}, which reject {about.get('killed')} of {about.get('mutants')} mutants"
    else:
        title = f"Its answer was run against {named}" if tests else "The model wrote no usable test"
    title += f" ({about.get('language')}, written in request {about.get('request')})"
    yield _part(f"{title}:", "\n".join(tests)) if tests else f"{title}."


def _near(run: Run, nearest: dict[str, Any] | None, measure: str) -> Iterator[str]:
    if nearest:
        yield _part(
            f"Most similar, {measure} {nearest['score']:.3f}: {_named(run, nearest['id'])}",
            _text_of(run, nearest["id"]),
        )


def _origin(run: Run, candidate: Candidate) -> Iterator[str]:
    plan = candidate.row.get("provenance") or {}
    if run.entries is None:
        yield f"{run.folder} holds no {JOURNAL}; the completion is in the run that this directory was made from."
    elif (entry := run.entries.get(candidate.request)) is None and candidate.row.get("stage") == "generation":
        yield f"The engine failed on request {candidate.request}; the next launch of the run asks it again."
    elif entry is None:
        yield f"{JOURNAL} has no completion of request {candidate.request}; its line was removed."
    else:
        plan = {"seed_ids": entry.seed_ids, "parent_ids": entry.parent_ids}
        yield from _asked_for(entry)
        yield from _written(run.format_of(entry), candidate, entry)
        yield from _answered(run, candidate)
    shown = [*plan.get("seed_ids", ()), *plan.get("parent_ids", ())]
    if shown:
        lines = [f"{_named(run, name)}: {shortened(_text_of(run, name), 90)}" for name in shown]
        yield _part(f"The prompt showed the model {len(shown)} tasks:", "\n".join(lines))


def _asked_for(entry: Entry) -> Iterator[str]:
    if entry.category is not None:
        values = [f"{name} {value!r}" for name, value in entry.variables.items()]
        yield _part(f"Requested from the category {entry.category}, with:", ", ".join(values) or "no variables")


def _answered(run: Run, candidate: Candidate) -> Iterator[str]:
    """Yield the completion of a separate request for the output, if there was one."""
    about = (candidate.row.get("provenance") or {}).get("response") or {}
    request = candidate.row.get("response_request", about.get("request"))
    entry = (run.entries or {}).get(request) if request is not None else None
    if entry is not None:
        ended = f"request {entry.request}, {entry.completion_tokens} tokens, ended by {entry.finish_reason}"
        choice = (candidate.row.get("provenance") or {}).get("choice")
        if isinstance(choice, dict):
            agree = f", on which {choice['agree']} agree" if choice.get("agree") else ""
            yield f"Its output was chosen from {len(choice.get('answers') or ())} answers{agree} (by: {choice.get('by')})."
        yield _part(f"Answered later ({ended}):", entry.answer or entry.turn.thought or str(entry.error or ""))


def _written(format: RecordFormat, candidate: Candidate, entry: Entry) -> Iterator[str]:
    ended = f"request {entry.request}, {entry.completion_tokens} tokens, ended by {entry.finish_reason}"
    if entry.answers is not None and "response_request" not in candidate.row:
        yield _part(f"An answer to the task [{entry.answers}] ({ended}):", entry.answer or str(entry.error or ""))
        return
    position = int(candidate.record.id.rpartition("-")[2])
    blocks = format.parse(entry.answer, entry.number, entry.cut)
    if entry.finish_reason == "error":
        yield f"The engine failed on request {entry.request}: {entry.error}"
    elif entry.without_answer:
        yield _part(f"A thought without an answer ({ended}):", entry.turn.thought or "the server did not return it")
    elif 1 <= position <= len(blocks):
        yield _part(f"Written as block {position} of {len(blocks)} ({ended}):", blocks[position - 1].text)
    else:
        found = f"{ended}, {len(blocks)} blocks"
        yield f"{JOURNAL} holds a different completion than this candidate came from ({found}); launch the run again."


def _named(run: Run, name: str) -> str:
    known = run.candidates.get(name)
    return f"[{name}] {known.outcome if known else 'seed task'}"


def _text_of(run: Run, name: str) -> str:
    if name in run.candidates:
        return run.candidates[name].text
    seed = (run.seeds or {}).get(name)
    return seed.task if seed else "(not available: the seed file was moved or has changed)"


def _part(title: str, text: str) -> str:
    return f"{title}\n{textwrap.indent(text, '    ')}"
