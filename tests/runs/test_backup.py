"""--append and --overwrite: continue an earlier run, or move it to a backup."""

from pathlib import Path

import pytest

from self_instruct.errors import UserError
from self_instruct.runs.backup import set_aside
from self_instruct.runs.lock import Lock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "run"
    place.mkdir()
    (place / "completions.jsonl").write_text("one\n")
    (place / "notes.txt").write_text("mine\n")
    return place


def aside(options, folder, is_main, ask=None):
    return set_aside(
        folder, **{"overwrite": False, "append": False, "yes": False, **options}, is_main=is_main, ask=ask
    )


@pytest.mark.parametrize("options", [{}, {"append": True}, {"yes": True}])
def test_a_run_continues_unless_overwrite_is_given(folder, options):
    assert not aside(options, folder, True) and (folder / "completions.jsonl").read_text() == "one\n"


def test_every_earlier_run_is_kept_as_a_backup(folder):
    for number in (1, 2):
        assert aside({"overwrite": True, "yes": True}, folder, True)
        assert (folder.with_name(f"run.backup-{number}") / "notes.txt").read_text() == "mine\n" and not folder.exists()
        folder.mkdir()
        (folder / "notes.txt").write_text("mine\n")


def test_without_a_terminal_overwrite_needs_yes(folder):
    with pytest.raises(UserError, match="no terminal to ask; add --yes"):
        aside({"overwrite": True}, folder, True)
    assert (folder / "notes.txt").exists()


@pytest.mark.parametrize("agreed", [True, False])
def test_the_user_is_asked_on_a_terminal(folder, agreed):
    asked = []

    def ask(question):
        asked.append(question)
        return agreed

    if agreed:
        assert aside({"overwrite": True}, folder, True, ask)
    else:
        with pytest.raises(UserError, match="nothing was changed"):
            aside({"overwrite": True}, folder, True, ask)
    assert folder.exists() is not agreed and asked == [
        f"{folder} holds 2 files. Move them to a backup and start over? [y/N] "
    ]


def test_append_and_overwrite_together_are_refused(folder):
    with pytest.raises(UserError, match="--append and --overwrite"):
        aside({"append": True, "overwrite": True}, folder, True)


def test_other_ranks_start_over_without_moving_files(folder):
    assert aside({"overwrite": True}, folder, False) and (folder / "notes.txt").exists()


def test_an_empty_or_missing_directory_needs_no_question(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        assert aside({"overwrite": True}, tmp_path / name, True)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("name", ["TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"])
def test_a_restarted_launch_continues(folder, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert not aside({"overwrite": True, "yes": True}, folder, True) and folder.exists()


def test_the_directory_of_a_running_launch_is_not_moved(folder):
    lock = Lock(folder / "completions.jsonl.lock")
    with pytest.raises(UserError, match="another launch"):
        aside({"overwrite": True, "yes": True}, folder, True)
    lock.release()
    assert folder.exists() and aside({"overwrite": True, "yes": True}, folder, True)
