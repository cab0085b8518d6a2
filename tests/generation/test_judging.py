"""The verdicts on the candidates of a completion."""

import numpy as np

from self_instruct.formats import INSTRUCTION_INPUT_OUTPUT, INSTRUCTION_OUTPUT
from self_instruct.generation.judging import Curator, rules_of
from self_instruct.novelty.comparison import Bounds, Novelty
from self_instruct.novelty.embedding import EmbeddingIndex
from self_instruct.records import Record
from self_instruct.rules.filters import build_filters
from self_instruct.runs.journal import Entry

SEED = Record("s1", "Name three long rivers of Europe.", "", "Rhine, Danube, Loire")


def entry(text: str, request: int = 0, reason: str = "stop") -> Entry:
    return Entry(request, ["s1"], [], 1, "0" * 64, text, reason, 10, 10, 0, None)


def curator_of(format=INSTRUCTION_OUTPUT, embedding_threshold=1.0, **options) -> Curator:
    rules = rules_of(format, build_filters("Header."), Bounds(0.7, embedding_threshold))
    return Curator({None: rules}, Novelty([(SEED.id, SEED.task)], **options))


def blocks(*instructions: str) -> str:
    return "###\n2. Instruction:\n".join(f"{text}\n\n2. Output:\nyes\n" for text in instructions) + "###\n"


def outcomes(verdicts) -> list[tuple[str, str] | None]:
    return [None if v.drop is None else (v.drop.stage, v.drop.reason) for v in verdicts]


def test_blocks_of_one_completion_are_compared_with_each_other_and_the_seeds():
    verdicts = curator_of().decide(
        entry(
            blocks(
                "Sort all numbers of a list.",
                "Sort all numbers of a list!",
                "Name three long rivers of Asia.",
                "Boil one egg for lunch.",
            )
        )
    )
    assert outcomes(verdicts) == [None, ("novelty", "rouge_l"), ("novelty", "rouge_l"), None]
    assert verdicts[1].drop.nearest.id == "000000-01" and verdicts[1].drop.nearest.score == 1.0
    assert verdicts[2].drop.nearest.id == "s1"
    assert [verdict.record.id for verdict in verdicts] == ["000000-01", "000000-02", "000000-03", "000000-04"]


def test_the_order_of_the_stages_is_parse_filter_novelty():
    text = blocks("Sort all numbers of a list.", "Write a program.") + "2. Instruction:\nNothing follows this.\n###\n"
    assert outcomes(curator_of().decide(entry(text))) == [None, ("filter", "too_short"), ("parse", "missing_output")]


def test_task_whose_output_is_missing_or_cut_waits_for_its_answer():
    rules = rules_of(INSTRUCTION_OUTPUT, build_filters("Header."), Bounds(0.7), orphans=True)
    curator = Curator({None: rules}, Novelty([]))
    text = blocks("Boil one egg for lunch.") + "2. Instruction:\nSort a list of words.\n###\n"
    cut = text + "3. Instruction:\nWrite a short poem.\n\n3. Output:\nThe sea"
    assert outcomes(curator.decide(entry(cut, reason="length"))) == [None] and curator.passed_on == 2
    assert curator.waiting("000000-03")[0].task == "Write a short poem."
    unfinished = "Name the highest hills of\n"
    assert outcomes(curator.decide(entry(unfinished, 1, reason="length"))) == [("parse", "cut_by_length")]


def test_candidates_after_the_last_wanted_record_are_not_compared():
    curator = curator_of()
    verdicts = curator.decide(
        entry(
            blocks("Boil one egg for lunch.", "Boil one egg for lunch.", "Sort a list of words.", "Sum it all up now.")
        ),
        room=2,
    )
    assert outcomes(verdicts) == [None, ("novelty", "rouge_l"), None, ("limit", "target_reached")]
    assert len(curator.pool) == 2


def test_the_pool_before_a_request_never_changes():
    curator = curator_of()
    curator.decide(entry(blocks("Boil one egg for lunch."), 0))
    curator.decide(entry(blocks("Sort a list of words."), 2))
    before = [list(curator.pool.before(n)) for n in range(4)]
    curator.decide(entry(blocks("Describe the taste of rain to a robot."), 3))
    assert [list(curator.pool.before(n)) for n in range(4)] == before
    assert [len(pool) for pool in before] == [0, 1, 1, 2] and len(curator.pool.before(4)) == 3


def test_an_input_is_compared_only_if_the_format_has_no_input_field():
    text = "Sort what is given here.\n{}\n2. Input:\n{}\n\n2. Output:\nyes\n###\n"
    curator = curator_of(INSTRUCTION_INPUT_OUTPUT)
    curator.decide(entry(text.format("", "1 2 3 4 5 6 7 8 9"), 0))
    assert outcomes(curator.decide(entry(text.format("", "red green blue"), 1))) == [("novelty", "rouge_l")]
    curator = curator_of(INSTRUCTION_OUTPUT)
    texts = [f"Sort what is given here.\n{data}" for data in ("1 2 3 4 5 6 7 8 9", "red green blue black white")]
    assert outcomes(curator.decide(entry(blocks(*texts)))) == [None, None]


def test_an_error_of_the_engine_is_a_drop_with_its_message():
    verdicts = curator_of().decide(Entry(5, [], [], 1, "", "", "error", 3, 0, 0, None, "out of memory"))
    assert outcomes(verdicts) == [("generation", "error")]
    assert verdicts[0].drop.detail == "out of memory" and verdicts[0].record.id == "000005-00"


class Letters:
    """Encode by counting letters: texts with the same letters have the same vector."""

    def encode(self, texts):
        counts = np.array([[text.lower().count(chr(97 + at)) for at in range(26)] for text in texts], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_a_similar_embedding_drops_a_candidate_that_passed_rouge_and_is_not_indexed():
    index = EmbeddingIndex(Letters())
    curator = curator_of(embeddings=index, embedding_threshold=0.999)
    verdicts = curator.decide(
        entry(blocks("Stop the tops of pots.", "Pots of the tops stop.", "Boil one egg for lunch."))
    )
    assert outcomes(verdicts) == [None, ("novelty", "embedding"), None]
    assert verdicts[1].drop.nearest.id == "000000-01" and verdicts[1].rouge.score < 0.7
    assert len(index) == 3
