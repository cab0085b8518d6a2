"""Starting and ending vLLM, as far as this can be tested without vLLM."""

import os
import subprocess
import sys
from contextlib import closing

import pytest

from self_instruct.engines import load_engine
from self_instruct.engines.base import EngineLost, Sampling
from self_instruct.engines.local.placement import Machine
from self_instruct.engines.vllm import starting
from self_instruct.engines.vllm.reaper import Reaper, writers
from self_instruct.errors import UserError
from tests.support.processes import wait_until

SLEEP = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
LOG = """\
(EngineCore pid=7) ERROR [core.py:1] EngineCore failed to start.
Traceback (most recent call last):
ValueError: To serve at least one request, 16.0 GiB KV cache is needed.
RuntimeError: Engine core initialization failed. See root cause above.
"""


def test_without_vllm_the_message_names_the_extra_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(starting.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--engine vllm needs the package vllm: pip install -e '\.\[vllm\]'"):
        load_engine("vllm", str(tmp_path), None, Sampling(8))


def test_the_reaper_kills_the_writers_of_a_file_and_no_other_processes(tmp_path):
    with (tmp_path / "ours").open("w") as output, (tmp_path / "other").open("w") as others:
        reaper = Reaper(output.fileno())
        ours = subprocess.Popen(SLEEP, stdout=output)
        other = subprocess.Popen(SLEEP, stdout=others)
        try:
            wait_until(lambda: writers(output.fileno()) == [ours.pid])
            reaper.watch()
            assert not reaper.lost()
            reaper.close()
            assert reaper.lost()
            assert ours.wait(300) == -9 and other.poll() is None
        finally:
            other.kill()
            other.wait()
        assert writers(output.fileno()) == []


def test_the_reaper_acts_when_its_parent_is_killed(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "from self_instruct.engines.vllm.reaper import Reaper\n"
        "output = open(sys.argv[1], 'w')\n"
        "reaper = Reaper(output.fileno())\n"
        f"subprocess.Popen({SLEEP!r}, env={{}}, stdout=output)\n"
        "print('started', flush=True)\n"
        "time.sleep(600)\n"
    )
    path = tmp_path / "output"
    parent = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as printed:
        printed.readline()
        with path.open() as output:
            wait_until(lambda: len(writers(output.fileno())) == 1)
            parent.kill()
            parent.wait()
            wait_until(lambda: not writers(output.fileno()))


def test_the_launchers_variables_are_unset_while_vllm_starts_and_restored(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_USE_AGENT_STORE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    before = dict(os.environ)
    with starting._environment([], 1, Machine("cpu")):
        assert not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_USE_AGENT_STORE"} & set(os.environ)
        os.environ["LOCAL_WORLD_SIZE"] = "7"  # as vLLM does
    assert dict(os.environ) == before


def test_processes_on_one_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(starting, "processes_here", lambda: 2)
    for name in ("VLLM_CPU_OMP_THREADS_BIND", "VLLM_CPU_KVCACHE_SPACE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    starting._share_cpu(1)
    assert os.environ["VLLM_CPU_OMP_THREADS_BIND"] == "1,3"
    assert 1 <= int(os.environ["VLLM_CPU_KVCACHE_SPACE"]) <= 4


def test_the_cause_of_a_failed_start_is_read_from_what_vllm_printed():
    with closing(starting.Output()) as output:
        with output.receiving():
            os.write(2, LOG.encode())
        error = starting._failure(RuntimeError("Engine core initialization failed"), output, 131_072)
    assert isinstance(error, UserError)
    assert str(error).startswith(
        "vLLM does not have enough memory: ValueError: To serve at least one request, 16.0 GiB KV cache is needed. Lower "
        "--max_length (now 131,072 tokens)"
    )


def test_a_failed_start_without_output_is_reported_with_the_exception():
    with closing(starting.Output()) as output:
        error = starting._failure(RuntimeError("no driver"), output, None)
    assert isinstance(error, EngineLost) and str(error) == "vLLM could not start: RuntimeError: no driver"
