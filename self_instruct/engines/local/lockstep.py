"""Several processes that hold one model together, a part of every layer each (tensor parallelism), and move in step.

Only the leader of a group is given requests. It tells the others what it is about to do, and all run the same back-end on
the same rows: the sums that the layers exchange are equal everywhere and random numbers belong to the request, so all draw
the same tokens. That they do is checked at every step, not brought about: tokens that differ would mean that caches differ
too. A member that is lost, lacks memory or draws otherwise ends the whole group with a message; requests under way are
asked again by the next launch. Knows rows and processes, not layers.
"""

import functools
import json
import logging
import signal
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from self_instruct.engines.base import Request, Sampling
from self_instruct.engines.local.active_request import ActiveRequest, out_of_memory
from self_instruct.engines.local.backend import Backend
from self_instruct.engines.local.engine import HuggingFaceEngine
from self_instruct.engines.local.placement import device
from self_instruct.errors import UserError

# An exchange within a layer waits for a member that computes, the next order for a leader that has nothing to do.
_STEP, _IDLE = timedelta(minutes=5), timedelta(days=365)
_COLLECTIVES = {"cuda": "nccl", "xpu": "xccl"}
_GO, _STOP, _CLOSE = range(3)
_log = logging.getLogger(__name__)


class GroupFailed(UserError):
    """The processes that hold a model together cannot go on together."""


class Group:
    """This process's place among the `size` that hold a model: `member` 0 leads."""

    def __init__(self, member: int, size: int, rank: int) -> None:
        self.member, self.size, self.rank = member, size, rank
        self._control = dist.new_group(backend="gloo", timeout=_IDLE)

    @property
    def leads(self) -> bool:
        """Whether this member is the one that is given requests."""
        return self.member == 0

    def smallest(self, number: int) -> int:
        """The smallest of the members' numbers. Waits until every member has named one."""
        numbers = torch.tensor([number])
        with self.watched():
            dist.all_reduce(numbers, op=dist.ReduceOp.MIN, group=self._control)
        return int(numbers)

    def tell(self, order: int, checksum: int, text: bytes) -> tuple[int, int, bytes]:
        """What the leader tells all members; what the others pass is not looked at."""
        head = torch.tensor([order, checksum, len(text)])
        with self.watched():
            dist.broadcast(head, 0, group=self._control)
            order, checksum, length = head.tolist()
            if not length:
                return order, checksum, b""
            body = torch.frombuffer(bytearray(text if self.leads else length), dtype=torch.uint8)
            dist.broadcast(body, 0, group=self._control)
        return order, checksum, body.numpy().tobytes()

    def leave(self) -> None:
        """Ends the group, when all of its members do."""
        dist.destroy_process_group()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Turns what shows that a member is lost, or lacks memory, into `GroupFailed`."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).splitlines()[0][:200]
            if isinstance(error, dist.DistError) or any(name in reason for name in ("gloo", "NCCL")):
                raise GroupFailed(
                    f"a process that holds a part of the model has ended ({reason}); the same command goes on",
                    self.rank,
                ) from error
            raise GroupFailed(
                f"{out_of_memory(error)}; processes that hold one model together cannot retreat one by one: give a smaller "
                "--request_batch_size, and the same command goes on",
                self.rank,
            ) from error


def join(rank: int, size: int, store: Any = None) -> Group:
    """Forms the group of this rank: ranks 0 to `size` - 1 are one group, the next `size` another.

    `store` is a torch.distributed store that all ranks share, by default the launcher's. Raises `UserError` if the others
    cannot be reached. To be called before the model is loaded: transformers splits it among the process group it finds.
    """
    kind, member = device().type, rank % size
    try:
        if store is None:
            store, _, _ = next(dist.rendezvous("env://", timeout=_STEP))
        dist.init_process_group(
            f"cpu:gloo,{kind}:{_COLLECTIVES[kind]}" if kind in _COLLECTIVES else "gloo",
            store=dist.PrefixStore(f"model/{rank // size}", store), rank=member, world_size=size, timeout=_STEP,
        )  # fmt: skip
        return Group(member, size, rank)
    except (ValueError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"rank {rank} cannot join the {size} processes of its model: {reason}", rank) from error


