"""Answers with reasoning, and answers that must come from the task: stories and counterfactual contexts."""

import re

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, content_words, stands_in, stated_answer
from self_instruct.rules.validators.contract import Validator, Variables

_FINAL = re.compile(
    r"^[\s*_#>-]*(?:the\s+)?(?:(?:final|correct|best)\s+)?(?:answer|solution|conclusion)\b[*_\s]*(?:is\b|[:=])[*_\s]*(?P<it>.+)"
    r"|^(?:therefore|thus|so|hence)\b,?\s.*?\b(?:answer|result|solution)\s+is\s+(?P<so>.+)|\\boxed\{(?P<box>[^}]+)\}",
    re.IGNORECASE | re.MULTILINE,
)
_ASKS = re.compile(r"\b(?:explain|describe|say|tell|state) (?:what|where|who|why|how|whether)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?\n]*[^\W_][^.!?\n]*(?:[.!?]+(?=\s|$)|\n|$)")


def cot(min_reasoning_words: int = 15) -> Validator:
    """Reject with `no_final_answer` unless a line says "Answer: ..." or "Therefore, the answer is ..."; with `no_reasoning` if
    fewer than `min_reasoning_words` words precede it; and with `answers_disagree` if the last such lines state different
    numbers.
    """

    def validator(record: Record, variables: Variables) -> Record | str:
        finals = [found for found in _FINAL.finditer(record.output) if bare(_final_text(found))]
        if not finals:
            return "no_final_answer"
        before = len(record.output[: finals[0].start()].split())
        if before < min_reasoning_words:
            return f"no_reasoning: {before} words"
        last = finals[-2:]
        numbers = [re.findall(r"-?\d+(?:\.\d+)?", _final_text(found).replace(",", "")) for found in last]
        if all(len(found) == 1 for found in numbers) and len({float(found[0]) for found in numbers}) > 1:
            return f"answers_disagree: {numbers[0][0]} and {numbers[1][0]}"
        return record

    return validator


def theory_of_mind(min_sentences: int = 2) -> Validator:
    """Reject with `no_story` if there are fewer than `min_sentences` sentences besides the question; with `no_question`,
    `no_answer`, and `answer_not_in_story` if the answer has no content word of the story, such as a place or a person.
    """

    def validator(record: Record, variables: Variables) -> Record | str:
        sentences = [found.group().strip() for found in _SENTENCE.finditer(record.task)]
        asked = [sentence for sentence in sentences if sentence.endswith("?")]
        if not asked and not _ASKS.search(record.task):
            return "no_question"
        story = " ".join(sentence for sentence in sentences if sentence not in asked)
        if len(sentences) - len(asked) < min_sentences:
            return f"no_story: {len(sentences) - len(asked)} sentences"
        if not bare(record.output):
            return "no_answer"
        words = set(content_words(story))
        yes_or_no = re.match(
            r"\W*(?:yes|no|none|nobody|nothing|nowhere|both|neither|\d+)\b", record.output, re.IGNORECASE
        )
        return record if yes_or_no or words & set(content_words(record.output)) else "answer_not_in_story"

    return validator


def counterfactual(min_support: float = 0.5) -> Validator:
    """Reject with `no_context`, `no_answer`, and `unsupported` if less than `min_support` of the content words of a short
    answer are in the context.

    With the variable `fact` (the real-world fact), `answers_from_memory` if the answer contains it and the context does not;
    with `counterfact`, `ignores_context` if the answer lacks what the context claims.
    """
    if not 0 <= min_support <= 1:
        raise ValueError(f"min_support is {min_support:g}, but must be between 0 and 1")

    def validator(record: Record, variables: Variables) -> Record | str:
        context = record.input or _without_question(record.instruction)
        words = set(content_words(context))
        if len(words) < 5:
            return f"no_context: {len(words)} telling words"
        answer = stated_answer(record.output)
        if not bare(answer):
            return "no_answer"
        fact, counterfact = variables.get("fact", ""), variables.get("counterfact", "")
        if fact and stands_in(fact, record.output) and not stands_in(fact, context):
            return f"answers_from_memory: {fact}"
        if counterfact and not stands_in(counterfact, record.output):
            return f"ignores_context: {counterfact}"
        answered = content_words(answer)
        support = sum(word in words for word in answered) / len(answered) if answered else 1.0
        return f"unsupported: {support:.2f}" if support < min_support else record

    return validator


def _without_question(text: str) -> str:
    sentences = [found.group() for found in _SENTENCE.finditer(text)]
    return " ".join(sentence for sentence in sentences if not sentence.strip().endswith("?"))


def _final_text(found: re.Match[str]) -> str:
    return found["it"] or found["so"] or found["box"] or ""
