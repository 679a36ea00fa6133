"""Answers the scheduler about commands inside runs of this agent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.bus import Bus, adapting
from epochal_kernel.clock import Clock
from epochal_kernel.errors import (
    EpochalError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    to_status,
)
from epochal_kernel.rpc import wire
from google.protobuf.message import DecodeError, Message

from epochal_scheduler.agent.holding import Holdings
from epochal_scheduler.agent.terminals.session import Session, Wanted
from epochal_scheduler.terminal_subjects import HOLD_S, VERBS, Verb, terminal_subject

if TYPE_CHECKING:
    from nats.aio.msg import Msg

MOST_SESSIONS = 64
ABANDONED_S = 60.0
CHECK_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Open:
    """A session, the run it is in, and when somebody last read from it."""

    run: str
    session: Session
    read_at: float
    reading: bool = False


@dataclass(slots=True)
class Terminals:
    """All commands inside runs of this agent."""

    holdings: Holdings
    clock: Clock
    _open: dict[str, _Open] = field(default_factory=dict)
    _answering: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, bus: Bus, agent: str) -> None:
        """Answers until cancelled; then ends what is open."""
        answers: dict[Verb, Callable[[bytes], Awaitable[Message]]] = {
            "open": self._answer_open,
            "read": self._answer_read,
            "write": self._answer_write,
        }
        await bus.wait_connected(timeout_s=None)
        try:
            for verb in VERBS:
                with adapting():
                    await bus.client.subscribe(
                        terminal_subject(agent, verb), cb=self._receiver(bus, answers[verb])
                    )
            while True:
                await self.clock.sleep(CHECK_S)
                await self.close_abandoned()
        finally:
            for each in tuple(self._open.values()):
                await each.session.close()

    def open(self, request: pb.OpenTerminalRequest) -> pb.Terminal:
        """Starts a command in a run whose process runs.

        Raises:
            FailedPrecondition, ResourceExhausted, InvalidArgument.
        """
        held = self.holdings.of_run(request.run)
        if held is None or held.launch is None:
            raise FailedPrecondition(
                f"{request.run} has no process now: nothing can be run beside it",
                reason="NOT_RUNNING",
                resource=request.run,
            )
        if len(self._open) >= MOST_SESSIONS:
            raise ResourceExhausted(f"{MOST_SESSIONS} commands are open on this agent already")
        wanted = Wanted(request.command, request.tty, request.rows, request.columns)
        session = Session.start(held.launch, wanted)
        terminal = str(uuid4())
        self._open[terminal] = _Open(request.run, session, self.clock.monotonic())
        return pb.Terminal(run=request.run, terminal=terminal)

    async def read(self, request: pb.ReadTerminalRequest) -> pb.TerminalOutput:
        """Returns what a command wrote; with its exit code it is forgotten.

        Raises:
            NotFound: there is none, or it has been read to its end.
        """
        found = self._find(request.run, request.terminal)
        found.reading = True
        try:
            output = await found.session.read(HOLD_S)
        finally:
            found.reading, found.read_at = False, self.clock.monotonic()
        if output.HasField("exit_code"):
            self._open.pop(request.terminal, None)
            await found.session.close()
        return output

    def write(self, request: pb.WriteTerminalRequest) -> pb.WriteTerminalResponse:
        """Gives a command input, a size, a signal or the end of input.

        Raises:
            NotFound, ResourceExhausted, InvalidArgument.
        """
        self._find(request.run, request.terminal).session.write(request)
        return pb.WriteTerminalResponse()

    async def close_abandoned(self) -> None:
        """Ends commands that nobody reads from any more."""
        now = self.clock.monotonic()
        for terminal, each in tuple(self._open.items()):
            if not each.reading and now - each.read_at > ABANDONED_S:
                _log.info("agent.terminal_abandoned", run=each.run)
                self._open.pop(terminal, None)
                await each.session.close()

    def _find(self, run: str, terminal: str) -> _Open:
        found = self._open.get(terminal)
        if found is None or found.run != run:
            raise NotFound(f"{run} has no terminal {terminal}: it has ended", resource=run)
        return found

    async def _answer_open(self, body: bytes) -> Message:
        return self.open(pb.OpenTerminalRequest.FromString(body))

    async def _answer_read(self, body: bytes) -> Message:
        return await self.read(pb.ReadTerminalRequest.FromString(body))

    async def _answer_write(self, body: bytes) -> Message:
        return self.write(pb.WriteTerminalRequest.FromString(body))

    def _receiver(
        self, bus: Bus, answer: Callable[[bytes], Awaitable[Message]]
    ) -> Callable[[Msg], Awaitable[None]]:
        async def respond(message: Msg) -> None:
            headers: dict[str, str] | None = None
            try:
                body = (await answer(message.data)).SerializeToString()
            except (EpochalError, DecodeError) as problem:
                error = problem if isinstance(problem, EpochalError) else InvalidArgument("no body")
                headers = {wire.ERROR_CODE: error.grpc_code, wire.ERROR: error.grpc_code}
                body = to_status(error).SerializeToString()
            try:
                with adapting():
                    await bus.client.publish(message.reply, body, headers=headers)
            except EpochalError as lost:
                _log.debug("agent.terminal_answer_lost", error=lost.message)

        async def receive(message: Msg) -> None:
            # nats-py awaits callbacks one by one: a task of its own keeps a read from holding
            # others back.
            task = asyncio.create_task(respond(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        return receive
