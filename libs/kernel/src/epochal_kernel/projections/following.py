"""What comes next: where a consumer goes on, and which of what has arrived it can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventRecord

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Skipped:
    """Events after the `checkpoint` in the database, up to `upto`, that nobody here looks at."""

    checkpoint: int
    upto: Position

    @property
    def size(self) -> int:
        """How many they are."""
        return self.upto - self.checkpoint

    def beyond(self, checkpoint: Position) -> Position:
        """Return where to go on, when the database has this checkpoint.

        A checkpoint that is further on was moved by a twin; one that went back belongs to a
        database that was restored, and what was skipped then no longer counts.
        """
        return self.upto if self.checkpoint <= checkpoint < self.upto else checkpoint


def contiguous(records: Sequence[EventRecord], position: int) -> list[EventRecord]:
    """Pick the run position+1, position+2, ... out of what has arrived, whatever its order."""
    waiting = {record.position: record for record in records if record.position > position}
    run: list[EventRecord] = []
    while (record := waiting.get(Position(position + 1))) is not None:
        run.append(record)
        position += 1
        if len(run) == BATCH:
            break
    return run
