"""Read preferences: a better and a worse answer to one question, or an answer with a verdict. The better answer is the output,
the worse one is the field `rejected`; a row whose only answer is bad has no output. A bad row raises `LineError`.
"""

import math
from typing import Any, TypeGuard

from self_instruct.datasets.chats import list_of, system_of
from self_instruct.datasets.example import (
    ASSISTANT,
    LABEL,
    REJECTED,
    REJECTED_FROM,
    SYSTEM,
    USER,
    Example,
    Turn,
    of_turns,
)
from self_instruct.datasets.fields import about_of, input_of, text_of
from self_instruct.datasets.flat import INPUTS, PROMPTS, with_history
from self_instruct.datasets.marked_text import open_turns, parsed, without_end
from self_instruct.datasets.turns import decoded, turns_of
from self_instruct.user_files import LineError, json_kind

_PAIRS = (
    ("chosen", "rejected"), ("chosen_response", "rejected_response"), ("response_chosen", "response_rejected"),
    ("preferred", "dispreferred"), ("preferred_response", "dispreferred_response"), ("response_j", "response_k"),
    ("accepted", "rejected"), ("better", "worse"), ("winner", "loser"), ("positive", "negative"), ("conv_A", "conv_B"),
)  # fmt: skip
_NUMBERED = (("response_0", "response_1", "better_response_id"), ("conversation_a", "conversation_b", "winner"),
             ("human_ref_A", "human_ref_B", "labels"))  # fmt: skip
_LISTS = ("completions", "answers", "responses", "generations", "candidates")
_LISTED = ("response", "completion", "answer", "text", "content", "output")
_SCORES = ("overall_score", "score", "rating", "reward", "rank")
"""Fields of several answers to one question, of an answer's text in such a list, and of its score; a low rank is good."""
_TAGS = (LABEL, "kto_tag", "desirable", "is_desirable", "thumbs_up")
_TRUE, _FALSE = (
    ("true", "1", "yes", "desirable", "good", "chosen"),
    ("false", "0", "no", "undesirable", "bad", "rejected"),
)


def is_preference(row: dict[str, Any]) -> bool:
    """Return whether a row has a better and a worse answer."""
    return _answers(row) is not None


def preference(row: dict[str, Any], place: str) -> Example:
    """Read a question with a better and a worse answer: texts, transcripts, a turn, or lists of turns that may repeat the
    question.
    """
    found = _answers(row)
    if found is None:
        raise LineError("missing_field", place, 'has no "chosen" and "rejected"')
    (better, worse), taken = found
    chosen, rejected = _turns_in(better, place, "chosen"), _turns_in(worse, place, "rejected")
    asked = next((name for name in ("prompt", *PROMPTS, "history", "post") if row.get(name)), None)
    earlier = list_of({name: value for name, value in row.items() if name not in PROMPTS})
    texts = isinstance(better, str) and isinstance(worse, str) and isinstance(row.get(asked or ""), str)
    if texts and asked and not _is_transcript(chosen):
        return _texts(row, (better, worse), taken, asked, place)
    shared = _shared(chosen, rejected)
    prompt, used = chosen[:shared], list[str]()
    stated = decoded(row[asked]) if asked else None
    if isinstance(stated, str) and (not prompt or stated in [turn["content"] for turn in prompt]):
        prompt, used = prompt or [{"role": USER, "content": stated}], [asked or ""]
    elif isinstance(stated, list) and (read := list(turns_of(stated, place))) and prompt in ([], read):
        prompt, used = read, [asked or ""]
    elif earlier is not None and not prompt:
        prompt, used = list(turns_of(earlier[1], place)), [earlier[0]]
    if earlier is not None and earlier[0] not in used and [*turns_of(earlier[1], place)] in ([*chosen], prompt):
        used.append(earlier[0])
    if not prompt and not texts:
        raise LineError("no_instruction", place, 'has no question before "chosen" and "rejected"')
    name, system, more = system_of(row, place)
    if prompt and prompt[0] == {
        "role": SYSTEM,
        "content": system,
    }:  # a turn with more fields stays, or they would be lost
        prompt = prompt[1:]
    about = about_of(row, *taken, *used, name, "system")
    begin = len(prompt) - (not system and bool(prompt) and prompt[0]["role"] == SYSTEM)
    answer, worse_answer = chosen[shared:], rejected[shared:]
    if any(turn["role"] == USER for turn in answer):
        more[REJECTED_FROM] = begin
    about["fields"] = {**about["fields"], REJECTED: worse_answer, **more}
    return of_turns([*prompt, *answer], system=system, **about)


