"""Finding benchmark tasks in training data."""

import gzip
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.datasets.contamination import BenchmarkText, ContaminationIndex, words_of
from self_instruct.errors import UserError
from tests.support.commands import run_command as main
from tests.support.runs import rows

WORDS = [f"w{number}" for number in range(30)]
HUMANEVAL = {
    "task_id": "HumanEval/0", "entry_point": "near", "test": "assert near([1.0, 2.0], 0.5)",
    "prompt": 'def near(numbers, limit):\n    """ Tell whether any two numbers of the list are closer to each other than the '
    'limit that is given.\n    """\n',
    "canonical_solution": "    placed = sorted(numbers)\n    return any(b - a < limit for a, b in zip(placed, placed[1:]))\n",
}  # fmt: skip
MBPP = {
    "task_id": 7,
    "text": "Write a function to count the vowels of a word.",
    "code": "def f(w):\n  return 1",
    "test_list": [],
}
GSM8K = {
    "question": "A baker sells 12 loaves on Monday and half as many on Tuesday. How many does he sell in both days?",
    "answer": "On Tuesday the baker sells 12/2 = <<12/2=6>>6 loaves.\nBoth days make 12+6 = <<12+6=18>>18 loaves.\n#### 18",
}


@pytest.fixture
def benchmarks(tmp_path):
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(gzip.compress(json.dumps(HUMANEVAL).encode()))
    (tmp_path / "mbpp.json").write_text(json.dumps([MBPP]))
    (tmp_path / "gsm8k.jsonl").write_text(json.dumps(GSM8K) + "\n")
    return [f"{tmp_path}/HumanEval.jsonl.gz", f"mbpp={tmp_path}/mbpp.json", f"gsm8k={tmp_path}/gsm8k.jsonl"]


def test_benchmark_matches_are_rejected_with_evidence(tmp_path, benchmarks):
    solution = HUMANEVAL["canonical_solution"].replace("    ", "\t").replace("numbers", "numbers ")
    copied = GSM8K["answer"].replace("<<12/2=6>>", "").replace("<<12+6=18>>", "").partition("\n####")[0]
    tasks = [
        {"instruction": "Is any pair near?", "output": f"Sure:\n{solution}", "score": 1.50},
        {"instruction": "Please write a FUNCTION to count the vowels of a word!", "output": "ok"},
        {"instruction": "Bread?", "output": copied},
        {
            "instruction": "A baker sells 12 loaves on Monday and half as many on Sunday.",
            "output": "def f(w): return 1",
        },
    ]
    source = tmp_path / "a.jsonl"
    source.write_bytes(b"".join(json.dumps(task).encode() + b"\n" for task in tasks) + b"broken\n")
    code = main(["decontaminate", str(source), "--benchmarks", *benchmarks, "--output", str(tmp_path / "o.jsonl")])
    assert code == 3 and (tmp_path / "o.jsonl").read_bytes() == source.read_bytes().splitlines(keepends=True)[3]
    found = rows(tmp_path / "o.rejected.jsonl")
    assert [(row["stage"], row["reason"]) for row in found] == [
        ("contamination", "ngram"), ("contamination", "substring"), ("contamination", "ngram"), ("read", "not_json"),
    ]  # fmt: skip
    seen = [
        (row["match"]["benchmark"], row["match"]["id"], row["match"]["field"], row["match"]["part"])
        for row in found[:3]
    ]
    assert seen == [
        ("HumanEval", "HumanEval/0", "canonical_solution", "output"), ("mbpp", "7", "text", "instruction"),
        ("gsm8k", "", "answer", "output"),
    ]  # fmt: skip
    assert all(row["match"]["words"] in " ".join(words_of(row["match"]["text"])) for row in found[:3])
    assert (
        found[1]["match"]["words"] == "write a function to count the vowels of a word" and found[0]["record"]["output"]
    )
    report = json.loads((tmp_path / "o.report.json").read_text())
    assert report["rows"] == 5 == report["kept"] + sum(report["drops"].values())
    assert report["benchmarks"] == {"HumanEval": 1, "gsm8k": 1, "mbpp": 1}


