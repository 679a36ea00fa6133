"""The coalescing appender: many concurrent commands, one transaction, one fsync.

While one batch commits, the commands that arrive meanwhile form the next. A batch holds at most
one command a stream and each command_id once, so every command is judged on the version it will
really find. Losers of the optimistic check are told so; they never fail the batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from google.protobuf.message import Message

from epochal_kernel.cancelling import check_cancelled
from epochal_kernel.clock import Clock
from epochal_kernel.errors import (
    CommandMismatch,
    EpochalError,
    Internal,
    ResourceExhausted,
    Unavailable,
    VersionConflict,
)
from epochal_kernel.failpoints import failpoint
from epochal_kernel.ids import Ids, Position, Version
from epochal_kernel.log.commands import Appended, Command, Stream
from epochal_kernel.log.events import category_of
from epochal_kernel.log.personal import is_pseudonym, renamed, reworded, texts_in, users_in
from epochal_kernel.log.sealed_texts import seal
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import Pool, adapting
from epochal_kernel.signals import LogSignal

BATCH = 512
QUEUE = 8_192
RETRIES = 5
RETRY_PAUSE_S = 0.2

_APPEND = (
    "SELECT status, first_position, last_position, version "
    "FROM log.append($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15) ORDER BY command"
)


@dataclass(slots=True)
class _Pending:
    command: Command
    event_ids: list[UUID]
    people: set[str]
    answer: asyncio.Future[Appended]


class Appender:
    """Appends commands for one process. `run` must be running for `append` to be answered."""

    def __init__(
        self, pool: Pool, signal: LogSignal, ids: Ids, clock: Clock, subjects: Subjects
    ) -> None:
        self._pool = pool
        self._subjects = subjects
        self._signal = signal
        self._ids = ids
        self._clock = clock
        self._queue: deque[_Pending] = deque()
        self._wake = asyncio.Event()
        self._closing = False

    async def append(self, command: Command) -> Appended:
        """Append a command's events to its stream and return where they are.

        Safe to repeat with the same command_id after any error.

        Raises:
            VersionConflict: the stream is not at the expected version.
            CommandMismatch: the command_id was used for another request.
            InvalidArgument: somebody is named by their pseudonym who has a name.
            ResourceExhausted: too many commands wait, or the disk is full.
            Unavailable: PostgreSQL does not answer; the outcome is not known.
        """
        if not command.events:
            raise ValueError("a command needs at least one event")
        people = {command.context.actor}
        for event in command.events:
            people.update(users_in(event.payload))
            category = category_of(type(event.payload))
            if category != command.stream.category:
                raise ValueError(
                    f"{event.payload.DESCRIPTOR.full_name} belongs to {category}, "
                    f"not to {command.stream.category}"
                )
        if any(map(is_pseudonym, people)):
            await self._subjects.refuse_living(people)
        if self._closing:
            raise Unavailable("this service is shutting down", reason="DRAINING")
        if len(self._queue) >= QUEUE:
            raise ResourceExhausted(
                f"{QUEUE} commands wait for the log already", reason="APPEND_QUEUE_FULL"
            )
        answer: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        event_ids = [self._ids.uuid7() for _ in command.events]
        self._queue.append(_Pending(command, event_ids, people, answer))
        self._wake.set()
        return await answer

    async def run(self) -> None:
        """Append batches until `close` was called and nothing waits."""
        while True:
            check_cancelled()
            if not self._queue:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._take()
            if not batch:
                continue
            failpoint("append.before")
            try:
                await self._append_with_retries(batch)
            except Internal:
                # PostgreSQL refuses a value. Alone, each command answers for itself only.
                for pending in batch:
                    await self._append_alone(pending)
            except EpochalError as error:
                _fail(batch, error)

    def close(self) -> None:
        """Refuse new commands; `run` ends when those that wait are answered."""
        self._closing = True
        self._wake.set()

    def _take(self) -> list[_Pending]:
        batch: list[_Pending] = []
        later: list[_Pending] = []
        streams: set[Stream] = set()
        ids: set[UUID] = set()
        while self._queue and len(batch) < BATCH:
            pending = self._queue.popleft()
            if pending.answer.cancelled():
                continue
            command = pending.command
            if command.stream in streams or command.context.command_id in ids:
                later.append(pending)
                continue
            streams.add(command.stream)
            ids.add(command.context.command_id)
            batch.append(pending)
        self._queue.extendleft(reversed(later))
        return batch

    async def _append_with_retries(self, batch: list[_Pending]) -> None:
        for attempt in range(RETRIES):
            try:
                rows = await self._append_once(batch)
            except Unavailable:
                # Nobody knows whether it committed. The same command_ids make it safe to ask again.
                if attempt == RETRIES - 1:
                    raise
                await self._clock.sleep(RETRY_PAUSE_S * 2**attempt)
                continue
            self._answer(batch, rows)
            return

    async def _append_alone(self, pending: _Pending) -> None:
        try:
            await self._append_with_retries([pending])
        except EpochalError as error:
            _fail([pending], error)

    async def _append_once(self, batch: list[_Pending]) -> Sequence[asyncpg.Record]:
        commands = [pending.command for pending in batch]
        contexts = [command.context for command in commands]
        people = set[str]().union(*(pending.people for pending in batch))
        names = await self._subjects.pseudonyms(people)
        numbers: list[int] = []
        event_ids: list[UUID] = []
        types: list[str] = []
        payloads: list[bytes] = []
        resources: list[str] = []
        for number, pending in enumerate(batch, start=1):
            command = pending.command
            for event, event_id in zip(command.events, pending.event_ids, strict=True):
                numbers.append(number)
                event_ids.append(event_id)
                types.append(event.payload.DESCRIPTOR.full_name)
                payload = await self._hidden(event.payload, command.context.actor, names)
                payloads.append(payload.SerializeToString(deterministic=True))
                resources.append(event.resource)
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                rows: Sequence[asyncpg.Record] = await connection.fetch(
                    _APPEND,
                    [context.command_id for context in contexts],
                    [context.request_sha256 for context in contexts],
                    [context.org_id for context in contexts],
                    [command.stream.category for command in commands],
                    [command.stream.id for command in commands],
                    [command.expected_version for command in commands],
                    [names.get(context.actor, context.actor) for context in contexts],
                    [context.correlation_id for context in contexts],
                    [context.causation_id for context in contexts],
                    [context.traceparent for context in contexts],
                    numbers,
                    event_ids,
                    types,
                    payloads,
                    resources,
                )
                failpoint("append.before_commit")
        failpoint("append.after_commit")
        return rows

    async def _hidden(self, payload: Message, actor: str, names: Mapping[str, str]) -> Message:
        """The payload as it is stored: people by pseudonym, the actor's own words sealed."""
        texts = set(texts_in(payload)) if actor in names else ()
        if texts:
            key = await self._subjects.key(names[actor])
            if key is not None:
                payload = reworded(payload, {one: seal(one, names[actor], key) for one in texts})
        return renamed(payload, names)

    def _answer(self, batch: list[_Pending], rows: Sequence[asyncpg.Record]) -> None:
        highest = 0
        for pending, (status, first, last, version) in zip(batch, rows, strict=True):
            if status in ("appended", "repeated"):
                highest = max(highest, last)
                answer = Appended(
                    Position(first), Position(last), Version(version), status == "repeated"
                )
                if not pending.answer.done():
                    pending.answer.set_result(answer)
                continue
            stream = pending.command.stream
            error: EpochalError
            if status == "conflict":
                error = VersionConflict(
                    f"stream {stream.category}/{stream.id} is at version {version}, "
                    f"not at {pending.command.expected_version}"
                )
            else:
                error = CommandMismatch(
                    f"request_id {pending.command.context.command_id} was used before with a "
                    "different request; choose a new one"
                )
            if not pending.answer.done():
                pending.answer.set_exception(error)
        self._signal.notify(highest)


def _fail(batch: Sequence[_Pending], error: EpochalError) -> None:
    for pending in batch:
        if not pending.answer.done():
            pending.answer.set_exception(error)
