"""The public API: its names, the examples of docs/python.md, and the error of each function for mistakes."""

import importlib
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import datasets
import numpy as np
import pytest

import self_instruct as si
from self_instruct.commands import best_of_n
from tests.support.chat_model import ChatModel
from tests.support.runs import ROOT, dataset, generate, scripted
from tests.support.runs import run as run_process
from tests.support.scripts import write_script

NAMES = {
    "Completion", "Config", "Converted", "Curated", "Drop", "Engine", "EngineLost", "INSTRUCTION_INPUT_OUTPUT",
    "INSTRUCTION_OUTPUT", "Judged", "Record", "RecordFormat", "Request", "Run", "Scored", "ScriptedEngine", "TokenCounter",
    "UserError", "__version__", "best_of_n", "convert", "curate", "generate", "judge", "load_run", "merge", "refilter",
    "register_filter", "register_validator", "score", "select",
}  # fmt: skip
GOOD = {"instruction": "Name three rivers of Europe.", "output": "Rhine, Danube, Loire"}
NEAR = {"instruction": "Name three rivers of Europe!", "output": "Elbe, Oder, Po"}
OTHER = {"instruction": "Explain why the sky is blue.", "input": "", "output": "Air scatters blue light most."}


def test_the_exported_names_are_these_and_all_can_be_loaded() -> None:
    assert set(si.__all__) == NAMES == set(dir(si))
    assert all(getattr(si, name) is not None for name in NAMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        si.nothing  # noqa: B018
    importlib.reload(si)


def test_the_type_checker_sees_the_names_that_are_loaded_late() -> None:
    source = Path(si.__file__).read_text(encoding="utf-8")
    stated = dict(re.findall(r"from self_instruct\.([\w.]+) import (\w+) as \2", source))
    pairs = {name: module for module, name in re.findall(r"from self_instruct\.([\w.]+) import (\w+) as \2", source)}
    assert stated and pairs == si._HOMES


def test_importing_the_package_loads_no_other_module_of_it() -> None:
    code = "import sys, self_instruct; print([name for name in sys.modules if name.startswith('self_instruct.')])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_examples_of_the_documentation_run(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 9
    for name in ("seeds", "demo_model"):
        (tmp_path / name).symlink_to(ROOT / name)
    script = tmp_path / "examples.py"
    first, *others = blocks
    later = "".join(f"    {line}\n" if line else "\n" for block in others for line in block.splitlines())
    shorter = {
        "num_instructions_to_generate=20": "num_instructions_to_generate=5",
        "max_new_tokens=512": "max_new_tokens=128",
    }
    code = f"{first}\n{later}"
    for shown, ours in shorter.items():
        assert code.count(shown) == 1
        code = code.replace(shown, ours)
    script.write_text(code)
    assert 'if __name__ == "__main__":' in first  # the script is a fork, which starts no process by `spawn`
    # The option only chooses a fork that has the libraries loaded.
    ended = run_process(sys.executable, script, "--model_name_or_path", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("5 {") and "['Count to 0 in Latin.', 'Count to 1 in Latin.'" in ended.stdout
    chat = [json.loads(line) for line in (tmp_path / "runs" / "chat.jsonl").read_text().splitlines()]
    assert chat and all(row["messages"][-1]["role"] == "assistant" for row in chat)


# ---- configuration


def test_a_config_takes_options_by_name_as_the_command_line_does(tmp_path: Path) -> None:
    config = si.Config(
        temperature=0.5, threshold=0.6, seed_tasks_path=ROOT / "seeds" / "code.jsonl", stop_words=("a", "b")
    )
    assert config.sampling.temperature == 0.5 and config.novelty.rouge_threshold == 0.6
    assert config.run.seed_tasks_path == str(ROOT / "seeds" / "code.jsonl") and config.sampling.stop_words == [
        "a",
        "b",
    ]
    assert si.Config(preset="alpaca", top_p=0.3).prompt.num_prompt_instructions == 3
    assert si.Config() == si.Config(temperature=0.8)
    assert si.Config(temperature=np.float32(0.5), seed=np.int64(7)) == si.Config(temperature=0.5, seed=7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperatur": 0.5}, "^unknown option temperatur; did you mean temperature?"),
        ({"temperature": -1}, "^temperature is -1.0, but must be at least 0"),
        ({"seed": 1.5}, "^seed is 1.5, but must be a whole number"),
        ({"filter_rules": "empty"}, "^filter_rules is 'empty', but must be a list of texts"),
        ({"threshold": 0.5, "rouge_threshold": 0.6}, "^rouge_threshold and threshold are the same option"),
        ({"preset": "alpacca"}, "did you mean alpaca"),
    ],
)
def test_a_wrong_option_is_named(options: dict, message: str) -> None:
    with pytest.raises(si.UserError, match=message):
        si.Config(**options)


# ---- generating and reading runs


@pytest.fixture(scope="module")
def by_command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    assert generate(*scripted(write_script(folder / "script.jsonl", 60), folder / "run", 30)).returncode == 0
    return folder


def config_of(script: Path, batch_dir: Path, **more: object) -> si.Config:
    options = {"seed_tasks_path": ROOT / "seeds" / "code.jsonl", "num_instructions_to_generate": 30}
    argv = [str(part) for part in scripted(script, batch_dir, 30)]
    given = dict(zip((part.removeprefix("--") for part in argv[::2]), argv[1::2], strict=True))
    for name, value in given.items():
        options[name] = int(value) if value.isdigit() else float(value) if re.fullmatch(r"\d*\.\d+", value) else value
    return si.Config(**{**options, **more})


def test_a_run_from_python_is_the_run_of_the_command(by_command: Path, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    run = si.generate(config_of(by_command / "script.jsonl", tmp_path / "run"))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
    assert dataset(tmp_path / "run") == dataset(by_command / "run")
    assert len(run.records) == len(run) == run.report["accepted"] == 30
    assert len(run.rejected) == run.report["blocks"] - 30
    table = run.to_dataset()
    assert table.column_names == ["instruction", "input", "output", "provenance"] and len(table) == 30
    assert [row["provenance"]["id"] for row in table] == [record.id for record in run.records]
    opened = si.load_run(tmp_path / "run")
    assert (opened.records, opened.rejected, opened.report) == (run.records, run.rejected, run.report)


def test_refilter_is_the_command_and_leaves_the_old_run(by_command: Path, tmp_path: Path) -> None:
    before = dataset(by_command / "run")
    strict = si.refilter(str(by_command / "run"), tmp_path / "strict", rouge_threshold=0.2)
    assert len(strict.records) < 30 and dataset(by_command / "run") == before
    near = next(item for item in strict.rejected if item.drop.reason == "rouge_l")
    assert near.drop.nearest is not None and near.drop.nearest.score >= 0.2
    with pytest.raises(si.UserError, match="is not empty"):
        si.refilter(by_command / "run", tmp_path / "strict")
    with pytest.raises(si.UserError, match="unknown option temperature"):
        si.refilter(by_command / "run", tmp_path / "other", temperature=0.5)


def test_an_engine_of_ones_own_generates(tmp_path: Path) -> None:
    texts = {at: (f"\nCount to {at} in Latin.\nOutput:\nUnus: {at}.\n", False) for at in range(5)}
    config = si.Config(
        seed_tasks_path=ROOT / "seeds" / "general.jsonl", batch_dir=tmp_path / "run", rouge_threshold=1.0,
        num_instructions_to_generate=3,
    )  # fmt: skip
    run = si.generate(config, engine=si.ScriptedEngine(texts))
    assert [record.instruction for record in run.records] == [f"Count to {at} in Latin." for at in range(3)]
    row = json.loads((tmp_path / "run" / "machine_generated_instructions.jsonl").read_text().splitlines()[0])
    assert row["provenance"]["model"] == "ScriptedEngine"


def test_mistakes_with_runs_are_one_message(tmp_path: Path) -> None:
    for call, message in (
        (lambda: si.generate(si.Config()), "batch_dir is missing"),
        (lambda: si.generate(si.Config(batch_dir=tmp_path / "x")), "--seed_tasks_path is missing"),
        (lambda: si.generate(si.Config(batch_dir=tmp_path / "x", plan=True)), "use the command"),
        (lambda: si.load_run(tmp_path), "holds no machine_generated_instructions.jsonl"),
        (lambda: si.load_run(tmp_path / "gone"), "holds no machine_generated_instructions.jsonl"),
    ):
        with pytest.raises(si.UserError, match=message):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "machine_generated_instructions.jsonl").write_text('{"instruction": 1, "provenance": {"id": "a"}}\n')
    with pytest.raises(si.UserError, match=r"instructions.jsonl:1: is not a record of a run"):
        _ = si.load_run(tmp_path).records
    (tmp_path / "report.json").write_text("[" * 100_000)
    with pytest.raises(si.UserError, match=r"report.json: cannot be read"):
        _ = si.load_run(tmp_path).report


# ---- curating, merging, converting


@pytest.mark.parametrize("as_dataset", [False, True])
def test_rows_in_memory_are_curated(as_dataset: bool) -> None:
    rows = [GOOD, NEAR, {key: OTHER[key] for key in ("instruction", "output")}]
    curated = si.curate(datasets.Dataset.from_list(rows) if as_dataset else rows)
    assert curated.kept == [rows[0], rows[2]]
    (dropped,) = curated.rejected
    assert (dropped.place, dropped.stage, dropped.reason, dropped.row) == ("row:2", "novelty", "rouge_l", NEAR)
    assert dropped.nearest is not None and dropped.nearest["score"] == 1.0
    assert curated.report["kept"] == 2


def test_files_and_runs_are_curated_as_by_the_command(by_command: Path, tmp_path: Path) -> None:
    run = si.load_run(by_command / "run")
    for data in (run, run.folder, run.folder / "machine_generated_instructions.jsonl", [str(run.folder)]):
        curated = si.curate(data, output_path=tmp_path / "out.jsonl", rouge_threshold=0.3)
        assert 0 < len(curated.kept) < 30 and len(curated.kept) + len(curated.rejected) == 30
        assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == curated.kept


def test_sources_are_merged_by_name(tmp_path: Path) -> None:
    merged = si.merge({"a": [GOOD], "b": [NEAR, OTHER]})
    assert [row["instruction"] for row in merged.kept] == [GOOD["instruction"], OTHER["instruction"]]
    assert [row["provenance"]["source"] for row in merged.kept] == ["a", "b"]
    assert [item.place for item in merged.rejected] == ["b:1"]


def test_data_of_rows_in_memory_does_not_depend_on_the_call(tmp_path: Path) -> None:
    rows = [{"text": "### Human: Name a river.### Assistant: Po"}, {"nothing": 1}]
    for again in (1, 2):
        made = [
            si.merge({"a": [GOOD], "b": [NEAR, OTHER]}, output_path=tmp_path / f"m{again}.jsonl").report,
            si.curate(rows, output_path=tmp_path / f"c{again}.jsonl").report,
            si.convert(rows, to="jsonl", output_path=tmp_path / f"v{again}.jsonl").report,
        ]
        assert [item["path"] for report in made for item in report["inputs"]] == ["a", "b", "row", "row"]
    assert len([path for path in tmp_path.iterdir() if path.name[1] == "1"]) == 9
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (tmp_path / path.name.replace("2", "1", 1)).read_bytes(), path
        assert b"/tmp" not in path.read_bytes().replace(str(tmp_path).encode(), b""), path
    with pytest.raises(si.UserError, match=r"^--input_path row: no known format has rows with the fields nothing"):
        si.curate([{"nothing": 1}])


def test_rows_are_converted(tmp_path: Path) -> None:
    done = si.convert([GOOD, {"nothing": 1}, OTHER], to="messages", output_path=tmp_path / "chat.jsonl")
    written = [json.loads(line) for line in done.path.read_text().splitlines()]
    assert [row["messages"][0]["content"] for row in written] == [GOOD["instruction"], OTHER["instruction"]]
    assert [item.place for item in done.rejected] == ["row:2"]
    with pytest.raises(si.UserError, match="did you mean messages"):
        si.convert([GOOD], to="mesages", output_path=tmp_path / "x.jsonl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "there are no rows"),
        ([1], "row 1 is of type int, but data is"),
        ([GOOD, "a.jsonl"], "row 2 is of type str"),
        ([{"instruction": object()}], "row 1 cannot be written as JSON"),
        (GOOD, "the data is of type dict, but data is"),
        (3, "the data is of type int, but data is"),
        (None, "the data is of type NoneType, but data is"),
        ("-", "only the command can read from a pipe"),
        ("gone.jsonl", "gone.jsonl"),
    ],
)
def test_invalid_data_is_one_message(data: object, message: str) -> None:
    with pytest.raises(si.UserError, match=message):
        si.curate(data)  # type: ignore[arg-type]
    with pytest.raises(si.UserError, match="unknown option rouge_treshold"):
        si.curate([GOOD], rouge_treshold=0.5)


WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: si.generate({"batch_dir": "x"}), "config is of type dict; give a self_instruct.Config"),  # type: ignore[arg-type]
    (lambda: si.generate(si.Config(batch_dir="x"), format="x"), "format is of type str"),  # type: ignore[arg-type]
    (lambda: si.generate(si.Config(batch_dir="x"), engine=object()), "has no method submit"),  # type: ignore[arg-type]
    (lambda: si.ScriptedEngine(["x"]), "texts is of type list; give a dict"),  # type: ignore[arg-type]
    (lambda: si.load_run(None), "the run is None, but must be a path"),  # type: ignore[arg-type]
    (lambda: si.refilter(None, "new"), "the run is None, but must be a path"),  # type: ignore[arg-type]
    (lambda: si.judge([GOOD]), "the data of judge is .*, but must be a path"),  # type: ignore[arg-type]
    (lambda: si.best_of_n(5), "the run is 5, but must be a path"),  # type: ignore[arg-type]
    (lambda: si.curate([GOOD], output_path=5), "output_path is 5, but must be a path"),  # type: ignore[arg-type]
    (lambda: si.curate([GOOD], output_path="x.txt"), "x.txt: is written as JSONL"),
    (lambda: si.convert([GOOD], to=None, output_path="x"), "to is missing"),  # type: ignore[arg-type]
    (lambda: si.convert([GOOD], to="jsonl", output_path=None), "output_path is missing"),  # type: ignore[arg-type]
    (lambda: si.merge([[GOOD]]), "sources is .*, but must be a dict"),  # type: ignore[arg-type]
    (lambda: si.merge({}), "sources is {}, but must be a dict with at least one source"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_an_argument_of_a_wrong_type_is_one_message(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(si.UserError, match=message):
        call()
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_records_is_a_dataset_with_the_same_columns(tmp_path: Path) -> None:
    (tmp_path / "machine_generated_instructions.jsonl").touch()
    assert si.load_run(tmp_path).to_dataset().column_names == ["instruction", "input", "output", "provenance"]


# ---- judging


def test_a_judge_decides_and_decides_again_without_a_model(tmp_path: Path) -> None:
    lines = [{"id": "a", **GOOD}, {"id": "b", **OTHER}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    answers = ["helpful: 5, correct: 5, clear: 5\nverdict: good", "helpful: 3, correct: 4, clear: 3\nverdict: good"]
    (tmp_path / "script.jsonl").write_text("".join(json.dumps({"text": f"{one}\n###\n"}) + "\n" for one in answers))
    paths = {"data": tmp_path / "in.jsonl", "output_path": tmp_path / "out.jsonl"}
    judged = si.judge(**paths, engine="scripted", script_path=tmp_path / "script.jsonl")
    assert judged.kept == lines and judged.scores == {"a": 5.0, "b": pytest.approx(10 / 3)}
    (tmp_path / "script.jsonl").unlink()
    again = si.judge(**paths, judge_threshold=4)
    assert again.kept == lines[:1] and again.report["kept"] == 1
    for options, message in (
        ({"data": tmp_path / "in.jsonl"}, "--output_path is missing"),
        ({"data": tmp_path / "gone.jsonl", "output_path": tmp_path / "x.jsonl"}, "gone.jsonl"),
        ({**paths, "judge_treshold": 4}, "did you mean judge_threshold"),
    ):
        with pytest.raises(si.UserError, match=message):
            si.judge(**options)


# ---- scoring, selecting, choosing among answers


@pytest.mark.parametrize("as_dataset", [False, True])
def test_rows_in_memory_are_scored_and_selected(as_dataset: bool, tiny_llama: Path, tmp_path: Path) -> None:
    rows = [GOOD, NEAR, {key: OTHER[key] for key in ("instruction", "output")}]
    data = datasets.Dataset.from_list(rows) if as_dataset else rows
    scored = si.score(data, model_name_or_path=tiny_llama, scores=["likelihood"])
    assert [{**row, "likelihood": 0} for row in scored.rows] == [{**row, "likelihood": 0} for row in rows]
    assert scored.report["scored"] == 3 and scored.report["inputs"] == [{"path": "row"}]
    numbers = [row["likelihood"] for row in scored.rows]
    best = scored.rows[numbers.index(max(numbers))]
    assert si.select(scored.rows, by="likelihood", top=0.3, max={"likelihood": 1}).kept == [best]
    at = sorted(numbers)[1]
    selected = si.select(scored.rows, min={"likelihood": at}, output_path=tmp_path / "out.jsonl")
    assert selected.kept == [row for row in scored.rows if row["likelihood"] >= at]
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == selected.kept
    (dropped,) = selected.rejected
    assert (dropped.reason, dropped.place) == ("below_minimum", f"row:{numbers.index(min(numbers)) + 1}")
    assert selected.report["kept"] == 2


def test_the_scores_of_a_run_are_stored_in_it_and_selected_from(
    by_command: Path, tiny_llama: Path, tmp_path: Path
) -> None:
    run = si.Run(Path(shutil.copytree(by_command / "run", tmp_path / "run")))
    scored = si.score(run, model_name_or_path=tiny_llama)
    assert len(scored.rows) == 30 and set(scored.rows[0]) - {"ifd", "likelihood"} == set(run.to_dataset().column_names)
    assert si.score(tmp_path / "run", scores=["ifd"]).report["models"] == scored.report["models"]  # no model is loaded
    assert len(si.select(run, by="ifd", top=0.5).kept) == 15
    apart = si.score(run, model_name_or_path=tiny_llama, output_path=tmp_path / "apart.jsonl")
    assert apart.rows == scored.rows and (tmp_path / "apart.scores.jsonl").is_file()
    for call, message in (
        (lambda: si.score([GOOD], model_name_or_path=tiny_llama, scores=["ifx"]), "did you mean ifd"),
        (lambda: si.score([GOOD]), "holds no scores yet; give a model"),
        (lambda: si.select([GOOD]), "nothing is selected by"),
        (lambda: si.select([GOOD], by="ifd", top=0.5), "no row has a number in this column"),
        (lambda: si.select([GOOD], tip=0.5), "did you mean top"),
        (lambda: si.best_of_n(run), "none of --run_tests, --judged and --reward_model"),
        (lambda: si.best_of_n(run, judged=True), "no record has several answers"),
        (lambda: si.best_of_n(run, juged=True), "did you mean judged"),
    ):
        with pytest.raises(si.UserError, match=message):
            call()


def test_only_the_first_process_of_a_launch_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert si.score([GOOD], model_name_or_path="none") == si.Scored([], {})


def test_the_best_answers_are_those_of_the_command(tmp_path: Path) -> None:
    config = si.Config(
        seed_tasks_path=ROOT / "seeds" / "general.jsonl", batch_dir=tmp_path / "run", recipe="chat", num_answers=2,
        num_instructions_to_generate=3, horizon=4, check_outputs=False,
    )  # fmt: skip
    run = si.generate(config, engine=ChatModel())
    answers = [row["provenance"]["choice"]["answers"] for row in run.to_dataset()]
    verdict = "helpful: {0}, correct: {0}, clear: {0}\nverdict: good\n###\n"
    texts = [json.dumps({"text": verdict.format(at % 2 + 4)}) + "\n" for at in range(sum(map(len, answers)))]
    (tmp_path / "script.jsonl").write_text("".join(texts))
    si.judge(run, all_answers=True, engine="scripted", script_path=tmp_path / "script.jsonl")
    best = si.best_of_n(run, judged=True)
    assert best.report["chosen_by"] == {"judge": sum(len(found) > 1 for found in answers)} and [
        row["instruction"] for row in best.rows
    ] == [record.instruction for record in run.records]
    assert best_of_n.main([str(run.folder), "--judged"]) == 0
    written = (run.folder / "best_of_n_instructions.jsonl").read_text()
    assert [json.loads(line) for line in written.splitlines()] == best.rows


def test_a_failing_engine_is_reported_and_a_thread_is_refused(tmp_path: Path) -> None:
    class Broken:
        def submit(self, requests: object) -> None: ...
        def poll(self) -> list:
            raise si.EngineLost("the cable was cut")

        def interrupt(self) -> None: ...
        def close(self) -> None: ...

    config = si.Config(seed_tasks_path=ROOT / "seeds" / "general.jsonl", batch_dir=tmp_path / "run")
    with pytest.raises(si.EngineLost, match="the cable was cut"):
        si.generate(config, engine=Broken())
    with ThreadPoolExecutor(1) as pool, pytest.raises(si.UserError, match="main thread"):
        pool.submit(si.generate, config).result()
