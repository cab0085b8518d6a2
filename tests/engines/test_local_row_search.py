"""The search for the number of rows: on made-up speeds, and in the engine with a made-up clock."""

import hashlib
import itertools
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from self_instruct.engines import load_engine
from self_instruct.engines.base import Completion
from self_instruct.engines.local import engine as module
from self_instruct.engines.local import memory, row_search
from self_instruct.engines.local.hardware import describe_hardware
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.row_search import SHORT_SECONDS, SHORT_STEPS, WINDOW, BatchSize, RowSearch, RowsTried
from tests.support.engine_runs import PROMPTS, SAMPLED, complete, engine_of, request
from tests.support.loop_runs import looped
from tests.support.runs import dataset, rows

SHORT = replace(SAMPLED, max_new_tokens=12)
SPEEDS = {1: 60.0, 2: 115.0, 4: 225.0, 8: 450.0, 16: 900.0, 32: 1700.0, 64: 2300.0, 128: 2350.0, 256: 2360.0}
REQUESTS = [request(index, PROMPTS[index % 5]) for index in range(18)]


def searched(
    search: RowSearch, speeds: dict[int, float], seconds=lambda seconds: seconds, steps: int = 2000
) -> RowsTried:
    """Record full steps at the speed of each number of rows until the search ends; `seconds` changes their time."""
    for _ in range(steps):
        search.record(search.rows, seconds(search.rows / speeds[search.rows]))
    return search.tried()


def test_rows_are_doubled_as_long_as_that_gains_a_tenth_of_the_speed():
    tried = searched(RowSearch(1024), SPEEDS)
    assert (tried.rows, tried.ended, tried.conclusive) == (64, "gain", True)
    assert [rows for rows, _ in tried.speeds] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert dict(tried.speeds) == pytest.approx({rows: SPEEDS[rows] for rows, _ in tried.speeds})
    assert tried.line() == (
        "Rows 1: 60 tokens/s, 2: 115, 4: 225, 8: 450, 16: 900, 32: 1,700, 64: 2,300, 128: 2,350 -> 64 rows."
    )


@pytest.mark.parametrize(("most", "speeds", "tried"), [
    (1, {1: 9.04}, "Rows 1: 9.0 tokens/s -> 1 row, the most that are allowed."),
    (4, SPEEDS, "Rows 1: 60 tokens/s, 2: 115, 4: 225 -> 4 rows, the most that are allowed."),
    (5, {**SPEEDS, 5: 231.0}, "Rows 1: 60 tokens/s, 2: 115, 4: 225, 5: 231 -> 4 rows."),
    # Measured on a CPU: two rows are slower than one, but more are faster.
    (16, {1: 8.1, 2: 7.0, 4: 14.0, 8: 26.0, 16: 50.0},
     "Rows 1: 8.1 tokens/s, 2: 7.0, 4: 14, 8: 26, 16: 50 -> 16 rows, the most that are allowed."),
    (64, {1: 20.0, 2: 15.0, 4: 15.0, 8: 15.0, 16: 21.0}, "Rows 1: 20 tokens/s, 2: 15, 4: 15, 8: 15, 16: 21 -> 1 row."),
])  # fmt: skip
def test_memory_or_the_device_limits_the_rows(most, speeds, tried):
    assert searched(RowSearch(most), speeds).line() == tried


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_change_the_result(seed):
    rng = random.Random(seed)

    def noisy(seconds: float) -> float:
        """A third of the steps also read prompts, and every step varies by 4 %."""
        return seconds * rng.uniform(0.96, 1.04) * (rng.uniform(2, 30) if rng.random() < 0.33 else 1)

    assert searched(RowSearch(1024), SPEEDS, noisy).rows == 64


