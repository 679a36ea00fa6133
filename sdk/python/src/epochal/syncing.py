"""`epochal sync`: brings what runs left on this machine to the platform; any number of times.

Everything is recognised by the platform when it comes again: operations by their request id,
batches by their number. So a sync may be killed anywhere and repeated; a folder disappears only
when the platform has all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import epochal_proto.v1 as pb

from epochal.client import Client
from epochal.ending import finish_request, incomplete_request
from epochal.errors import EpochalError, Unavailable
from epochal.operations import Operator, is_refusal, refusal_in_words
from epochal.records.gathering import packed
from epochal.sending import Sender
from epochal.spool.drafts import draft_files
from epochal.spool.folder import RunFolder
from epochal.spool.journal import Journal
from epochal.spool.segments import SegmentSpool


class Result(Enum):
    """What became of a folder."""

    SENT = "sent"
    BUSY = "in use by a running process"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync did with one folder: `notes` say what was refused or is missing, and why."""

    path: Path
    run: str
    result: Result
    batches: int = 0
    notes: tuple[str, ...] = ()


Progress = Callable[[int, int], None]
"""Told how many batches are persisted, of how many."""


def sync_folder(
    path: Path,
    client: Client,
    *,
    stall_timeout_s: float = 60.0,
    progress: Progress = lambda done, of: None,
) -> Synced:
    """Sends one folder; gives up when the platform persists nothing for `stall_timeout_s`.

    Raises:
        InvalidArgument: It is not the folder of a run.
        EpochalError: The platform is away or does not let us; the folder is kept.
    """
    folder = RunFolder.open(path)
    if not folder.lock():
        return Synced(path, folder.run, Result.BUSY)
    journal, spool = folder.journal(), folder.spool()
    operator = Operator(client, folder)
    sender = Sender(client, folder.run, str(folder.producer), spool, stall_s=5.0)
    notes: list[str] = []
    try:
        _complete_journal(folder, journal, spool)
        _perform(journal, operator, notes, finishing=False)
        sender.start()
        _drain(sender, spool, stall_timeout_s, progress)
        batches = max(spool.last_batch, sender.cursor.batch)
        sender.seal(stall_timeout_s)
        _perform(journal, operator, notes, finishing=True)
    finally:
        sender.close()
        operator.close()
        journal.close()
        spool.close()
        folder.release()
    if dropped := folder.dropped()[0]:
        notes.append(f"{dropped} points had been dropped; the run is marked incomplete")
    folder.remove()
    return Synced(path, folder.run, Result.SENT, batches, tuple(notes))


def _complete_journal(folder: RunFolder, journal: Journal, spool: SegmentSpool) -> None:
    """Adds what the process would have recorded had it not died."""
    if spool.damaged_bytes and not folder.dropped()[0]:
        folder.note_dropped(1, f"{spool.damaged_bytes} bytes of the spool cannot be read")
    for file in draft_files(folder.path / "records"):
        for operation in packed(folder, file):
            journal.append(operation)
        file.unlink()
    if journal.has(pb.FinishRunRequest):
        return
    dropped, why = folder.dropped()
    if dropped:
        journal.append(incomplete_request(folder, dropped, why))
    if folder.owned:
        message = "its process ended without finishing it; what it had logged came by epochal sync"
        journal.append(finish_request(folder.run, "failed", message, folder.written_at()))


def _perform(journal: Journal, operator: Operator, notes: list[str], *, finishing: bool) -> None:
    for number, operation in journal.pending():
        if isinstance(operation, pb.FinishRunRequest) and not finishing:
            return
        try:
            operator.perform(operation, patience_s=10.0)
        except EpochalError as error:
            if isinstance(operation, pb.CreateRunRequest) or not is_refusal(error):
                raise
            notes.append(refusal_in_words(operation, error))
        journal.mark_done(number)


def _drain(sender: Sender, spool: SegmentSpool, stall_timeout_s: float, progress: Progress) -> None:
    while not sender.drain(0.0):
        before = sender.cursor.batch
        progress(before, spool.last_batch)
        if sender.error is not None:
            raise sender.error
        if not sender.wait_for_news(before, stall_timeout_s):
            raise sender.trouble or Unavailable("the platform persists nothing at the moment")
    progress(spool.last_batch, spool.last_batch)