class Lockstep:
    """A back-end of every member that moves only when the leader's does.

    The leader uses it as any back-end and closes it; the others call `follow`.
    """

    def __init__(self, backend: Backend, model: Any, group: Group) -> None:
        self.limit = backend.limit  # for good: a group whose memory is short ends
        self._backend, self._group = backend, group
        self._rows: list[ActiveRequest] = []  # that the leader has told of and that have not ended
        self._told = self._stopped = self._failed = self._left = False
        model.forward = _watched(model.forward, group)

    @property
    def active(self) -> int:
        """Rows under way."""
        return self._backend.active

    def advance(
        self, waiting: list[ActiveRequest], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[ActiveRequest]:
        """As the back-end's own. Raises `GroupFailed` when the members cannot go on together."""
        self._failed = True  # until the step is whole
        known = set(map(id, self._rows))
        new = [row for row in waiting if id(row) not in known]
        self._rows += new
        self._order(_STOP if interrupted() else _GO, new)
        return self._advance(waiting, on_step, interrupted)

    def follow(self) -> None:
        """What a member that does not lead does until the leader closes. Signals are the leader's to heed."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)
        waiting: list[ActiveRequest] = []
        while (new := self._heed()) is not None:
            self._rows += new
            waiting += new
            self._advance(waiting, lambda rows: None, lambda: False)
        self._leave()

    def close(self) -> None:
        """Lets the other members go, once, unless the group has failed: then they have found that out themselves."""
        if self._group.leads and not self._failed and not self._left:
            self._order(_CLOSE, [])
            self._leave()

    def _leave(self) -> None:
        self._left = True
        self._group.leave()

    def _advance(
        self, waiting: list[ActiveRequest], on_step: Callable[[int], None], interrupted: Callable[[], bool]
    ) -> list[ActiveRequest]:
        self._told = True

        def step(rows: int) -> None:
            self._told = False
            on_step(rows)

        def stopped() -> bool:
            # One exchange a step, however often a back-end asks.
            if not self._told:
                self._told = True
                if self._group.leads:
                    self._order(_STOP if interrupted() else _GO, [])
                else:
                    self._heed()
            return self._stopped

        ended = self._backend.advance(waiting, step, stopped)
        self._rows = [row for row in self._rows if row.reason is None]
        short = next((row.error for row in ended if row.error and row.failures), None)
        if short or self._backend.limit < self.limit:
            with self._group.watched():
                raise torch.OutOfMemoryError(short or f"with {self.limit} rows")
        self._failed = False
        return ended

    def _order(self, order: int, new: list[ActiveRequest]) -> None:
        text = (
            json.dumps([[asdict(row.request), row.prompt, asdict(row.sampling)] for row in new]).encode()
            if new
            else b""
        )
        self._stopped = order == _STOP
        self._group.tell(order, self._checksum(len(new)), text)

    def _heed(self) -> list[ActiveRequest] | None:
        """The rows that the leader tells of, or None when it closes."""
        order, checksum, text = self._group.tell(0, 0, b"")
        if order == _CLOSE:
            return None
        if checksum != self._checksum():
            raise GroupFailed(
                "the processes that hold the model together drew different tokens; their devices and libraries must be the "
                "same; the same command goes on",
                self._group.rank,
            )
        self._stopped = order == _STOP
        rows = json.loads(text) if text else []
        return [ActiveRequest(Request.of(request), prompt, Sampling(**sampling)) for request, prompt, sampling in rows]

    def _checksum(self, but_last: int = 0) -> int:
        """Of what all rows under way have drawn, but for those that the others do not know yet."""
        known = self._rows[: len(self._rows) - but_last]
        return zlib.crc32(repr([(row.request.index, len(row.tokens), row.tokens[-1:]) for row in known]).encode())


def _watched(forward: Callable[..., Any], group: Group) -> Callable[..., Any]:
    """A model's forward pass whose lack of memory no back-end takes for its own affair."""

    @functools.wraps(forward)
    def watched(*args: Any, **options: Any) -> Any:
        with group.watched():
            return forward(*args, **options)

    return watched


class LockstepEngine(HuggingFaceEngine):
    """The engine of one member of a group. Only the leader's is given requests; the others' only `follow`."""

    def __init__(self, group: Group, model: Any, *arguments: Any) -> None:
        super().__init__(model, *arguments)
        self._lockstep = self._backend = Lockstep(self._backend, model, group)

    def follow(self) -> None:
        """Takes part in what the leader generates until it closes. Raises `GroupFailed` if it is lost."""
        self._lockstep.follow()
        super().close()

    def close(self) -> None:
        """Lets the other members go and the model with them."""
        self._lockstep.close()
        super().close()
