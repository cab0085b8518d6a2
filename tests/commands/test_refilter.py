"""Making a new dataset from the journal of a run."""

import json
import sys

import pytest

from tests.support.runs import DATASET, ROOT, dataset, generate, rows, run, scripted
from tests.support.scripts import block, write_script

CHINESE = (
    ("列出四种可再生能源。", "太阳能、风能、水能和地热能。"),
    ("写一首关于秋天的短诗，并解释其中的比喻。", "落叶像信，寄给冬天。比喻说的是告别。"),
    ("「春眠不觉晓」的下一句是什么？", "处处闻啼鸟。"),
    ("用Python计算列表中所有偶数的和。", "sum(n for n in numbers if n % 2 == 0)"),
    ("俳句を一つ書いて、季語を説明してください。", "古池や蛙飛びこむ水の音。季語は蛙で、春を表します。"),
)
EUROPEAN = (
    ("Écris une lettre de remerciement à ton professeur.", "Cher professeur, merci pour tout."),
    ("¿Cuál es la capital de Perú y qué río la cruza?", "Lima, que el río Rímac cruza."),
    ("Ölpreise steigen: erkläre einem Kind, warum.", "Weil viele Öl wollen und wenig da ist."),
    ("Ποια είναι τα τρία μεγαλύτερα νησιά της Ελλάδας;", "Η Κρήτη, η Εύβοια και η Λέσβος."),
    ("«Война и мир»: назови автора и главных героев.", "Лев Толстой; Пьер, Наташа и князь Андрей."),
    ("Żaby i ropuchy: wymień trzy różnice między nimi.", "Skóra, skok i jaja."),
)
SEEDS = (
    ("请把下面的句子翻译成英文。", "Please give the sentence."),
    ("Élabore un menu végétarien pour quatre personnes.", "Soupe, gratin, salade, tarte."),
    ("¿Qué fruta madura en otoño?", "La manzana."),
    ("説明文を三行で要約してください。", "要点は三つです。"),
)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    script = write_script(folder / "script.jsonl", 60)
    assert generate(*scripted(script, folder / "run", 10_000)).returncode == 0
    return folder / "run"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Make a run of Chinese and European tasks from seeds of those languages, all of which are accepted."""
    folder = tmp_path_factory.mktemp("foreign")
    seeds = [
        {"id": f"s{at}", "instruction": task, "input": "", "output": answer} for at, (task, answer) in enumerate(SEEDS)
    ]
    (folder / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in seeds), encoding="utf-8")
    texts = [
        "".join(block(5 + at, *task) for at, task in enumerate(tasks)).split("\n", 1)[1]
        for tasks in (CHINESE, EUROPEAN)
    ]
    script = folder / "script.jsonl"
    script.write_text("".join(json.dumps({"text": text, "finish_reason": "stop"}) + "\n" for text in texts))
    options = [
        *scripted(script, folder / "run", 99),
        "--seed_tasks_path",
        folder / "seeds.jsonl",
        "--num_prompt_instructions",
        4,
    ]
    result = generate(*options, "--num_prompt_synthetic_instructions", 0, "--rouge_tokenizer", "unicode")
    assert result.returncode == 0, result.stderr
    return folder / "run"


def refilter(*options):
    return run(sys.executable, "-m", "self_instruct.refilter", *options, cwd=ROOT)


def test_the_same_options_give_the_same_dataset(old, tmp_path):
    result = refilter(old, tmp_path / "new")
    assert result.returncode == 0, result.stderr
    new = dataset(tmp_path / "new")
    assert all(new[name] == dataset(old)[name] for name in DATASET[:2])


def test_a_killed_refilter_is_started_again_and_another_result_is_not_replaced(old, tmp_path):
    new = tmp_path / "new"
    assert refilter(old, new, "--rouge_threshold", "0.5").returncode == 0
    finished = {path.name: path.read_bytes() for path in new.iterdir()}
    other = refilter(old, new)
    assert other.returncode == 2 and f"{new}: is not empty; give a new directory" in other.stderr
    (new / "report.json").unlink()
    (new / DATASET[0]).write_bytes(finished[DATASET[0]][:-9])
    (new / f"{DATASET[1]}.part").write_text("{")
    for _ in range(2):
        assert refilter(old, new, "--rouge_threshold", "0.5").returncode == 0
        assert {path.name: path.read_bytes() for path in new.iterdir()} == finished


@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_refiltering_with_another_threshold_decides_on_all_candidates_again(old, tmp_path, threshold):
    assert refilter(old, tmp_path / "new", "--rouge_threshold", threshold).returncode == 0
    new, before = (rows(folder / DATASET[0]) for folder in (tmp_path / "new", old))
    assert all(row["provenance"]["rouge_l"] < threshold for row in new)
    assert (len(new) > len(before)) == (threshold > 0.6) and len(new) != len(before)
    written = sum(len(rows(tmp_path / "new" / name)) for name in DATASET[:2])
    assert written == sum(len(rows(old / name)) for name in DATASET[:2])
    assert f"rouge_threshold: {threshold}" in (tmp_path / "new/run.yaml").read_text()


def test_a_number_of_records_and_other_filters_can_be_given(old, tmp_path):
    assert (
        refilter(old, tmp_path / "new", "--num_instructions_to_generate", 7, "--filter_keywords", "kettle").returncode
        == 0
    )
    assert len(rows(tmp_path / "new" / DATASET[0])) == 7
    assert {row["reason"] for row in rows(tmp_path / "new" / DATASET[1])} >= {"keyword"}


def test_refilter_keeps_to_the_target_of_the_run_and_says_how_many_it_decided(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 60)
    for target in (60, 30):
        assert generate(*scripted(script, tmp_path / "run", target)).returncode == 0
    judged = json.loads((tmp_path / "run/report.json").read_text())["requests"]
    answered = len(rows(tmp_path / "run/completions.jsonl"))
    same = refilter(tmp_path / "run", tmp_path / "same", "--rouge_threshold", 0.9)
    assert len(rows(tmp_path / "same" / DATASET[0])) == 30 and "Done: 30 of 30 records." in same.stdout
    assert (
        f"of the run's {answered} completions were not needed; a larger --num_instructions_to_generate" in same.stdout
    )
    more = refilter(tmp_path / "run", tmp_path / "more", "--num_instructions_to_generate", 1000)
    assert (
        f"The run's {answered} completions, {answered - judged} more than the run itself had used, give" in more.stdout
    )
    assert len(rows(tmp_path / "more" / DATASET[0])) > 30


def test_a_refiltered_directory_cannot_be_refiltered(old, tmp_path):
    assert refilter(old, tmp_path / "new").returncode == 0
    result = refilter(tmp_path / "new", tmp_path / "newer")
    assert result.returncode == 2 and "holds no completions.jsonl" in result.stderr


def test_a_changed_seed_file_is_refused_unless_it_is_given(tmp_path):
    script = write_script(tmp_path / "script.jsonl", 20)
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_bytes((ROOT / "seeds/code.jsonl").read_bytes())
    assert generate(*scripted(script, tmp_path / "run", 5), "--seed_tasks_path", seeds).returncode == 0
    seeds.write_bytes(b"".join(seeds.read_bytes().splitlines(keepends=True)[:9]))
    result = refilter(tmp_path / "run", tmp_path / "new")
    assert result.returncode == 2 and "has changed since the run was made" in result.stderr
    assert refilter(tmp_path / "run", tmp_path / "new", "--seed_tasks_path", seeds).returncode == 0


# ---- tasks that are not in English


def test_tasks_in_any_script_are_kept_with_the_unicode_tokenizer(foreign):
    kept = [(row["instruction"], row["output"]) for row in rows(foreign / DATASET[0])]
    assert kept == [*CHINESE, *EUROPEAN] and rows(foreign / DATASET[1]) == []


def test_tasks_in_other_scripts_are_dropped_with_the_default_tokenizer(foreign, tmp_path):
    assert refilter(foreign, tmp_path / "new").returncode == 0
    assert dataset(tmp_path / "new")[DATASET[0]] == dataset(foreign)[DATASET[0]]
    result = refilter(foreign, tmp_path / "english", "--rouge_tokenizer", "rouge")
    assert result.returncode == 0 and rows(tmp_path / "english" / DATASET[0]) == []
    reasons = {row["instruction"]: row["reason"] for row in rows(tmp_path / "english" / DATASET[1])}
    assert reasons[CHINESE[0][0]] == "too_short" and reasons[EUROPEAN[0][0]] == "starts_with_non_ascii"


def test_explain_uses_the_tokenizer_of_the_run_and_curate_the_given_one(foreign, tmp_path):
    explained = run(sys.executable, "-m", "self_instruct.explain", foreign, "请列出四种能源")
    assert explained.returncode == 0, explained.stderr
    assert "No candidate contains this text; the most similar one has a ROUGE-L F1 of 0.7" in explained.stdout
    assert "列出四种可再生能源" in explained.stdout.split("\n\n")[1] + explained.stdout.split("\n\n")[2]
    curate = [
        sys.executable,
        "-m",
        "self_instruct.post_processing",
        "--input_path",
        foreign / DATASET[0],
        "--output_path",
    ]
    assert run(*curate, tmp_path / "all.jsonl", "--rouge_tokenizer", "unicode").returncode == 0
    assert len(rows(tmp_path / "all.jsonl")) == len(CHINESE + EUROPEAN)
    assert run(*curate, tmp_path / "none.jsonl").returncode == 0
    assert rows(tmp_path / "none.jsonl") == []