@pytest.mark.parametrize("slow", [2, 4, 5])
def test_one_slow_window_does_not_end_the_search(slow):
    """Something else takes half of the machine during one window of steps."""
    steps = itertools.count()
    tried = searched(RowSearch(1024), SPEEDS, lambda seconds: seconds * (2 if next(steps) // WINDOW == slow else 1))
    assert tried.rows == 64


def test_the_search_ends_if_requests_do_not_fill_the_rows():
    search = RowSearch(64)
    while search.rows < 8:
        search.record(search.rows, 1.0)
    for _ in range(SHORT_STEPS * 50):  # requests may still be on their way
        search.record(6, SHORT_SECONDS / SHORT_STEPS / 100)
    assert search.ended is None and "the pilot ended before the search" in search.tried().line()
    for _ in range(SHORT_STEPS * 50):
        search.record(6, SHORT_SECONDS / SHORT_STEPS / 50)
    tried = search.tried()
    assert (tried.ended, tried.rows, tried.conclusive) == ("requests", 8, False)
    assert tried.line().startswith(
        "Rows 1: 1.0 tokens/s, 2: 2.0, 4: 4.0; there were too few requests at a time for 8 rows"
    )
    search.record(8, 1.0)
    assert search.rows == 8


def test_a_search_without_a_full_window_has_measured_nothing():
    assert RowSearch(64).tried().line().startswith("Rows: none were measured; the pilot ended before")


class Clock:
    """A clock for an engine whose step takes as long with up to four rows, and then longer with each row."""

    def __init__(self) -> None:
        self.now, self.engine, self.most_active = 0.0, None, 0

    def __call__(self) -> float:
        active = self.engine._backend.active if self.engine is not None else 0
        self.most_active = max(self.most_active, active)
        self.now += max(4, active) / 4
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Put a clock into the engine, and let four steps be enough for a speed."""
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr(row_search, "WINDOW", 4)
    return clock


def searching(clock, folder, sampling, most: int = 8, **options):
    clock.engine = engine_of(folder, sampling, False, batch_size=9, search=RowSearch(most, "a CPU"), **options)
    return clock.engine


@pytest.fixture(scope="module")
def alone(tiny_llama):
    """The completions of all requests, one at a time."""
    return complete(engine_of(tiny_llama, SHORT, False, backend="slots", batch_size=1), REQUESTS)


@pytest.mark.parametrize("lag", [0, 1])
def test_the_engine_admits_more_rows_and_changes_no_text(tiny_llama, clock, alone, lag):
    engine = searching(clock, tiny_llama, SHORT, backend="slots")
    engine._backend._lag = lag
    reads, real = [], engine._backend._model.read
    engine._backend._model.read = lambda texts, *rest: (reads.extend(texts), real(texts, *rest))[1]
    assert engine.rows == 1
    found = complete(engine, REQUESTS)
    assert {index: item.text for index, item in found.items()} == {index: item.text for index, item in alone.items()}
    assert len(reads) == len(REQUESTS), "a row was read again"
    tried = engine.rows_tried
    assert [rows for rows, _ in tried.speeds] == [1, 2, 4, 8] and clock.most_active == 8
    assert (tried.rows, tried.ended, tried.hardware, engine.rows) == (4, "gain", "a CPU", 4)


def test_rows_that_lack_requests_let_the_caller_give_more(tiny_llama, clock):
    engine, waiting, found, engine_had = searching(clock, tiny_llama, SHORT), REQUESTS, [], 0
    while waiting or len(found) < len(REQUESTS):
        given, waiting = waiting[: 2 * engine.rows - engine_had], waiting[2 * engine.rows - engine_had :]
        engine.submit(given)
        ended = engine.poll()
        engine_had += len(given) - len(ended)
        found += [item.request for item in ended]
    assert sorted(found) == list(range(18)) and engine.rows_tried.rows == 4


def test_a_search_ends_if_memory_runs_out(tiny_llama, clock, monkeypatch):
    engine, calls = searching(clock, tiny_llama, SHORT), itertools.count()
    real = engine._backend._model.launch

    def launch(uniform, *rest):
        if len(uniform) == 4 and next(calls) == 3:
            raise RuntimeError("can't allocate memory")
        return real(uniform, *rest)

    monkeypatch.setattr(engine._backend._model, "launch", launch)
    found = complete(engine, [request(index, PROMPTS[index % 5]) for index in range(20)])
    assert len(found) == 20 and not [item.error for item in found.values() if item.error]
    assert (engine.rows, engine.rows_tried.ended) == (2, "memory")
    assert engine.rows_tried.line().endswith("-> 2 rows, because memory ran out with more.")


def test_only_slots_searches(tiny_llama, clock):
    engine = searching(clock, tiny_llama, SHORT, backend="static")
    assert engine.rows == 9 and engine.rows_tried is None


def test_an_engine_takes_the_rows_that_were_found_on_its_hardware(tiny_llama, caplog):
    caplog.set_level("INFO", memory.__name__)
    model = load_model(str(tiny_llama))[0]
    here = describe_hardware(model, None)
    assert here.endswith(f", {torch.get_num_threads()} threads, float32")
    assert describe_hardware(model.bfloat16(), "4bit").endswith(" threads, bfloat16, 4bit")

    def rows_of(**options) -> int:
        engine = load_engine("huggingface", str(tiny_llama), None, SAMPLED, batch_size=BatchSize(**options))
        assert engine.rows_tried is None
        return engine.rows

    found = {"a GPU, bfloat16": 512, here: 3}
    assert (rows_of(found=found), rows_of(found={"a GPU, bfloat16": 512}), rows_of(given=5, found=found)) == (3, 16, 5)
    assert [message.partition(",")[0] for message in caplog.messages] == [
        "Rows: as a pilot on this hardware has found", "Rows: 16"
    ]  # fmt: skip
    assert rows_of(given=5, search=True) == 5  # a number that is given needs no search
    engine = load_engine("huggingface", str(tiny_llama), None, SAMPLED, batch_size=BatchSize(search=True, found=found))
    assert (engine.rows, engine._search.most, engine.rows_tried.hardware) == (1, 16, here)


def test_a_search_on_a_gpu_may_try_as_many_rows_as_fit_up_to_1024(tiny_llama, monkeypatch):
    gpu, model = torch.device("cuda"), load_model(str(tiny_llama))[0]
    size = memory.measure_cache(model)[torch.device("cpu")]
    wide = SimpleNamespace(device=gpu, dtype=torch.bfloat16, config=model.config)
    monkeypatch.setattr(memory, "measure_cache", lambda model: {gpu: size})
    monkeypatch.setattr(memory, "describe_hardware", lambda model, quantization: "a GPU")
    for fitting, most in ((100, 100), (700, 700), (3000, 1024)):
        needed = memory.memory_of(wide, size, fitting, 100) / memory.USABLE
        monkeypatch.setattr(memory, "free_bytes", lambda place, free=needed: int(free) + 1)
        rows, search = memory.plan_rows(wide, 100, BatchSize(search=True), None)
        assert (rows, search.most) == (min(256, most), most)
        assert memory.plan_rows(wide, 100, BatchSize(found={"a GPU": 2**50}), None) == (most, None)


class Framed:
    """An engine whose completions hold one task, made from a hash of what the model wrote."""

    def __init__(self, engine) -> None:
        self.engine, self.submit, self.interrupt = engine, engine.submit, engine.interrupt

    def poll(self) -> list[Completion]:
        return [replace(item, text=framed(item.text)) for item in self.engine.poll()]


def framed(text: str) -> str:
    words = [hashlib.sha256(f"{text} {at}".encode()).hexdigest()[:8] for at in range(6)]
    return f"Explain the words {' '.join(words)}.\n\n4. Output:\nThey are {words[0]}.\n###\n"


def test_a_pilot_gives_the_dataset_of_one_row(tiny_llama, clock, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    for name, options in (("one", {"batch_size": 1}), ("pilot", {"search": RowSearch(8)})):
        clock.engine = engine = engine_of(tiny_llama, SHORT, False, backend="slots", **options)
        looped(Framed(engine), tmp_path / name, horizon=16, max_requests=30)
    assert dataset(tmp_path / "pilot") == dataset(tmp_path / "one")
    assert len(rows(tmp_path / "pilot/machine_generated_instructions.jsonl")) > 20
    assert engine.rows == 4 and clock.most_active == 8
