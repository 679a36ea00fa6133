"""Times of day as protobuf has them."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(at: datetime) -> Timestamp:
    """Return an aware time as a Timestamp."""
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp
