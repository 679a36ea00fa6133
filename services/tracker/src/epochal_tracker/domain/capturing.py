"""What runs were made of: recorded once or in parts, kept as one capture for each attempt."""

from __future__ import annotations

from collections.abc import Sequence

import epochal_proto.v1 as pb
from google.protobuf.message import Message


def record_capture(run: str, capture: pb.Capture) -> Sequence[Message]:
    """Record what a run was made of."""
    whole = pb.Capture()
    whole.CopyFrom(capture)
    whole.run = run
    return [pb.CaptureRecorded(run=run, capture=whole)]


def merged(before: pb.Capture, added: pb.Capture) -> pb.Capture:
    """Return what is known of an attempt when more is told of it.

    The agent and the process itself tell of the same attempt, in any order: what is told last
    counts, what is not told again stays.
    """
    whole = pb.Capture()
    whole.CopyFrom(before)
    if added.command:
        del whole.command[:]
    whole.MergeFrom(added)
    missing = list(dict.fromkeys(whole.missing))
    del whole.missing[:]
    whole.missing.extend(missing)
    return whole
