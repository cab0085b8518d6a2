"""Preparing options and provenance for publication."""

import re

import pytest

from self_instruct.config.option import declarations
from self_instruct.config.shipped import shipped
from self_instruct.datasets.example import Example
from self_instruct.datasets.naming import made_id, pasteable, presentable, short, with_short_paths
from self_instruct.generation.config import GROUPS


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"seed_tasks_path": "/home/ada/seeds/code.jsonl"}, {"seed_tasks_path": "code.jsonl"}),
        ({"a": ["~/x/y", "..\\no", "C:\\Users\\ada\\m", "file:/m/n"]}, {"a": ["y", "..\\no", "m", "n"]}),
        ({"benchmarks": ["he=/home/ada/he.jsonl", "~/b.jsonl", "gsm8k=openai/gsm8k"], "text": "a =/b"},
         {"benchmarks": ["he=he.jsonl", "b.jsonl", "gsm8k=openai/gsm8k"], "text": "a =/b"}),
        ({"model_name_or_path": "bigcode/starcoder2-3b"}, {"model_name_or_path": "bigcode/starcoder2-3b"}),
        ({"api_key": "x", "hub_token": "x", "Password": "x", "api_base": ["http://gpu7"], "api_extra_body": "{}"}, {}),
        ({"note": "hf_abcdefgh12345678", "url": "http://me:word@host/v1", "words": ["ok", "sk-abcdefgh1"]}, {}),
        ({"max_tokens": 5, "api_key_env": "OPENAI_API_KEY", "stop_words": ["a/b", "\n/x"]},
         {"max_tokens": 5, "api_key_env": "OPENAI_API_KEY", "stop_words": ["a/b", "\n/x"]}),
    ],
)  # fmt: skip
def test_paths_are_shortened_and_secrets_left_out(given, shown):
    assert presentable(given) == shown


def test_paths_below_the_working_directory_and_of_the_project_stay_relative(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    found = presentable(
        {"a": [f"{tmp_path}/project/x/y.jsonl", "./x", "../z/y.jsonl", f"he={tmp_path}/project/b", f"{tmp_path}/c"]}
    )
    assert found == {"a": ["x/y.jsonl", "x", "y.jsonl", "he=b", "c"]}
    assert pasteable(str(shipped("seeds/code.jsonl"))) == "seeds/code.jsonl"
    monkeypatch.chdir("/")
    assert pasteable(f"{tmp_path}/project/x.jsonl") == "x.jsonl"


def test_made_id_uses_source_or_file_name():
    def made(path, **more):
        return made_id(Example("", path=path, row=7, **more))

    assert made("a.jsonl") == "a.jsonl_7" and made("/b/a.jsonl", source="mine") == "mine_7"
    assert re.fullmatch(r"a\.jsonl-[0-9a-f]{6}_7", made("/b/a.jsonl")) and made("/b/a.jsonl") != made("/c/a.jsonl")
    assert made("tatsu-lab/alpaca") == "tatsu-lab/alpaca_7" and made("/b/\udcff/a").startswith("a-")


def test_only_options_that_may_hold_secrets_are_left_out():
    names = set(declarations(GROUPS))
    assert names - set(presentable(dict.fromkeys(names, 1))) <= {"api_base", "api_extra_body"}


def test_only_path_and_model_keys_are_shortened():
    row = {"text": "/etc/passwd", "provenance": [{"model": "/m/mine", "note": "/a/b", "path": None}]}
    kept = {"text": "/etc/passwd", "provenance": [{"model": "mine", "note": "/a/b", "path": None}]}
    assert with_short_paths(row) == kept
    assert short("tatsu-lab/alpaca") == "tatsu-lab/alpaca" and short("/a/b.jsonl") == "b.jsonl"
