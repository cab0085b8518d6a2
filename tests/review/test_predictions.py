"""The journal of predictions."""

import dataclasses
import logging

import pytest

from self_instruct.errors import UserError
from self_instruct.records import Record
from self_instruct.review.predictions import PredictionFile, answered, read_predictions, sha256_of_record
from tests.review.test_consistency import prediction

FIRST = prediction("Sort the list.\ud800\n", 0.5, None)
SECOND = dataclasses.replace(FIRST, trial=1, prediction=None, reason="error", rouge_l=None, error="no memory")


def write(folder, *predictions):
    file = PredictionFile(folder)
    file.append(predictions)
    file.close()
    return folder / "self_consistency.jsonl"


def test_predictions_are_read_by_record_and_trial(tmp_path):
    assert read_predictions(tmp_path) == {}
    write(tmp_path, SECOND, FIRST)
    assert read_predictions(tmp_path) == {("000000-01", 0): FIRST, ("000000-01", 1): SECOND}


def test_of_several_lines_for_a_trial_the_last_counts(tmp_path):
    later = dataclasses.replace(FIRST, embedding=0.7, embedding_model="minilm")
    path = write(tmp_path, FIRST, SECOND)
    write(tmp_path, later)
    assert read_predictions(tmp_path)["000000-01", 0] == later
    assert path.read_bytes().count(b"\n") == 3
    file = PredictionFile(tmp_path)
    assert file.latest == read_predictions(tmp_path)
    file.close()


def test_an_error_of_the_engine_is_asked_again(tmp_path):
    write(tmp_path, FIRST, SECOND)
    found = read_predictions(tmp_path)
    assert [answered(found, ("000000-01", trial)) for trial in (0, 1, 2)] == [True, False, False]


def test_a_half_written_last_line_is_cut_off_when_the_file_is_opened(tmp_path, caplog):
    path = write(tmp_path, FIRST, SECOND)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert len(read_predictions(tmp_path)) == 2 and path.read_bytes() != whole
    with caplog.at_level(logging.WARNING):
        write(tmp_path)
    assert path.read_bytes() == whole and "half-written last line of 40 bytes" in caplog.text


def test_a_damaged_line_is_reported_and_moved(tmp_path, caplog):
    path = write(tmp_path, FIRST, SECOND)
    path.write_bytes(path.read_bytes().replace(b'"trial": 1', b'"trial": "one"'))
    assert list(read_predictions(tmp_path)) == [("000000-01", 0)]
    write(tmp_path)
    assert caplog.text.count("self_consistency.jsonl:2: is not a prediction (TypeError: trial is 'one'") == 2
    assert b'"one"' in (tmp_path / "self_consistency.quarantine.jsonl").read_bytes()
    assert path.read_bytes().count(b"\n") == 1


def test_a_file_that_another_launch_has_open_is_refused(tmp_path):
    file = PredictionFile(tmp_path)
    with pytest.raises(UserError, match="another launch is writing to it"):
        PredictionFile(tmp_path)
    file.close()
    write(tmp_path, FIRST)


def test_the_hash_of_a_record_depends_on_every_field():
    texts = [("a", "", "b"), ("a", "b", ""), ("ab", "", ""), ("a", "", "\ud800"), ("a", "", "c")]
    hashes = {sha256_of_record(Record("x", *fields)) for fields in texts}
    assert len(hashes) == len(texts)
    assert sha256_of_record(Record("x", "a", "", "b")) == sha256_of_record(Record("y", "a", "", "b", 3))
