"""run.yaml: its contents, reading it back, and refusing a launch that would change the plan of a run."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from self_instruct.config.option import declarations
from self_instruct.errors import UserError
from self_instruct.generation.config import GROUPS, assemble, flatten
from self_instruct.runs import manifest

LAUGHS = ", ".join(["a0: &a0 [lol]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))])
"""YAML whose aliases stand for 100 million values."""
OPTIONS = {**flatten(assemble({})), "horizon": 16}


def check_same_plan(folder, earlier, now):
    manifest.check_same_plan(folder, earlier, now, declarations(GROUPS))


def described(**options: Any) -> dict[str, Any]:
    return manifest.describe(
        {**OPTIONS, **options}, "instruction_output", "Write tasks.\n1. Be brief.", "seedhash", "rev"
    )


def refusal(earlier: dict[str, Any], now: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        check_same_plan(Path("runs/x"), earlier, now)
    return str(caught.value)


def test_the_description_contains_every_option_and_every_version(tmp_path: Path) -> None:
    content = described(seed=7)
    assert list(content) == [
        "format", "model_revision", "seed_tasks_sha256", "options", "header", "response_filters_sha256", "versions"
    ]  # fmt: skip
    assert set(content["options"]) == set(declarations(GROUPS))
    assert content["options"]["seed"] == 7
    assert all(content["versions"].values())
    assert {"python", "torch", "transformers", "rouge-score", "numba"} <= set(content["versions"])


def test_written_values_are_read_back(tmp_path: Path) -> None:
    content = described(stop_words=["\n\n", "###", "yes", "1e-5"], top_p=1e-5, model_revision="007", prompt_path=None)
    manifest.write(tmp_path, content)
    assert manifest.read(tmp_path) == content
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]
    check_same_plan(tmp_path, content, manifest.read(tmp_path) or {})


TRICKY = [
    "a\r\nb", " lead\n\n  deep\n", "# no comment", "yes", "1e-5", "a: b", "- x", "'\"", "\t", "好 😀", "", "\x00", "\ufeff"
]  # fmt: skip


@pytest.mark.parametrize("text", TRICKY)
def test_text_that_looks_like_yaml_is_read_back(tmp_path: Path, text: str) -> None:
    content = {**described(stop_words=[text], filter_keywords=[text, "x"]), "header": f"{text}\nWrite {text} tasks."}
    manifest.write(tmp_path, content)
    assert manifest.read(tmp_path) == content


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\n"), max_size=30))
@settings(deadline=None, derandomize=True, max_examples=40)
def test_any_plain_header_is_read_back(tmp_path_factory: pytest.TempPathFactory, header: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    manifest.write(folder, {"options": {}, "header": header})
    assert manifest.read(folder) == {"options": {}, "header": header}


def test_the_file_is_readable_by_people(tmp_path: Path) -> None:
    manifest.write(tmp_path, {**described(), "header": "Schreibe für Zoë."})
    text = (tmp_path / "run.yaml").read_text(encoding="utf-8")
    assert "header: Schreibe für Zoë.\n" in text
    assert "\n  rouge_threshold: 0.7\n" in text


def test_a_folder_without_a_manifest_has_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "none", tmp_path / "file"):
        assert manifest.read(folder) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"options: [", r"cannot be read \(while parsing a flow node .*line 1, column 11.*\)"),
        (b"\xff", r"cannot be read \('utf-8' codec can't decode .*\)"),
        (b"options: " + 1000 * b"[", r"cannot be read \(maximum recursion depth exceeded.*\)"),
        (b"options: {a: " + 5_000 * b"9" + b"}", r"cannot be read \(Exceeds the limit .*\)"),
        (b"options: {a: 1, a: 2}", r"cannot be read \(a is repeated .*\)"),
        (f"options: {{{LAUGHS}}}".encode(), r"cannot be read \(its aliases expand to more than 100,000 values\)"),
        (b"options: {}\ncategories: 3", "is not the description of a run"),
        (b"", "is not the description of a run"),
        (b"- a", "is not the description of a run"),
        (b"format: x", "is not the description of a run"),
        (b"options: 3", "is not the description of a run"),
    ],
)
def test_a_damaged_description_is_reported(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(UserError, match=rf"run\.yaml: {message}; restore it, or use another --batch_dir"):
        manifest.read(tmp_path)


# ---- the same plan


BY_CONTENT = "response_filters_path"
NOT_PLAN = [name for name, item in declarations(GROUPS).items() if not item.metadata["fixed"] and name != BY_CONTENT]
PLAN = [name for name, item in declarations(GROUPS).items() if item.metadata["fixed"]]


def test_an_option_of_the_plan_may_not_change() -> None:
    earlier = described()
    wrong = {}
    for name in PLAN:
        message = refusal(earlier, described(**{name: "other"}))
        start = f"runs/x was started with another plan: --{name} was {OPTIONS[name]!r} and is now 'other'. "
        if not (message.startswith(start) and "--batch_dir" in message and "refilter" in message):
            wrong[name] = message
    assert wrong == {} and len(PLAN) > 30


def test_every_other_option_may_change() -> None:
    earlier = described()
    refused = {}
    for name in NOT_PLAN:
        try:
            check_same_plan(Path("runs/x"), earlier, described(**{name: "other"}))
        except UserError as caught:
            refused[name] = str(caught)
    assert refused == {} and len(NOT_PLAN) > 30


def test_a_pattern_file_may_move_but_not_change(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("- sorry")
    (tmp_path / "same").write_text("- sorry")
    (tmp_path / "other").write_text("- never")
    one, same, other = (described(**{BY_CONTENT: str(tmp_path / name)}) for name in ("one", "same", "other"))
    check_same_plan(Path("runs/x"), one, same)
    assert "the content of --response_filters_path has changed" in refusal(one, other)
    assert "the content of --response_filters_path has changed" in refusal(described(), one)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("format", "the format has changed (was instruction_output, is now other)"),
        ("model_revision", "the model has changed (was rev, is now other)"),
        ("seed_tasks_sha256", "the seed file's content has changed."),
        ("header", "the header of the prompt has changed."),
    ],
)
def test_a_file_compared_by_content_may_not_change(key: str, message: str) -> None:
    assert message in refusal(described(), {**described(), key: "other"})


def test_only_decimal_digits_are_a_number(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("options: {seed: 1:30, top_k: 0x10, horizon: 010}")
    assert manifest.read(tmp_path) == {"options": {"seed": "1:30", "top_k": "0x10", "horizon": "010"}}


def test_a_long_value_of_another_plan_is_cut_in_the_message() -> None:
    message = refusal(described(seed=list(range(90_000)), filter_keywords=["x" * 10_000]), described())
    assert ", 22, 23, ...] and is now 42" in message and len(message) < 2000


def test_all_changes_are_named_at_once() -> None:
    message = refusal(described(), {**described(seed=1, top_k=5), "header": "other"})
    for expected in ("--seed was 42 and is now 1", "--top_k was 0 and is now 5", "the header of the prompt"):
        assert expected in message


def test_versions_and_options_of_other_releases_are_ignored() -> None:
    earlier = described()
    del earlier["options"]["max_tasks_per_request"]
    earlier["options"]["forgotten"] = 1
    earlier["versions"] = {"python": "3.0"}
    check_same_plan(Path("runs/x"), earlier, described())


def test_the_manifest_has_no_time_and_no_user(tmp_path: Path) -> None:
    manifest.write(tmp_path, described())
    keys = set(yaml.safe_load((tmp_path / "run.yaml").read_text()))
    assert not keys & {"created_at", "host", "user", "command", "cwd"}
    (tmp_path / "other").mkdir()
    manifest.write(tmp_path / "other", described())
    assert (tmp_path / "run.yaml").read_bytes() == (tmp_path / "other" / "run.yaml").read_bytes()