def is_verdict(row: dict[str, Any]) -> bool:
    """Return whether a row has an answer with a verdict, as in KTO."""
    return _tag(row) is not None and ("completion" in row or list_of(row) is not None or _tag(row) == "kto_tag")


def verdict(row: dict[str, Any], place: str) -> Example:
    """Read an answer with a verdict: an output if it is good, else the field `rejected`."""
    tag = _tag(row)
    if tag is None:
        raise LineError("wrong_type", place, 'field "label" must be true or false')
    good, found = _truth(row[tag]), list_of(row)
    name, system, more = system_of(row, place)
    more = {**more, LABEL: good}
    prompt, completion = row.get("prompt"), row.get("completion")
    if found is None and isinstance(prompt, str) and isinstance(completion, str):
        about = about_of(row, tag, "prompt", "completion", name, "system")
        about["fields"] |= more if good else {**more, REJECTED: completion}
        return Example(prompt, "", completion if good else "", system, **about)
    if found is not None and completion is None:
        used, turns = [found[0]], list(turns_of(found[1], place))
    elif found is None and completion is None:
        asked, answered = ((next((key for key in keys if isinstance(row.get(key), str)), "")) for keys in (
            PROMPTS, ("output", "response", "answer")))  # fmt: skip
        input = next((key for key in INPUTS if isinstance(row.get(key), str)), "input")
        about = about_of(row, tag, asked, answered, input, name, "system")
        answer = text_of(row, answered, place, required=True)
        about["fields"] |= more if good else {**more, REJECTED: answer}
        return with_history(Example(text_of(row, asked, place, required=True), input_of(row, input, place),
                                    answer if good else "", system, **about), place)  # fmt: skip
    else:
        used = ["prompt", "completion"]
        turns = [*_turns_in(prompt, place, "prompt", USER), *_turns_in(completion, place, "completion")]
    about = about_of(row, tag, *used, name, "system")
    if not good:
        begin = max((at for at, turn in enumerate(turns, start=1) if turn["role"] == USER), default=0)
        turns, more[REJECTED] = turns[:begin], turns[begin:]
    about["fields"] |= more
    return of_turns(turns, system=system, **about)


def _texts(row: dict[str, Any], answers: tuple[str, str], taken: tuple[str, ...], asked: str, place: str) -> Example:
    name, system, more = system_of(row, place)
    marked = open_turns(row[asked])
    if marked is not None and not (system and marked[0]):
        chosen, rejected = ([{"role": ASSISTANT, "content": without_end(text)}] for text in answers)
        about = about_of(row, *taken, asked, name, "system")
        about["fields"] = {**about["fields"], REJECTED: rejected, **more}
        return of_turns([*marked[1], *chosen], system=system or marked[0], **about)
    input = next((key for key in INPUTS if key != asked and isinstance(row.get(key), str)), "")
    messages = list_of({key: value for key, value in row.items() if key not in PROMPTS})
    said = [{"role": USER, "content": row[asked]}, {"role": ASSISTANT, "content": answers[0]}]
    same = [messages[0]] if messages and [*turns_of(messages[1], place)] == said else []
    about = about_of(row, *taken, *same, asked, input, name, "system")
    about["fields"] = {**about["fields"], REJECTED: answers[1], **more}
    return with_history(Example(row[asked], input_of(row, input, place), answers[0], system, **about), place)


