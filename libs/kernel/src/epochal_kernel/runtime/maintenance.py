"""The MaintenanceService that every service serves: rebuild the read models and compare.

The rebuilt generation lives in a schema of its own (`tracker_replay`) and is dropped afterwards;
nothing of the live one changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import epochal_proto.v1 as pb

from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Connection, Pool
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.rebuild import digests, live_digests, replay
from epochal_kernel.projections.store import (
    create_generation,
    elsewhere,
    live_generation,
)
from epochal_kernel.rpc.context import CallContext


class Maintenance:
    """Replays the log into a schema beside the live one."""

    def __init__(self, pool: Pool, model: ReadModel, codec: EventCodec) -> None:
        self._pool = pool
        self._model = model
        self._codec = codec

    async def replay_read_models(
        self, request: pb.ReplayReadModelsRequest, context: CallContext
    ) -> AsyncIterator[pb.ReplayLogResponse]:
        """Rebuild from position 0 to where the live read model is, then compare digests."""
        async with self._scratch() as (connection, schema):
            live = await live_generation(connection, self._model.service)
            assert live is not None
            target, live_tables = await live_digests(self._pool, self._model, live)
            yield self._progress(Position(0), target)
            async for position in replay(
                connection, self._model, schema, self._codec, target, LogReader(self._pool)
            ):
                yield self._progress(position, target)
            rebuilt = await digests(connection, self._model)
            answer = self._progress(target, target)
            answer.done = True
            for table, live_digest in live_tables.items():
                answer.tables.add(
                    table=table,
                    live_rows=live_digest.rows,
                    live_digest=live_digest.sha256,
                    rebuilt_rows=rebuilt[table].rows,
                    rebuilt_digest=rebuilt[table].sha256,
                )
            yield answer

    def _progress(self, position: Position, target: Position) -> pb.ReplayLogResponse:
        return pb.ReplayLogResponse(service=self._model.service, position=position, target=target)

    @asynccontextmanager
    async def _scratch(self) -> AsyncIterator[tuple[Connection, str]]:
        """A connection with an empty generation, its name unique to this replay."""
        async with elsewhere(self._pool) as connection:
            number = await connection.fetchval("SELECT pg_backend_pid()")
            schema = f"{self._model.service}_replay_{number}"
            await create_generation(connection, self._model, schema)
            try:
                yield connection, schema
            finally:
                await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
