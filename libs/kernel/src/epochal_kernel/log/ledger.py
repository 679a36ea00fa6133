"""The ledger: decide on the folded state of one stream, append what was decided.

A decision is made on a state that may be old by the time it is appended; the expected version
catches that, and the ledger decides again on what is there now. A refusal made on a cached state
is checked against the log before it is told, so a stale cache can delay but never mislead.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

from google.protobuf.message import Message

from epochal_kernel.errors import CommandMismatch, EpochalError, VersionConflict
from epochal_kernel.ids import Position, Version
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import Command, CommandContext, NewEvent, Stream
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Pool, adapting

CACHE = 10_000
ATTEMPTS = 32

State = TypeVar("State")

_COMMAND = "SELECT request_sha256, last_position FROM log.command WHERE command_id = $1"


class Aggregate(Protocol[State]):
    """How one kind of stream folds: pure, no clock, no ids, no IO."""

    @property
    def category(self) -> str:
        """Category of the streams it folds."""
        ...

    def initial(self) -> State:
        """Return the state before the first event."""
        ...

    def evolve(self, state: State, event: Message) -> State:
        """Return the state after one event; must accept every history the log can hold."""
        ...


Decide = Callable[[State], Sequence[Message]]


@dataclass(frozen=True, slots=True)
class Outcome(Generic[State]):
    """What came of a command.

    Attributes:
        state: of the stream, with the decided events folded in.
        version: of the stream in that state.
        position: of the last event decided; of the log's head when nothing was.
        events: what was decided; empty when nothing was or the command is a repetition.
        repeated: whether an earlier try with the same command_id had done it.
    """

    state: State
    version: Version
    position: Position
    events: tuple[Message, ...]
    repeated: bool


class Ledger:
    """Executes commands against streams, with a bounded cache of folded states."""

    def __init__(self, pool: Pool, appender: Appender, codec: EventCodec) -> None:
        self._pool = pool
        self._reader = LogReader(pool)
        self._appender = appender
        self._codec = codec
        self._cache: OrderedDict[Stream, tuple[object, Version]] = OrderedDict()
        self._locks: WeakValueDictionary[Stream, asyncio.Lock] = WeakValueDictionary()

    def forget(self) -> None:
        """Drop what is remembered of every stream; it is read again when it is needed."""
        self._cache.clear()

    async def load(self, aggregate: Aggregate[State], stream_id: UUID) -> tuple[State, Version]:
        """Fold a stream to its present state and version; version 0 means it does not exist."""
        return await self._fold(aggregate, Stream(aggregate.category, stream_id))

    async def execute(
        self,
        aggregate: Aggregate[State],
        stream_id: UUID,
        resource: str,
        decide: Decide[State],
        context: CommandContext,
    ) -> Outcome[State]:
        """Decide on a stream and append the decision, once per command_id.

        Args:
            aggregate: how the stream folds.
            stream_id: which stream of the aggregate's category.
            resource: resource name that the events are recorded under.
            decide: pure; returns the events to append, or raises to refuse. May be called
                several times.
            context: who asks; its command_id makes a repetition safe.

        Raises:
            EpochalError: what `decide` raised, or what `Appender.append` raises.
        """
        stream = Stream(aggregate.category, stream_id)
        async with self._lock(stream):
            known = stream in self._cache
            return await self._execute(aggregate, stream, resource, decide, context, known)

    async def begin(
        self,
        aggregate: Aggregate[State],
        stream_id: UUID,
        resource: str,
        decide: Decide[State],
        context: CommandContext,
    ) -> Outcome[State]:
        """Execute on a stream that most likely does not exist: it is not read first.

        The expected version finds the mistake; then the outcome is that of `execute`. Arguments
        and errors as there.
        """
        stream = Stream(aggregate.category, stream_id)
        async with self._lock(stream):
            return await self._execute(aggregate, stream, resource, decide, context, True)

    def _lock(self, stream: Stream) -> asyncio.Lock:
        lock = self._locks.get(stream)
        if lock is None:
            lock = self._locks[stream] = asyncio.Lock()
        return lock

    async def _execute(
        self,
        aggregate: Aggregate[State],
        stream: Stream,
        resource: str,
        decide: Decide[State],
        context: CommandContext,
        known: bool,
    ) -> Outcome[State]:
        fresh = not known
        attempt = 0
        while True:
            state, version = (
                await self._fold(aggregate, stream) if fresh else self._cached(stream, aggregate)
            )
            try:
                events = tuple(decide(state))
            except EpochalError:
                if not fresh:
                    fresh = True
                    continue
                repeated = await self._repetition(context)
                if repeated is not None:
                    return Outcome(state, version, repeated, (), True)
                raise
            if not events:
                if not fresh:
                    fresh = True
                    continue
                repeated = await self._repetition(context)
                position = repeated or (await self._reader.head()).position
                return Outcome(state, version, position, (), repeated is not None)
            try:
                appended = await self._appender.append(
                    Command(
                        context, stream, version, [NewEvent(event, resource) for event in events]
                    )
                )
            except VersionConflict:
                attempt += 1
                if attempt >= ATTEMPTS:
                    raise
                fresh = True
                continue
            if appended.repeated:
                state, version = await self._fold(aggregate, stream)
                return Outcome(state, version, appended.last_position, (), True)
            for event in events:
                state = aggregate.evolve(state, event)
            self._remember(stream, state, appended.version)
            return Outcome(state, appended.version, appended.last_position, events, False)

    async def _fold(self, aggregate: Aggregate[State], stream: Stream) -> tuple[State, Version]:
        state, version = self._cached(stream, aggregate)
        async for record in self._reader.stream(stream.category, stream.id, version):
            payload = await self._codec.decode_payload(record.type, record.payload, record.position)
            state, version = aggregate.evolve(state, payload), record.version
        self._remember(stream, state, version)
        return state, version

    def _cached(self, stream: Stream, aggregate: Aggregate[State]) -> tuple[State, Version]:
        found = self._cache.get(stream)
        if found is None:
            return aggregate.initial(), Version(0)
        return found  # type: ignore[return-value]  # one aggregate per category keeps the type

    def _remember(self, stream: Stream, state: object, version: Version) -> None:
        self._cache[stream] = (state, version)
        self._cache.move_to_end(stream)
        if len(self._cache) > CACHE:
            self._cache.popitem(last=False)

    async def _repetition(self, context: CommandContext) -> Position | None:
        with adapting():
            row = await self._pool.fetchrow(_COMMAND, context.command_id)
        if row is None:
            return None
        if row[0] != context.request_sha256:
            raise CommandMismatch(
                f"request_id {context.command_id} was used before with a different request; "
                "choose a new one"
            )
        return Position(row[1])
