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
_LARGEST = 2**62


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
            place = reached.get(producer, _START)
            while blocks := await self._store.log_chunks(run_id, producer, place.batch, BLOCKS):
                for batch, block in blocks:
                    content = decode_lines(block)
                    skip = place.sent if batch == place.batch else 0
                    taken = content[skip : skip + limit - len(lines)]
                    lines += taken
                    if skip + len(taken) < len(content):
                        reached[producer] = Place(batch, skip + len(taken))
                        return LogPage(lines, reached, True)
                    reached[producer] = place = Place(batch + 1, 0)
        return LogPage(lines, reached, False)


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
        places = {UUID(key): Place(int(batch), int(sent)) for key, (batch, sent) in plain.items()}
    except (ValueError, TypeError, AttributeError):
        raise foreign() from None
    if not all(0 < one.batch < _LARGEST and 0 <= one.sent < _LARGEST for one in places.values()):
        raise foreign()
    return places
