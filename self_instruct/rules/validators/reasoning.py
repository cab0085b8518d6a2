"""Check answers with reasoning, and answers that must come from a story or a counterfactual context."""

import re

from self_instruct.records import Record
from self_instruct.rules.validators.answers import bare, content_words, occurs_in, stated_answer
from self_instruct.rules.validators.contract import Validator, Variables

_FINAL = re.compile(
    r"^(?:[^\S\n]|[*_#>-])*+(?:the\s+)?(?:(?:final|correct|best)\s+)?(?:answer|solution|conclusion)\b[*_\s]*(?:is\b|[:=])[*_\s]*(?P<it>.+)"
    r"|^(?:therefore|thus|so|hence)\b,?\s.*?\b(?:answer|result|solution)\s+is\s+(?P<so>.+)|\\boxed\{(?P<box>[^}]{1,200})\}",
    re.IGNORECASE | re.MULTILINE,
)
_ASKS = re.compile(r"\b(?:explain|describe|say|tell|state) (?:what|where|who|why|how|whether)\b", re.IGNORECASE)
_PART = re.compile(r"(?P<words>[^.!?\n]*+)(?P<end>[.!?]++(?P<glued>(?!\s|\Z))?|\n|\Z)")


def cot(min_reasoning_words: int = 15) -> Validator:
    """Require reasoning before a final answer: a line such as "Answer: ..." or "Therefore, the answer is ...".

    Reject with `no_final_answer`, with `no_reasoning` if fewer than `min_reasoning_words` words precede the answer, and with
    `answers_disagree` if the last two such lines state different numbers.
    """

    def validator(record: Record, variables: Variables) -> Record | str:
        answers = [found for found in _FINAL.finditer(record.output) if bare(_stated_text(found))]
        if not answers:
            return "no_final_answer"
        before = len(record.output[: answers[0].start()].split())
        if before < min_reasoning_words:
            return f"no_reasoning: {before} words"
        last_two = answers[-2:]
        numbers = [re.findall(r"-?\d+(?:\.\d+)?", _stated_text(found).replace(",", "")) for found in last_two]
        if all(len(found) == 1 for found in numbers) and len({float(found[0]) for found in numbers}) > 1:
            return f"answers_disagree: {numbers[0][0]} and {numbers[1][0]}"
        return record

    return validator


def theory_of_mind(min_sentences: int = 2) -> Validator:
    """Require a story, a question about it, and an answer from the story.

    Reject with `no_question`, with `no_story` if there are fewer than `min_sentences` sentences besides questions, with
    `no_answer`, and with `answer_not_in_story` if the answer shares no content word (such as a place or a name) with the story.
    """

    def validator(record: Record, variables: Variables) -> Record | str:
        sentences = [sentence.strip() for sentence in _sentences(record.task)]
        asked = [sentence for sentence in sentences if sentence.endswith("?")]
        if not asked and not _ASKS.search(record.task):
            return "no_question"
        story = " ".join(sentence for sentence in sentences if not sentence.endswith("?"))
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
    """Require an answer that follows a counterfactual context instead of real-world knowledge.

    Reject with `no_context`, with `no_answer`, and with `unsupported` if less than `min_support` of the content words of the
    answer are in the context. With the variable `fact` (the real fact), reject with `answers_from_memory` if the output
    contains it and the context does not. With `counterfact` (the claim of the context), reject with `ignores_context` if the
    output does not contain it.
    """
    if not 0 <= min_support <= 1:
        raise ValueError(f"min_support is {min_support:g}, but must be between 0 and 1")

    def validator(record: Record, variables: Variables) -> Record | str:
        context = record.input or _without_question(record.instruction)
        words = set(content_words(context))
        if len(words) < 5:
            return f"no_context: {len(words)} content words"
        answer = stated_answer(record.output)
        if not bare(answer):
            return "no_answer"
        fact, counterfact = variables.get("fact", ""), variables.get("counterfact", "")
        if fact and occurs_in(fact, record.output) and not occurs_in(fact, context):
            return f"answers_from_memory: {fact}"
        if counterfact and not occurs_in(counterfact, record.output):
            return f"ignores_context: {counterfact}"
        answered = content_words(answer)
        support = sum(word in words for word in answered) / len(answered) if answered else 1.0
        return f"unsupported: {support:.2f}" if support < min_support else record

    return validator


def _without_question(text: str) -> str:
    return " ".join(sentence for sentence in _sentences(text) if not sentence.strip().endswith("?"))


def _sentences(text: str) -> list[str]:
    """Return the sentences and lines of a text that have a letter or digit; a full stop within a word ends no sentence."""
    parts = [part for part in _PART.finditer(text) if part["glued"] is None]
    return [part.group() for part in parts if re.search(r"[^\W_]", part["words"])]


def _stated_text(found: re.Match[str]) -> str:
    return found["it"] or found["so"] or found["box"] or ""
