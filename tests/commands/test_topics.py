"""Parsing topic lists that people and models write, and the topics command."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.config.shipped import shipped
from self_instruct.errors import UserError
from self_instruct.generation.categories.topic_lists import LONGEST, listed, normalised, read_topics
from tests.support.category_runs import script_of
from tests.support.endpoint_server import EndpointServer
from tests.support.runs import rows, run

LISTS = {
    "7. Rope bridges\n8. Night trains\n": ["rope bridges", "night trains"],
    "- Salt\n* Sea walls\n• Sand\n": ["Salt", "sea walls", "Sand"],
    "1) **Tea ceremonies**\n2) \"Glass blowing\"\n": ["tea ceremonies", "glass blowing"],
    "1. **Fossils**: how bones turn to stone\n2. Owls - hunters of the night\n": ["Fossils", "Owls"],
    "1. **Fossils:** how bones turn to stone\n2. Owls (and other birds)\n": ["Fossils", "Owls"],
    "Here are some topics:\n\n1. Kites\n\n2. Kites and wind.\nI hope this helps!": ["Kites", "kites and wind"],
    "Topic 1: Whales\nTopic 2: Wells\n": ["Whales", "Wells"],
    "kites\nclocks\n": ["kites", "clocks"],
    "1. NASA missions\n2. DNA\n3. 1984\n4. ...\n5. Nature:\n": ["NASA missions", "DNA"],
    "1. " + "very long " * 20 + "\n2. Bees\n": ["Bees"],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize("text", LISTS)
def test_numbered_lists_in_the_forms_that_models_write(text):
    assert [topic for _, topic in listed(text) if topic] == LISTS[text]


def test_a_last_line_that_was_cut_is_left_out():
    assert [topic for _, topic in listed("1. Bees\n2. Honey in the mid", truncated=True)] == ["Bees"]


@given(st.text(max_size=200))
def test_any_text_gives_topics_that_are_short_lines_and_stay_as_they_are(text):
    for item, topic in listed(text):
        assert item and (topic is None or (len(topic) <= LONGEST and topic.isprintable() and re.search(r"\w", topic)))


@given(st.lists(st.from_regex(r"[a-z]{2,8}( [a-z]{2,8}){0,3}", fullmatch=True), min_size=1, max_size=9))
def test_a_plain_numbered_list_reads_back(topics):
    text = "".join(f"{number}. {topic}\n" for number, topic in enumerate(topics, start=1))
    assert [topic for _, topic in listed(text)] == [normalised(topic) for topic in topics] == topics


def test_bad_lines_of_a_file_are_reported_and_skipped(tmp_path, caplog):
    path = tmp_path / "topics.txt"
    path.write_bytes(b"\xef\xbb\xbf# mine\nbees\r\n\n  old  clocks \nBees\n\xff\n***\n" + b"x" * 200 + b"\n")
    assert read_topics(path) == ("bees", "old clocks")
    assert f"{path}:5: repeats an earlier topic" in caplog.text and f"{path}:6: is not UTF-8" in caplog.text
    assert f"{path}:7: has no word in it" in caplog.text and f"{path}:8: is longer than 120 characters" in caplog.text


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n\n"])
def test_a_file_without_topics_is_refused(content, tmp_path):
    path = tmp_path / "topics.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="--topics_path"):
        read_topics(path)


def test_the_list_that_comes_with_the_project_is_clean(caplog):
    assert len(read_topics(shipped("configs/topics.txt"))) > 200 and not caplog.text


def test_the_command_writes_new_topics_and_continues(tmp_path):
    first = "Rope making\n8. Night trains\n9. rope making\n10. Party politics\n11. A long list:\n"
    second = "**Wells**\n8. Night trains and ferries\n9. Pigeons\n10. Tides"
    script = script_of([{"text": first}, {"text": second, "finish_reason": "length"}, {"text": "Bees\n8. Bells\n"}],
                       tmp_path / "script.jsonl")  # fmt: skip
    out = tmp_path / "topics.txt"
    command = [sys.executable, "-m", "self_instruct.topics", "--engine", "scripted", "--script_path", script,
               "--output_path", out, "--topic_avoidance", "politics, religion", "--topics_per_request", 5]  # fmt: skip
    ended = run(*command, "--num_topics", 4)
    assert ended.returncode == 0, ended.stderr
    assert out.read_text().splitlines() == ["rope making", "night trains", "Wells", "Pigeons"]
    rejected = {(row["reason"], row["detail"] or row["text"] or row["instruction"]) for row in rows(
        tmp_path / "topics.txt.run/rejected.jsonl")}  # fmt: skip
    assert rejected == {("rouge_l", "rope making"), ("avoided", "politics"), ("no_topic", "A long list:"),
                        ("rouge_l", "night trains and ferries")}  # fmt: skip
    assert "Done: 4 of 4 topics." in ended.stdout and str(out) in ended.stdout
    with (tmp_path / "topics.txt.run/machine_generated_instructions.jsonl").open("ab") as file:
        file.write(b'{"instruction": "Be')  # a kill during a write
    ended = run(*command, "--num_topics", 50)
    assert "--script_path has no more completions" in ended.stdout
    assert out.read_text().splitlines()[-2:] == ["Bees", "Bells"]
    ended = run(*command, "--num_topics", 50, "--topic_avoidance", "bees")
    assert ended.returncode == 2 and "the header of the prompt has changed" in ended.stderr


def test_a_file_that_the_run_has_not_written_is_not_replaced(tmp_path):
    script = script_of([{"text": "Bees\n8. Bells\n"}, {"text": "Kites\n8. Tides\n"}], tmp_path / "script.jsonl")
    out, backup = tmp_path / "topics.txt", tmp_path / "topics.txt.backup-1"
    out.write_text("a topic of mine\n")
    command = [sys.executable, "-m", "self_instruct.topics", "--engine", "scripted", "--script_path", script,
               "--output_path", out]  # fmt: skip
    refused = run(*command, "--num_topics", 2)
    assert refused.returncode == 2 and "was not written by this run" in refused.stderr
    assert out.read_text() == "a topic of mine\n" and not (tmp_path / "topics.txt.run").exists()
    ended = run(*command, "--num_topics", 2, "--overwrite", "--yes")
    assert ended.returncode == 0 and out.read_text() == "Bees\nBells\n" and f"kept as {backup}" in ended.stderr
    assert backup.read_text() == "a topic of mine\n"
    out.write_text("Bees\n")  # as an interrupted launch leaves it
    assert run(*command, "--num_topics", 3).returncode == 0 and out.read_text().startswith("Bees\nBells\n")
    edited = out.read_text() + "by hand\n"
    out.write_text(edited)
    assert run(*command, "--num_topics", 3).returncode == 2 and out.read_text() == edited


def test_a_server_lists_topics_too(tmp_path):
    choice = {"index": 0, "finish_reason": "stop", "text": "Rope making\n8. Night trains\n9. Wells\n"}
    answer = {"choices": [choice], "usage": {"prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 49}}
    out = tmp_path / "topics.txt"
    with EndpointServer(answer=answer) as server:
        ended = run(
            sys.executable, "-m", "self_instruct.topics", "--engine", "openai", "--api_base", server.url, "--api_model", "m",
            "--api_endpoint", "completions", "--num_topics", 3, "--output_path", out, OPENAI_API_KEY="fake-key-123456",
        )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert out.read_text().splitlines() == ["rope making", "night trains", "Wells"]
