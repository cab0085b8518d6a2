"""Every command with --dry_run leaves the disk as it was."""

import contextlib
import hashlib

import pytest

from self_instruct.commands import COMMANDS
from self_instruct.errors import UserError
from tests.support.commands import run_command
from tests.support.dataset_files import lines
from tests.support.runs import ROOT, generate, scripted
from tests.support.scripts import write_script

DRY = {
    "generate": ["--config", f"{ROOT}/configs/quickstart.yaml", "--batch_dir", "{tmp}/run", "--overwrite"],
    "topics": ["--output_path", "{tmp}/topics.txt"],
    "card": ["{tmp}/run", "--output_path", "{tmp}/card", "--push_to_hub", "ada/tasks", "--language", "de"],
}


def hashed(folder):
    """Return every file and folder below a folder, with its modification time."""
    return {
        (str(path), path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in [folder, *folder.rglob("*")]
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Make a run, a list of topics with its run directory, and a card with given facts."""
    place = tmp_path_factory.mktemp("dry")
    assert generate(*scripted(write_script(place / "script.jsonl", 60), place / "run", 5)).returncode == 0
    (place / "topics.txt.run").mkdir()
    (place / "topics.txt").write_text("bees\n")
    (place / "a.jsonl").write_text(lines({"instruction": "Sort.", "output": "1"}))
    assert run_command(["card", f"{place}/a.jsonl", "--output_path", f"{place}/card", "--license", "mit"]) == 0
    return place


@pytest.mark.parametrize("name", DRY)
@pytest.mark.parametrize("fresh", [False, True], ids=["over earlier output", "without earlier output"])
def test_dry_run_changes_nothing_on_disk(folder, name, fresh, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    argv = [word.format(tmp=folder) for word in DRY[name]]
    if fresh:
        argv = [f"{word}.new" if word in (f"{folder}/topics.txt", f"{folder}/card") else word for word in argv]
        argv = [f"{word}.new" if name == "generate" and word == f"{folder}/run" else word for word in argv]
    before = hashed(folder)
    assert run_command([name, *argv, "--dry_run"]) == 0
    assert hashed(folder) == before and capsys.readouterr().out


def test_no_other_command_has_a_dry_run(capsys):
    found = set[str]()
    for name in COMMANDS:
        for help in ("--help", "--help_all"):
            with contextlib.suppress(SystemExit, UserError):
                run_command([name, help])
        if "--dry_run" in capsys.readouterr().out:
            found.add(name)
    assert found == set(DRY)


@pytest.mark.parametrize("price", ["nan", "-1", "1,2,3"])
def test_a_price_that_no_run_could_use_is_refused(price, tmp_path):
    argv = [
        "--engine",
        "openai",
        "--api_base",
        "http://127.0.0.1:9/v1",
        "--api_model",
        "m",
        "--tokenizer_name_or_path",
    ]
    argv += [
        f"{ROOT}/demo_model",
        "--seed_tasks_path",
        f"{ROOT}/seeds/general.jsonl",
        "--batch_dir",
        str(tmp_path / "run"),
    ]
    for more in ([], ["--dry_run"]):
        with pytest.raises(UserError, match=f"--price_per_million_tokens is '{price}'"):
            run_command(["generate", *argv, f"--price_per_million_tokens={price}", *more])
    assert not (tmp_path / "run").exists()