def test_every_turn_of_a_conversation_is_searched(tmp_path, benchmarks):
    turns = [("user", "Hi."), ("assistant", "Hello."), ("user", MBPP["text"]), ("assistant", "Here.")]
    chat = {"messages": [{"role": role, "content": content} for role, content in turns]}
    (tmp_path / "a.jsonl").write_text(json.dumps(chat) + "\n" + json.dumps({"messages": chat["messages"][:2]}) + "\n")
    out = tmp_path / "o.jsonl"
    assert main(["decontaminate", str(tmp_path / "a.jsonl"), "--benchmarks", *benchmarks, "--output", str(out)]) == 0
    assert [row["instruction"] for row in rows(out)] == ["Hi."] and len(rows(tmp_path / "o.rejected.jsonl")) == 1


LONG = "Which of these rivers runs past the old mill before it turns north"
PASSAGE = "The mill was built by two brothers in the year of the great flood, and it has stood there since."
TASK = {"instruction": "Hi.", "output": "Hello."}
ASKED, ANSWERED = {"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}
CALL = {"type": "function", "function": {"name": "ask", "arguments": json.dumps({"query": [f"{LONG}?"]})}}


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({**TASK, "system": f"Answer this: {LONG}."}, "system"),
        ({"messages": [{"role": "system", "content": LONG}, ASKED, ANSWERED]}, "system"),
        ({"messages": [ASKED, {**ANSWERED, "reasoning_content": LONG}]}, "reasoning"),
        ({"messages": [ASKED, {**ANSWERED, "content": [{"type": "thinking", "thinking": LONG}, "So."]}]}, "reasoning"),
        ({**TASK, "reasoning": LONG}, "reasoning"),
        ({"messages": [ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]}]}, "tool_calls"),
        ({"messages": [ASKED, ANSWERED, {"role": "tool", "content": LONG}]}, "instruction"),
        ({"prompt": "Hi.", "chosen": "Hello.", "rejected": LONG}, "rejected"),
        ({"prompt": "Hi.", "chosen": LONG, "rejected": "Hello."}, "output"),
        ({"prompt": [ASKED], "chosen": [ANSWERED], "rejected": [{"role": "assistant", "content": LONG}]}, "rejected"),
        ({"instruction": "Hi.", "output": ["Hello.", LONG]}, "rejected"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["decontaminate", "merge"])
def test_every_text_of_a_row_is_searched(tmp_path, row, part, command):
    (tmp_path / "b.jsonl").write_text(json.dumps({"question": f"{LONG}?", "answer": "The Mill Race."}) + "\n")
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, **_harmless(row)}) + "\n")
    options = ["--filter_rules", "empty"] if command == "merge" else []
    named = ["--sources", f"a={tmp_path}/a.jsonl"] if command == "merge" else [f"{tmp_path}/a.jsonl"]
    main([command, *named, "--benchmarks", f"{tmp_path}/b.jsonl", "--output_path", f"{tmp_path}/o.jsonl", *options])
    found = [row for row in rows(tmp_path / "o.rejected.jsonl") if row["stage"] == "contamination"]
    assert [row["match"]["part"] for row in found] == [part]


def _harmless(row):
    """Return the fields of a row without the benchmark's question."""
    return {key: json.loads(json.dumps(value).replace(LONG, "Which?")) for key, value in row.items()}