def _answers(row: dict[str, Any]) -> tuple[tuple[Any, Any], tuple[str, ...]] | None:
    """Return the better and the worse answer of a row, and the names of their fields; None if it has no such pair."""
    for names in _PAIRS:
        pair = [decoded(row.get(name)) for name in names]
        if all(isinstance(one, str | list | dict) and one for one in pair):
            return (pair[0], pair[1]), names
    for first, second, by in _NUMBERED:
        two, said = (row.get(first), row.get(second)), row.get(by)
        if all(two) and isinstance(said, str | int):
            last = (
                1 - int(said)
                if by == "labels" and said in (0, 1)
                else {"model_a": 0, "model_b": 1}.get(str(said), said)
            )
            if last in (0, 1):
                return (two[int(last)], two[1 - int(last)]), (first, second)
    if (ranked := _ranked(row)) is not None:
        return ranked, ()
    output = row.get("output")
    both = isinstance(output, list) and len(output) == 2 and all(isinstance(text, str) for text in output)
    both &= any(isinstance(row.get(name), str) for name in PROMPTS)
    return ((output[0], output[1]), ("output",)) if both and isinstance(output, list) else None


def _ranked(row: dict[str, Any]) -> tuple[str, str] | None:
    """Return the best and the worst of several answers by their scores; None without scores, or if all are equal."""
    for name in _LISTS:
        answers = row.get(name)
        if not isinstance(answers, list) or len(answers) < 2:
            continue
        lists = (row.get(f"{one}s") for one in _SCORES)
        parallel: list[Any] = next((one for one in lists if isinstance(one, list)), [])
        scored = list[tuple[float, str]]()
        for at, answer in enumerate(answers):
            if isinstance(answer, dict):
                text = next((answer[key] for key in _LISTED if isinstance(answer.get(key), str)), None)
                key = next((key for key in _SCORES if _is_number(answer.get(key))), "")
                score = answer.get(key)
            else:
                text, key, score = answer, "", parallel[at] if at < len(parallel) else None
            if isinstance(text, str) and _is_number(score):
                scored.append((-score if key == "rank" else score, text))
        if scored and len(scored) == len(answers) and max(scored)[0] > min(scored)[0]:
            by_score = sorted(scored, key=lambda one: one[0])
            return by_score[-1][1], by_score[0][1]
    return None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _turns_in(value: Any, place: str, name: str, role: str = ASSISTANT) -> list[Turn]:
    """Return the turns of an answer: a text, a transcript, a turn, or a list of turns."""
    if isinstance(value, str):
        found = parsed(value) if role == ASSISTANT else None
        if found is not None:
            return [*([{"role": SYSTEM, "content": found[0]}] if found[0] else []), *found[1]]
        return [{"role": role, "content": value}]
    turns = [value] if isinstance(value, dict) else value
    if not isinstance(turns, list):
        raise LineError("wrong_type", place, f'field "{name}" is {json_kind(value)}, not a text or a list of turns')
    return list(turns_of(turns, place))


def _is_transcript(turns: list[Turn]) -> bool:
    return bool(turns) and turns[0]["role"] != ASSISTANT


def _shared(chosen: list[Turn], rejected: list[Turn]) -> int:
    """Return how many turns two conversations share before their answers begin."""
    most = min(len(chosen), len(rejected)) - 1
    number = next((at for at in range(most) if chosen[at] != rejected[at]), max(most, 0))
    while number and (chosen[number]["role"] != ASSISTANT or rejected[number]["role"] != ASSISTANT):
        number -= 1
    return number


def _tag(row: dict[str, Any]) -> str | None:
    return next((name for name in _TAGS if name in row and _truth(row[name]) is not None), None)


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else None
