"""Named places where a test may stop the process dead.

In production `failpoint` is a dictionary look-up that finds nothing. A test sets
`EPOCHAL_FAILPOINTS="relay.after_publish=kill"` (or `=kill@3` for the third time) and the process
gets SIGKILL there: no clean-up, as in a power loss. Every name must be declared in `FAILPOINTS`,
and the failure-matrix test walks that list, so a new step cannot stay untested.
"""

from __future__ import annotations

import os
import signal
from typing import Final

FAILPOINTS: Final[dict[str, str]] = {
    "append.before": "commands are coalesced, nothing is sent to PostgreSQL",
    "append.before_commit": "the batch is inserted, not committed",
    "append.after_commit": "the batch is committed, no caller has its answer",
    "relay.before_publish": "a page is read, nothing is published",
    "relay.after_publish": "a window is published, its acknowledgements are not read",
    "consumer.before_commit": "effects and checkpoint are written, not committed",
    "consumer.after_commit": "the batch is committed, messages are not acknowledged",
    "sink.after_copy": "telemetry is copied, not committed",
    "sink.after_commit": "telemetry is committed, messages are not acknowledged",
    "writer.before_commit": "points of LogMetrics are stored, not committed",
    "writer.after_commit": "points of LogMetrics are committed, no caller has its answer",
    "traces.after_spans": "spans are stored, their traces are not recorded",
    "archive.after_put": "an archived object is stored, no event names it",
    "archive.after_event": "an archived object is told of, its rows may not go yet",
    "archive.after_cursor": "rows that are archived may go, none has gone",
    "archive.before_delete": "a deletion is told of, nothing is deleted",
    "restore.before_commit": "archived rows are back, not committed",
    "dispatch.before_publish": "a run is released, its work item is not published",
    "dispatch.after_publish": "a work item is published, its task is not removed",
    "agent.after_claim": "an attempt is claimed, its process is not started",
    "agent.after_exit": "the end of a process is told, its attempt is not put away",
    "agent.after_start": "a process is started, its agent has told nobody",
    "agent.before_exit": "a process has ended and its lines are sealed, nobody was told",
    "seal.before_commit": "tiles and a seal are written, not committed",
    "seal.after_commit": "a seal is committed, its tiles are not published",
    "segment.after_put": "a segment of the log is archived, nothing remembers it",
    "segment.before_manifest": "segments and checkpoint are archived, the manifest is of before",
    "seal.after_tile": "a tile is published, the others and the checkpoint are not",
    "fork.begun": "a data folder says that it becomes a fork, it has no database",
    "fork.log_copied": "the log of a fork is copied, it is not proved and has no mark",
    "fork.copied": "all of a fork is there, its folder does not say so",
}

_VARIABLE: Final = "EPOCHAL_FAILPOINTS"


class UnknownFailpoint(ValueError):
    """The environment names a failpoint that no code has."""


def _parse(text: str) -> dict[str, int]:
    armed: dict[str, int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, action = item.partition("=")
        verb, _, count = action.partition("@")
        count = count or "1"
        if name not in FAILPOINTS or verb != "kill" or not count.isdecimal() or int(count) < 1:
            known = ", ".join(sorted(FAILPOINTS))
            raise UnknownFailpoint(
                f"{_VARIABLE}: {item!r} is not NAME=kill[@N] with NAME of {known}"
            )
        armed[name] = int(count)
    return armed


_armed: Final[dict[str, int]] = _parse(os.environ.get(_VARIABLE, ""))


def failpoint(name: str) -> None:
    """Die here with SIGKILL when a test armed `name`; else do nothing."""
    if not _armed:
        return
    left = _armed.get(name)
    if left is None:
        return
    if left <= 1:
        os.kill(os.getpid(), signal.SIGKILL)
    _armed[name] = left - 1
