"""The number of rows that fit into memory."""

from types import SimpleNamespace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.engines.local import memory
from self_instruct.engines.local.loading import load_model
from self_instruct.engines.local.memory import (
    choose_rows,
    free_bytes,
    longest_row,
    main_memory,
    measure_cache,
    memory_of,
)
from self_instruct.errors import UserError
from tests.support.tiny_models import save_tiny_model

CPU = torch.device("cpu")


# The number of heads whose keys and values are cached: fewer than four where the architecture has grouped or multi-query
# attention. Falcon's code repeats them before caching them, regardless of its configuration.
HEADS = {"gpt_bigcode": 1, "starcoder2": 2, "llama": 2, "qwen3": 2, "mistral": 2, "mixtral": 2, "gpt_neox": 4, "opt": 4,
         "bloom": 4, "gptj": 4, "falcon": 4}  # fmt: skip


@pytest.mark.parametrize("architecture", HEADS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cache_holds_a_key_and_a_value_per_token_layer_and_head(architecture, dtype, tmp_path):
    model = load_model(str(save_tiny_model(architecture, tmp_path)))[0].to(dtype)
    found = measure_cache(model)[CPU]
    assert found.per_token == 2 * 2 * HEADS[architecture] * 8 * dtype.itemsize
    assert found.per_row <= 16  # a token counter, in models with sliding-window attention


@pytest.fixture
def model(tiny_llama):
    return load_model(str(tiny_llama))[0]


def test_as_many_rows_as_fit_up_to_the_limit(model, monkeypatch, caplog):
    caplog.set_level("INFO", memory.__name__)
    size = measure_cache(model)[CPU]
    needs = {rows: memory_of(model, size, rows, 1000) for rows in range(1, 20)}
    for rows in needs:
        for spare, expected in [(1, rows), (-1, rows - 1)]:
            monkeypatch.setattr(memory, "free_bytes", lambda place, free=needs[rows] / 0.8 + spare: int(free))
            assert choose_rows(model, 1000) == max(1, min(16, expected))
    assert set(caplog.messages[-2:]) == {"Rows: 16, 0.0 GB of cache for 1000 tokens each."}
    assert len(caplog.messages) == 2 * len(needs)


def test_a_gpu_gets_as_many_rows_as_fit_up_to_256(model, monkeypatch):
    gpu, size = torch.device("cuda"), measure_cache(model)[CPU]
    wide = SimpleNamespace(device=gpu, dtype=torch.bfloat16, config=model.config)
    monkeypatch.setattr(memory, "measure_cache", lambda model: {gpu: size})
    for rows in (1, 65, 200, 256, 300):
        needed = memory_of(wide, size, rows, 1000) / memory.USABLE
        monkeypatch.setattr(memory, "free_bytes", lambda place, free=needed: int(free) + 1)
        assert choose_rows(wide, 1000) == min(256, rows)


def test_rows_need_at_least_their_caches_and_more_rows_need_more(model):
    size = measure_cache(model)[CPU]
    needs = [memory_of(model, size, rows, 1000) for rows in range(1, 65)]
    assert all(need > rows * size.per_token * 1000 for rows, need in enumerate(needs, 1)) and needs == sorted(needs)


def test_a_model_without_memory_for_one_row_is_refused_with_needed_and_free_memory(model, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda place: 10**9)
    with pytest.raises(
        UserError, match=r"of 2000000 tokens needs \d\.\d GB on cpu .* 1\.0 GB are free; .*--max_length"
    ):
        choose_rows(model, 2_000_000)


@given(st.none() | st.integers(2, 10**6), st.none() | st.integers(2, 10**6), st.integers(1, 10**5))
def test_a_row_stays_within_every_length_limit(context, max_length, new):
    longest = longest_row(context, max_length, new)
    limits = [limit for limit in (context, max_length, 2048 + new) if limit is not None]
    assert longest in limits and all(longest <= limit for limit in limits)


def write(folder, name, text):
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@pytest.mark.parametrize(
    ("line", "folder", "names", "limit", "expected"),
    [
        ("0::/job/step", "job", V2, "5000", 5000 - 3000 + 1000),  # a group above holds the limit
        ("0::/", "", V2, "5000", 3000),
        ("0::/job", "job", V2, "max", 8192 * 1024),
        ("4:cpu,memory:/job", "memory/job", V1, "5000", 3000),
        ("4:memory:/elsewhere/docker", "memory", V1, "5000", 3000),  # the path outside of the container
        ("4:memory:/job", "memory/job", V1, str(2**63 - 4096), 8192 * 1024),
        ("4:cpu:/job", "cpu/job", V1, "5000", 8192 * 1024),
        ("0::/job", "job", V2, "1000", 0),
    ],
)
def test_main_memory_is_limited_by_the_machine_and_the_control_groups(
    tmp_path, monkeypatch, line, folder, names, limit, expected
):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8192 * 1024))
    write(tmp_path, "proc/self/cgroup", f"9:name=systemd:/\n{line}\n")
    write(tmp_path / "groups" / folder, f"{names[0]}", f"{limit}\n")
    write(tmp_path / "groups" / folder, f"{names[1]}", "3000\n")
    write(tmp_path / "groups" / folder, "memory.stat", f"cache 1\n{names[2]} 1000\n")
    assert main_memory(tmp_path / "proc", tmp_path / "groups") == expected


def test_without_control_groups_the_memory_of_the_machine_is_the_limit(tmp_path):
    assert 0 < main_memory(tmp_path, tmp_path) <= psutil.virtual_memory().total


def test_processes_on_one_machine_share_its_memory(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    alone = free_bytes(CPU)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert 0 < free_bytes(CPU) < alone / 2