ANSWERS = [{"text": "The Ouse", "answer_start": 0}]
ARTICLE = {
    "title": "Mill",
    "paragraphs": [{"context": PASSAGE, "qas": [{"id": "q1", "question": f"{LONG}?", "answers": ANSWERS}]}],
}
FOUR = ["the Ouse", "the Nene", "the Cam", "the Tees"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mmlu.jsonl", json.dumps({"question": f"{LONG}?", "choices": FOUR, "answer": 1, "subject": "rivers"})),
        ("mmlu_letters.jsonl", json.dumps({"question": f"{LONG}?", "choices": FOUR, "answer": "B"})),
        ("mmlu.csv", f'"{LONG}?",{",".join(FOUR)},B\nIs this short?,a,b,c,d,A\n'),
        ("arc.jsonl", json.dumps({"id": "M1", "question": f"{LONG}?", "answerKey": "B",
                                  "choices": {"text": FOUR, "label": [*"ABCD"]}})),
        ("arc_published.jsonl", json.dumps({"id": "M1", "answerKey": "B", "question": {
            "stem": f"{LONG}?", "choices": [{"text": text, "label": text[-1]} for text in FOUR]}})),
        ("squad.json", json.dumps({"version": "1.1", "data": [ARTICLE]})),
        ("squad.jsonl", json.dumps({"id": "q1", "title": "Mill", "context": PASSAGE, "question": f"{LONG}?",
                                    "answers": {"text": ["The Ouse"], "answer_start": [0]}})),
        ("math.jsonl", json.dumps({"problem": f"{LONG}?", "level": "Level 1", "type": "Algebra", "solution": "$x$"})),
        ("mt_bench.jsonl", json.dumps({"question_id": 81, "category": "writing", "turns": ["Name a mill.", f"{LONG}?"]})),
        ("mt_bench_hub.jsonl", json.dumps({"prompt": ["Name a mill.", f"{LONG}?"], "reference": []})),
        ("arena.jsonl", json.dumps({"uid": "1", "turns": [{"content": f"{LONG}?"}]})),
        ("aime.jsonl", json.dumps({"ID": "2024-1", "Problem": f"{LONG}?", "Solution": "$x$", "Answer": 5})),
        ("gpqa.jsonl", json.dumps({"Question": f"{LONG}?", "Correct Answer": "a", "Incorrect Answer 1": "b"})),
        ("boolq.jsonl", json.dumps({"question": f"{LONG}?", "passage": PASSAGE, "answer": True})),
        ("winogrande.jsonl", json.dumps({"sentence": f"{LONG}?", "option1": "a", "option2": "b", "answer": "1"})),
        ("chats.jsonl", json.dumps({"messages": [ASKED, ANSWERED, {"role": "user", "content": f"{LONG}?"}, ANSWERED]})),
    ],
)  # fmt: skip
def test_question_of_any_benchmark_is_found_without_its_choices_or_passage(tmp_path, name, content):
    (tmp_path / name).write_text(content + "\n")
    copied = {"instruction": f"Say: {LONG}", "output": "Hello."}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(task) + "\n" for task in (copied, TASK)))
    main(["decontaminate", f"{tmp_path}/a.jsonl", "--benchmarks", f"{tmp_path}/{name}", "--output", f"{tmp_path}/o.jsonl",
          "--ngram_words", "20"])  # fmt: skip
    assert len(rows(tmp_path / "o.rejected.jsonl")) == 1 and rows(tmp_path / "o.jsonl") == [TASK]


def test_the_passage_of_squad_is_found_too(tmp_path):
    (tmp_path / "squad.json").write_text(json.dumps({"version": "1.1", "data": [ARTICLE]}))
    (tmp_path / "a.jsonl").write_text(json.dumps({"instruction": "When?", "input": PASSAGE, "output": "Then."}) + "\n")
    main(
        [
            "decontaminate",
            f"{tmp_path}/a.jsonl",
            "--benchmarks",
            f"{tmp_path}/squad.json",
            "--output",
            f"{tmp_path}/o.jsonl",
        ]
    )
    assert rows(tmp_path / "o.rejected.jsonl")[0]["match"]["field"] == "context"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 2))
def test_matches_equal_those_of_a_brute_force_search(seed, ngram, least):
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS[:6], k=rng.randint(0, 9))) for _ in range(5)]
    asked = [" ".join(rng.choices(WORDS[:7], k=rng.randint(0, 12))) for _ in range(30)]
    index = ContaminationIndex(
        [BenchmarkText("b", str(at), "", "text", text) for at, text in enumerate(texts)], ngram, least
    )
    wanted = {f" {' '.join(words[at : at + ngram])} " for words in map(str.split, texts) if len(words) >= least
              for at in range(max(1, len(words) - ngram + 1))}  # fmt: skip
    for text, found in zip(asked, index.find(asked), strict=True):
        assert (found is not None) == any(part in f" {text} " for part in wanted)
        assert found is None or (f" {found.words} " in f" {text} " and f" {found.words} " in f" {found.found.text} ")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", [], "holds no task"),
        ("{}\n", [], "--map instruction=FIELD"),
        (json.dumps(GSM8K) + "\n{", [], "so that no task is overlooked"),
        (json.dumps(GSM8K), ["--ngram_words", "99", "--substring_words", "90"], "none of the 2 texts has"),
        (json.dumps(GSM8K), ["--ngram_words", "5"], "use at most 5"),
        ('{"instruction": "a", "output": "b"}\n{"instruction": 1, "output": "b"}', [], "--benchmarks "),
    ],
)
def test_benchmarks_that_cannot_be_fully_searched_are_refused(tmp_path, content, options, message):
    (tmp_path / "b.jsonl").write_text(content)
    (tmp_path / "a.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    with pytest.raises(UserError) as raised:
        main(["decontaminate", str(tmp_path / "a.jsonl"), "--benchmarks", str(tmp_path / "b.jsonl"),
              "--output", str(tmp_path / "o.jsonl"), *options])  # fmt: skip
    assert message in str(raised.value)
