"""Dataset repositories and cards of a real run and of files made from it."""

import json
import re
import shutil

import datasets
import pytest
import yaml
from huggingface_hub import DatasetCard

import self_instruct
from self_instruct.commands import curate as post_processing
from self_instruct.config.option import declarations
from self_instruct.datasets.card import Stated, read_stated
from self_instruct.datasets.history import Declared
from self_instruct.datasets.publish import default_name, write_repository
from self_instruct.datasets.repository import CARD, CHATS, MARK, RECORDS
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS
from tests.support.chat_model import ChatModel
from tests.support.commands import run_command as main
from tests.support.curation_runs import written
from tests.support.dataset_files import LONGER, lines
from tests.support.runs import ROOT, generate, rows, scripted
from tests.support.scripts import write_script

SECRET = "hf_0123456789abcdefABCDEF"


def card(path, output, *more):
    """Return the exit code, and the card as huggingface_hub reads it, which refuses invalid front matter."""
    code = main(["card", str(path), "--output", str(output), *map(str, more)])
    return code, DatasetCard((output / CARD).read_text(encoding="utf-8"))


def loaded(folder, cache, *configuration):
    return datasets.load_dataset(str(folder), *configuration, split="train", cache_dir=str(cache))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a run, and curate its records with a stricter threshold."""
    place = tmp_path_factory.mktemp("whole_way")
    assert generate(*scripted(write_script(place / "script.jsonl", 60), place / "run")).returncode == 0
    records = str(place / "run" / "machine_generated_instructions.jsonl")
    options = ["--input_path", records, "--output_path", str(place / "strict.jsonl"), "--rouge_threshold", "0.5"]
    assert post_processing.main(options) == 0
    return place


@pytest.fixture(scope="module")
def published(folder, tmp_path_factory):
    return card(folder / "strict.jsonl", folder / "published", "--license", "cc-by-4.0", "--language", "en")[1]


def test_the_front_matter_has_the_fields_that_the_hub_reads(published):
    about = published.data.to_dict()
    assert about["license"] == "cc-by-4.0" and about["language"] == ["en"] and about["size_categories"] == ["n<1K"]
    assert {item["config_name"]: item["data_files"] for item in about["configs"]} == {
        "default": [{"split": "train", "path": RECORDS}],
        "chat": [{"split": "train", "path": CHATS}],
    }
    assert (
        "synthetic" in about["tags"]
        and "pretty_name" not in about
        and published.text.lstrip().startswith("# strict\n")
    )


def test_the_datasets_library_loads_both_configurations(folder, published, tmp_path):
    kept = rows(folder / "strict.jsonl")
    records, chat = (loaded(folder / "published", tmp_path, name) for name in ("default", "chat"))
    assert [row["instruction"] for row in records] == [row["instruction"] for row in kept]
    assert [row["provenance"]["id"] for row in records] == [row["provenance"]["id"] for row in kept]
    made = json.loads(records[0]["provenance"]["fields"])["provenance"]
    assert {**made, "id": kept[0]["provenance"]["id"]}.keys() == kept[0]["provenance"].keys()
    assert chat[0] == {
        "prompt": [{"role": "user", "content": kept[0]["instruction"]}],
        "completion": [{"role": "assistant", "content": kept[0]["output"]}],
    }
    assert len(chat) == len(kept) == len(records)


def test_the_card_lists_every_step_with_its_counts(folder, published):
    run = json.loads((folder / "run" / "report.json").read_text())
    curation = json.loads((folder / "strict.report.json").read_text())
    text = published.text
    assert f"generated {run['accepted']:,} records".capitalize() in text
    assert f"Curated: {curation['kept']:,} records" in text and text.index("Generated") < text.index("Curated")
    for report in (run["drops"], curation["drops"]):
        for found in report.values():
            for reason, number in found.items():
                assert f"{reason:<26} {-number:>12,}" in text
    assert "self-instruct generate" in text and "self-instruct curate" in text
    assert "--input_path machine_generated_instructions.jsonl" in text and "--rouge_threshold 0.5" in text
    assert f"{rows(folder / 'strict.jsonl')[0]['provenance']['model']}" in text


def test_the_options_in_the_card_are_those_of_the_run(folder, published):
    described = yaml.safe_load((folder / "run" / "run.yaml").read_text())
    block = published.text.split("All options of step 1</summary>\n\n```yaml\n")[1].split("```")[0]
    recorded = yaml.safe_load(block)["options"]
    assert recorded["rouge_threshold"] == described["options"]["rouge_threshold"] == 0.6
    assert recorded["seed_tasks_path"] == "seeds/code.jsonl" and set(recorded) - {"seed_tasks_sha256"} <= set(
        declarations(GROUPS)
    )


def test_no_path_and_no_secret_of_this_machine_is_published(folder, tmp_path):
    run = shutil.copytree(folder / "run", tmp_path / "run")
    described = yaml.safe_load((run / "run.yaml").read_text())
    described["options"].update(filter_keywords=[SECRET], script_path=str(tmp_path / "secret place.jsonl"))
    (run / "run.yaml").write_text(yaml.safe_dump(described))
    content = rows(run / "machine_generated_instructions.jsonl")
    content[0]["provenance"]["model"] = str(tmp_path / "models" / "mine")
    written(run / "machine_generated_instructions.jsonl", *content)
    card(run, tmp_path / "out")
    everything = (tmp_path / "out" / CARD).read_bytes()
    table = b"".join(
        json.dumps(loaded(tmp_path / "out", tmp_path / "cache", name).to_list()).encode()
        for name in ("default", "chat")
    )
    for text in (str(tmp_path), str(folder), SECRET):
        assert text.encode() not in everything + table
    assert b"`mine`" in everything and b"secret place.jsonl" in everything


def test_the_model_licence_comes_from_its_folder_or_from_the_option(folder, tmp_path):
    run, model = shutil.copytree(folder / "run", tmp_path / "run"), tmp_path / "toy"
    model.mkdir()
    (model / "README.md").write_text("---\nlicense: openrail\n---\n# Toy\n")
    described = yaml.safe_load((run / "run.yaml").read_text())
    described["options"]["model_name_or_path"] = str(model)
    (run / "run.yaml").write_text(yaml.safe_dump(described))
    assert "| openrail |" in card(run, tmp_path / "a")[1].text
    assert "| mit |" in card(run, tmp_path / "b", "--model_license", "mit")[1].text
    (model / "README.md").write_bytes(b"---\nlicense: [\xff\n---")
    assert "| not known |\n" in card(run, tmp_path / "a")[1].text


@pytest.mark.parametrize(
    "options",
    [
        {"recipe": "few_shot", "answer_orphans": "always"},
        {"recipe": "chat", "keep_reasoning": True},
        {"recipe": "magpie", "magpie_opening": "Write"},
        {"categories": "general:3"},
    ],
)
def test_every_recipe_has_a_card(tmp_path, options):
    given = {"batch_dir": str(tmp_path / "run"), "num_instructions_to_generate": 3, "horizon": 4, **options}
    seeds = {} if "categories" in options else {"seed_tasks_path": str(ROOT / "seeds" / "code.jsonl")}
    engine = ChatModel(orphans=options.get("recipe") == "few_shot")
    assert len(self_instruct.generate(self_instruct.Config(**given, **seeds), engine=engine)) == 3
    code, made = card(tmp_path / "run", tmp_path / "out", "--license", "mit", "--language", "en")
    assert (
        code == 0 and "**1. Generated 3 records.**" in made.text and "stopped: all 3 records are accepted" in made.text
    )
    option = next(iter(options))
    assert f"--{option} {options[option]}" in made.text
    assert len(loaded(tmp_path / "out", tmp_path / "cache", "chat")) == 3


def test_invisible_answers_are_no_answers(tmp_path, capsys):
    outputs = ["swift", "\u200b", "\ufeff", " ", "\u2060\u200b"]
    source = tmp_path / "in.jsonl"
    source.write_text(lines(*({"instruction": f"Name bird {at}.", "output": text} for at, text in enumerate(outputs))))
    code, made = card(source, tmp_path / "out")
    assert code == 0 and "Not in `chat`: 4 records (no answer)" in made.text
    assert len(loaded(tmp_path / "out", tmp_path / "cache", "chat")) == 1


def test_conversations_and_odd_rows_are_laid_out_and_counted(tmp_path, capsys):
    odd = {"messages": [LONGER[0], {"role": "assistant", "content": None, "tool_calls": [{"name": "clock"}]}]}
    asked = {"messages": LONGER[:1]}
    fence = {"messages": [{"role": "user", "content": "````\n---\n<b>| x"}, LONGER[1]], "category": "a|b\nc"}
    source = tmp_path / "chats.jsonl"
    source.write_text(lines(fence, {"messages": LONGER}, odd, asked) + '{"messages"\n', encoding="utf-8")
    code, made = card(source, tmp_path / "out")
    assert code == 3 and "license" not in made.data.to_dict()
    said = capsys.readouterr().out
    assert "--license, --language" in said and "other_turns" in said and "chats.jsonl:5" in said
    assert len(loaded(tmp_path / "out", tmp_path / "cache")) == 4
    chat = loaded(tmp_path / "out", tmp_path / "cache", "chat")
    assert [len(row["prompt"]) for row in chat] == [1, 3] and chat[1]["completion"] == LONGER[3:]
    assert "a\\|b c" in made.text and "Not in `chat`: 1 records (no answer)" in made.text


HOSTILE = "a`|b\n---\n# [x](y) ``` <script>\r\n| {{ 7 * 7 }} {% raw %}: &amp; \u2028\ud800"


def test_hostile_names_break_neither_front_matter_nor_tables_nor_fences(tmp_path):
    about = {"category": HOSTILE, "source": HOSTILE, "license": HOSTILE}
    made = {"provenance": {"model": HOSTILE, "model_revision": "|"}}
    record = {"instruction": f"Sort. {HOSTILE}", "output": "````", **about, **made}
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    source.write_text(json.dumps(record) + "\n")
    repository = write_repository(
        source, out, Declared({}, {}, {}), Stated(HOSTILE, HOSTILE, [HOSTILE], HOSTILE), repo='"\n```\n#'
    )
    assert read_stated(out / CARD) == Stated(HOSTILE, HOSTILE, [HOSTILE], HOSTILE)
    assert (repository.statistics.records, [name for name, _ in repository.files]) == (1, [CARD, RECORDS, CHATS])
    made = DatasetCard((out / CARD).read_text(encoding="utf-8"))
    about = made.data.to_dict()
    assert (about["pretty_name"], about["license"], about["language"]) == (HOSTILE, HOSTILE, [HOSTILE])
    headings = [line for line in made.text.split("\n") if line.startswith("#")]
    titles = ["## Loading", "## The first record", "## Model", "## Sources", "## Figures"]
    assert headings[0].startswith("# a\\`\\|b --- \\# \\[x\\]") and headings[1:] == titles
    widths = [len(re.findall(r"(?<!\\)\|", line)) for line in made.text.split("\n") if line.startswith("| ")]
    assert widths == [3, 3, 3, *[5] * 3, *[4] * 3, *[8] * 4, *[3] * 3]
    assert (
        "{{ 7 \\* 7 }}" in headings[0]
        and made.text.split("````python\n")[1].split("````")[0].count('split="train"') == 2
    )


def test_tasks_without_answers_have_no_chat_configuration_and_an_old_one_is_removed(tmp_path):
    source, out = tmp_path / "tasks.jsonl", tmp_path / "out"
    source.write_text(lines({"instruction": "Sort.", "output": "1"}))
    card(source, out)
    assert (out / CHATS).is_file()
    source.write_text(lines({"instruction": "Sort."}, {"instruction": "Count."}))
    _, made = card(source, out)
    assert [item["config_name"] for item in made.data.configs] == ["default"] and not (out / CHATS).exists()
    assert len(loaded(out, tmp_path / "cache")) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/a.jsonl"], "--output_path is missing"),
        (["{tmp}/none.jsonl", "--output", "{tmp}/new"], "cannot be read (No such file"),
        (["{tmp}/empty.jsonl", "--output", "{tmp}/new"], "holds no row"),
        (["{tmp}/cut.jsonl", "--output", "{tmp}/new"], "none of 1 rows could be read"),
        (["{tmp}", "--output", "{tmp}/new"], "is a directory"),
        (["-", "--output", "{tmp}/new"], "give the path of a file"),
        (["{tmp}/a.jsonl", "--output", "{tmp}/a.jsonl"], "is a file; give a directory"),
        (["{tmp}/a.jsonl", "--output", "{tmp}/full"], "no card written by this command"),
        (["{tmp}/a.jsonl", "--output", "{tmp}/new", "--private"], "needs --push_to_hub"),
        (["{tmp}/a.jsonl", "--output", "{tmp}/new", "--push_to_hub", "a b/c"], "not a valid repository name"),
        (["{tmp}/a.jsonl", "--output", "{tmp}/new", "--push_to_hub", "a/b"], "HF_HUB_OFFLINE forbids"),
        (["{tmp}/b.jsonl", "--output", "{tmp}/new"], "b.report.json: is not a report of self-instruct"),
    ],
)  # fmt: skip
def test_user_errors_name_their_cause_and_nothing_is_written(tmp_path, arguments, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "full").mkdir()
    files = {"a.jsonl": lines({"instruction": "Sort.", "output": "1"}), "empty.jsonl": "", "cut.jsonl": '{"instruct\n',
             "b.jsonl": lines({"instruction": "Sort."}), "b.report.json": '{"kept": "many"}',
             "full/README.md": "# Mine\n"}  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        main(["card", *[part.format(tmp=tmp_path) for part in arguments]])
    assert message in str(caught.value)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(files) and (tmp_path / "full/README.md").read_text() == "# Mine\n"


def test_files_left_by_a_failed_card_do_not_block_the_next_one(tmp_path, monkeypatch):
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    source.write_text(lines({"output": "nothing asked"}, {"instruction": "", "output": 5}))
    with pytest.raises(UserError):
        main(["card", str(source), "--output", str(out)])
    (out / f"{RECORDS}.part").parent.mkdir(parents=True, exist_ok=True)
    (out / f"{RECORDS}.part").write_bytes(b"PAR1")  # left by a killed process
    source.write_text(lines({"instruction": "Sort.", "output": "1"}))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
        patch.setattr("self_instruct.datasets.publish.render_card", full)
        main(["card", str(source), "--output", str(out)])
    assert (out / RECORDS).is_file() and not (out / "README.md").exists()
    (out / "README.md.part").touch()  # left by a process that was killed while it wrote the card
    assert card(source, out)[0] == 0
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {"README.md", RECORDS, CHATS}
    for folder, name in (("theirs", RECORDS), ("hidden", ".git/config"), ("part", "mine.part")):
        (tmp_path / folder / name).parent.mkdir(parents=True)
        (tmp_path / folder / name).write_bytes(b"PAR1")
        with pytest.raises(UserError, match="no card written by this command"):
            main(["card", str(source), "--output", str(tmp_path / folder)])


def full(*_):
    raise OSError(28, "full")


def test_an_input_file_is_never_overwritten(tmp_path):
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    source.write_text(lines({"instruction": "Sort.", "output": "1"}))
    card(source, out)
    with pytest.raises(UserError, match="that the output would replace"):
        main(["card", str(out / CHATS), "--output", str(out)])


def test_rewritten_card_keeps_facts_given_before(tmp_path, capsys):
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    made = {"provenance": {"model": "toy", "model_revision": "1"}}
    source.write_text(lines({"instruction": "Sort.", "output": "1", **made}))
    facts = [
        "--license",
        "cc-by-4.0",
        "--language",
        "en",
        "de",
        "--pretty_name",
        "Sorted: 1",
        "--model_license",
        "mit",
    ]
    _, first = card(source, out, *facts)
    capsys.readouterr()
    _, again = card(source, out)
    assert again.content == first.content
    kept = "Kept from the earlier card: --pretty_name, --license, --language, --model_license."
    assert kept in capsys.readouterr().out
    _, changed = card(source, out, "--license", "mit")
    about = changed.data.to_dict()
    assert (about["license"], about["language"], about["pretty_name"]) == ("mit", ["en", "de"], "Sorted: 1")
    assert changed.text.lstrip().startswith("# Sorted: 1\n") and "| toy | 1 | 1 | mit |" in changed.text


@pytest.mark.parametrize(
    "front", ["license: [", "license: 5\nlanguage: {a: 1}\npretty_name: [x]", "- license", "a: 1\nlanguage: en"]
)
def test_damaged_or_odd_front_matter_of_an_earlier_card_is_not_kept(tmp_path, front):
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    source.write_text(lines({"instruction": "Sort.", "output": "1"}))
    card(source, out)
    (out / CARD).write_text(f"---\n{front}\n---\n{MARK}\n")
    about = card(source, out)[1].data.to_dict()
    assert set(about) & {"license", "pretty_name", "a", "language"} == (
        {"language"} if "language: en" in front else set()
    )


@pytest.mark.parametrize(
    ("path", "repo", "name"),
    [
        ("mine/machine_generated_instructions.jsonl", None, "mine"),
        ("mine", None, "mine"),
        ("mine/../mine/.", None, "mine"),
        ("mine/judged_instructions.jsonl", None, "mine"),
        ("mine", "ada/tasks.v1", "tasks.v1"),
        ("data/tasks.v1.jsonl", None, "tasks.v1"),
        ("data/tasks.v1.txt", None, "tasks.v1.txt"),
    ],
)
def test_title_is_name_of_repository_or_run_or_file(tmp_path, path, repo, name):
    (tmp_path / "mine").mkdir()
    assert default_name(tmp_path / path, repo) == name


def test_load_dataset_line_of_a_local_card_works(tmp_path, monkeypatch):
    source = tmp_path / "a.jsonl"
    source.write_text(lines({"instruction": "Sort.", "output": "1"}))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    for working, place in ((tmp_path, "my data/the card"), (tmp_path / "my data/the card", "../the card")):
        monkeypatch.chdir(working)
        code = card(source, tmp_path / "my data/the card")[1].text.split("```python\n")[1].split("```")[0]
        found = dict[str, object]()
        exec(code, found)
        assert f'load_dataset("{place}", split="train")' in code
        assert len(found["records"]) == len(found["chat"]) == 1  # type: ignore[arg-type]
