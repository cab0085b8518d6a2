"""A step of vLLM that never ends because its process was killed."""

from threading import Event

import pytest

from self_instruct.engines.vllm import stepping
from self_instruct.engines.vllm.stepping import Stepper


@pytest.fixture(autouse=True)
def short_checks(monkeypatch):
    monkeypatch.setattr(stepping, "_CHECK_SECONDS", 0.01)


def test_the_stepper_waits_for_a_long_step_while_all_processes_run():
    waited, checks = Event(), []

    def lost() -> bool:
        checks.append(1)
        if len(checks) == 3:
            waited.set()
        return False

    stepper = Stepper(lambda: [waited.wait(300)], lost)
    assert stepper.step() == [True] and len(checks) >= 3
    stepper.close()


def test_a_killed_process_ends_the_wait():
    never = Event()
    stepper = Stepper(lambda: [never.wait()], lambda: True)
    with pytest.raises(RuntimeError, match="one of its processes was killed"):
        stepper.step()
    never.set()


def test_the_error_of_a_step_is_raised():
    def step() -> list[object]:
        raise ValueError("no room")

    stepper = Stepper(step, lambda: False)
    with pytest.raises(ValueError, match="no room"):
        stepper.step()
    stepper.close()
