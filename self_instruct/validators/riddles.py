"""Riddles: what is looked for must not stand in the question."""

from self_instruct.records import Record
from self_instruct.validators.answers import bare, content_words, stands_in, stated_answer
from self_instruct.validators.contract import Validator, Variables

_SHORT = 6


def riddle() -> Validator:
    """`no_answer`; `answer_in_question` when a short answer (up to six words, as "an echo") stands in the question."""

    def validator(record: Record, variables: Variables) -> Record | str:
        answer = stated_answer(record.output)
        if not bare(answer):
            return "no_answer"
        core = content_words(answer)
        if 0 < len(core) <= _SHORT and stands_in(" ".join(core), record.task):
            return f"answer_in_question: {' '.join(core)}"
        return record

    return validator
