"""The log against a list: any sequence of appends, retries and conflicts does the same to both."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid5

import pytest
from epochal_kernel.errors import CommandMismatch, VersionConflict
from epochal_kernel.ids import NIL, Position
from epochal_kernel.log.chain import GENESIS, first_bad
from epochal_kernel.log.commands import Appended
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from kernel_world import LogWorld, command, context, log_world, tags

STREAMS = [uuid5(NIL, f"stream {n}") for n in range(3)]
T = TypeVar("T")


@dataclass
class Model:
    """What a list would hold."""

    events: list[tuple[UUID, str]]
    commands: dict[UUID, tuple[bytes, int, int]]

    def version(self, stream: UUID) -> int:
        return sum(one == stream for one, _ in self.events)


class LogMachine(RuleBasedStateMachine):
    """Drives a real log in PostgreSQL."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.world: LogWorld | None = None
        self.used: list[UUID] = []
        self.made = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize()
    def open(self) -> None:
        self.world = self.run(self.stack.enter_async_context(log_world(self.url)))
        assert self.world is not None
        self.model = Model([], {})
        self.base = self.run(self.world.reader.head()).position
        # One database for all examples: each begins with streams and ids of its own.
        self.streams = [uuid5(stream, str(self.base)) for stream in STREAMS]

    @rule(
        stream=st.integers(0, 2),
        drift=st.sampled_from([None, 0, 0, 0, -1, 1]),
        size=st.integers(1, 4),
        request_byte=st.sampled_from([b"a", b"b"]),
        reuse=st.booleans(),
        data=st.data(),
    )
    def append(
        self,
        stream: int,
        drift: int | None,
        size: int,
        request_byte: bytes,
        reuse: bool,
        data: st.DataObject,
    ) -> None:
        assert self.world is not None
        target = self.streams[stream]
        if reuse and self.used:
            command_id = data.draw(st.sampled_from(self.used))
        else:
            command_id = context().command_id
            self.used.append(command_id)
        expected = None if drift is None else self.model.version(target) + drift
        events = [tags(target, f"n{self.made + n}") for n in range(size)]
        self.made += size
        wanted = command(target, expected, events=events, of=context(command_id, request_byte * 32))
        try:
            answer: Appended | str = self.run(self.world.appender.append(wanted))
        except VersionConflict:
            answer = "conflict"
        except CommandMismatch:
            answer = "mismatch"
        assert answer == self.judge(
            wanted.context.command_id, request_byte, target, expected, events
        )

    def judge(
        self,
        command_id: UUID,
        request_byte: bytes,
        stream: UUID,
        expected: int | None,
        events: list[Any],
    ) -> Appended | str:
        known = self.model.commands.get(command_id)
        if known is not None:
            if known[0] != request_byte:
                return "mismatch"
            return Appended(
                Position(known[1]),
                Position(known[2]),
                self.model.version(stream),
                True,  # type: ignore[arg-type]  # a version is an int
            )
        if expected is not None and expected != self.model.version(stream):
            return "conflict"
        first = self.base + len(self.model.events) + 1
        self.model.events += [(stream, next(iter(event.tags))) for event in events]
        last = self.base + len(self.model.events)
        self.model.commands[command_id] = (request_byte, first, last)
        return Appended(Position(first), Position(last), self.model.version(stream), False)  # type: ignore[arg-type]  # a version is an int

    @invariant()
    def the_log_is_the_list(self) -> None:
        if self.world is None:
            return
        records = self.run(self.world.reader.page(Position(self.base)))
        assert len(records) == len(self.model.events)
        versions: dict[UUID, int] = {}
        for record, (stream, name) in zip(records, self.model.events, strict=True):
            versions[stream] = versions.get(stream, 0) + 1
            assert (record.stream_id, record.version) == (stream, versions[stream])
            assert name.encode() in record.payload

    def teardown(self) -> None:
        if self.world is not None:
            records = self.run(self.world.reader.page(Position(0), limit=100_000))
            assert first_bad(records, Position(0), GENESIS)[1] is None
        self.run(self.stack.aclose())
        self.runner.close()


@pytest.mark.usefixtures("postgres_server")
def test_any_history_of_commands_matches_a_list(database: str) -> None:
    LogMachine.url = database
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
