"""Reading log lines of a run: producers one after the other, each in its own order.

A page token says, for each producer, which batch comes next and how many of its lines were sent,
so a tail neither misses nor repeats a line, however producers and sinks interleave.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.paging import foreign, pack, unpack

from epochal_tracker.columns import decode_lines
from epochal_tracker.store.telemetry import TelemetryStore

BLOCKS = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on within a producer: batch, and lines of it already sent."""

    batch: int
    sent: int


Places = Mapping[UUID, Place]

_START = Place(1, 0)


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines, where to go on, and whether more were there."""

    lines: list[pb.LogLine]
    places: Places
    more: bool


class LogReader:
    """Reads log lines."""

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store

    async def read(self, run_id: UUID, places: Places, limit: int) -> LogPage:
        """Read up to `limit` lines from some places on.

        Raises:
            DataLoss: a block does not decode.
        """
        lines: list[pb.LogLine] = []
        reached = dict(places)
        for producer in await self._store.log_producers(run_id):
            while len(lines) <= limit:
                place = reached.get(producer, _START)
                blocks = await self._store.log_chunks(run_id, producer, place.batch, BLOCKS)
                if not blocks:
                    break
                for batch, block in blocks:
                    content = decode_lines(block)
                    skip = place.sent if batch == place.batch else 0
                    room = limit + 1 - len(lines)
                    taken = content[skip : skip + room]
                    lines += taken
                    if skip + len(taken) < len(content):
                        place = Place(batch, skip + len(taken))
                        break
                    place = Place(batch + 1, 0)
                reached[producer] = place
                if len(lines) > limit:
                    break
            if len(lines) > limit:
                lines.pop()
                place = reached[producer]
                reached[producer] = await self._step_back(run_id, producer, place)
                return LogPage(lines, reached, True)
        return LogPage(lines, reached, False)

    async def _step_back(self, run_id: UUID, producer: UUID, place: Place) -> Place:
        """Return the place one line before; the line read ahead belongs to the next page."""
        if place.sent:
            return Place(place.batch, place.sent - 1)
        blocks = await self._store.log_chunks(run_id, producer, place.batch - 1, 1)
        return Place(blocks[0][0], len(decode_lines(blocks[0][1])) - 1)


def token_of(places: Places) -> str:
    """Return places as a page token."""
    plain = {producer.hex: [place.batch, place.sent] for producer, place in places.items()}
    return pack(json.dumps(plain, separators=(",", ":")))


def places_of(token: str) -> dict[UUID, Place]:
    """Return the places of a page token; none for an empty one.

    Raises:
        InvalidArgument: the token is not one of ours.
    """
    if not token:
        return {}
    try:
        plain = json.loads(unpack(token))
        return {UUID(key): Place(int(batch), int(sent)) for key, (batch, sent) in plain.items()}
    except (ValueError, TypeError, AttributeError):
        raise foreign() from None
