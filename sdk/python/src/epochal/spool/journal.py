"""What a run asked of the platform besides telemetry, in order, as the requests themselves.

Each request is written before it is tried, with a `request_id` derived from the producer and its
place here (uuid5). So it may be tried again by another process, any number of times, and is done
once. What is done is counted in a file beside it; losing that file only repeats harmless calls.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from epochal.spool.records import frame, scan

Operation = (
    pb.CreateRunRequest
    | pb.LogParamsRequest
    | pb.SetTagsRequest
    | pb.ReportLossRequest
    | pb.UseDatasetRequest
    | pb.LogDatasetRequest
    | pb.UseModelRequest
    | pb.CommitArtifactRequest
    | pb.RegisterModelVersionRequest
    | pb.RecordOutputsRequest
    | pb.RecordCaptureRequest
    | pb.LogRecordsRequest
    | pb.RenameRunRequest
    | pb.AnnotateRunRequest
    | pb.FinishRunRequest
    | pb.DeclareAlertRulesRequest
)
"""Requests a journal holds. `CommitArtifactRequest` stands for the upload of its file."""

_KINDS: tuple[type[Operation], ...] = (
    pb.CreateRunRequest,
    pb.LogParamsRequest,
    pb.SetTagsRequest,
    pb.UseDatasetRequest,
    pb.LogDatasetRequest,
    pb.UseModelRequest,
    pb.CommitArtifactRequest,
    pb.RegisterModelVersionRequest,
    pb.RecordOutputsRequest,
    pb.RecordCaptureRequest,
    pb.FinishRunRequest,
    pb.ReportLossRequest,
    pb.LogRecordsRequest,
    pb.RenameRunRequest,
    pb.AnnotateRunRequest,
    pb.DeclareAlertRulesRequest,
)


class Journal:
    """The operations of one producer; any number of threads."""

    def __init__(self, folder: Path, producer: UUID) -> None:
        self._path = folder / "journal.spool"
        self._done_path = folder / "journal.done"
        self._producer = producer
        self._lock = threading.Lock()
        self._file = open(self._path, "ab+", buffering=0)  # noqa: SIM115 - closed by close()
        self._operations = self._recover()
        self._done = min(self._read_done(), len(self._operations))

    def append(self, operation: Operation) -> int:
        """Writes one operation, with its request id set, and returns its number from 1.

        Raises:
            OSError: The disk is full or gone.
        """
        with self._lock:
            number = len(self._operations) + 1
            operation.request_id = str(uuid5(self._producer, f"journal/{number}"))
            packed = Any()
            packed.Pack(operation)
            self._file.write(frame(number, 0, packed.SerializeToString()))
            self._operations.append(operation)
            return number

    def pending(self) -> list[tuple[int, Operation]]:
        """What is not done yet, with its numbers, in order."""
        with self._lock:
            return list(enumerate(self._operations, 1))[self._done :]

    def mark_done(self, number: int) -> None:
        """Remembers that all up to this one need not be tried again."""
        with self._lock:
            if number <= self._done:
                return
            self._done = number
            fresh = self._done_path.with_suffix(".new")
            fresh.write_text(str(number), encoding="ascii")
            fresh.replace(self._done_path)

    def has(self, kind: type[Message]) -> bool:
        """Whether an operation of this kind was ever written."""
        with self._lock:
            return any(isinstance(operation, kind) for operation in self._operations)

    def close(self) -> None:
        """Closes the file; it stays on disk."""
        self._file.close()

    def _recover(self) -> list[Operation]:
        data = self._path.read_bytes()
        operations: list[Operation] = []
        end = 0
        for place in scan(data):
            operations.append(_unpack(data[place.offset : place.end]))
            end = place.end
        if end < len(data):
            os.ftruncate(self._file.fileno(), end)
        return operations

    def _read_done(self) -> int:
        try:
            return int(self._done_path.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0


def _unpack(body: bytes) -> Operation:
    packed = Any.FromString(body)
    for kind in _KINDS:
        if packed.TypeName() == kind.DESCRIPTOR.full_name:
            return kind.FromString(packed.value)
    raise ValueError(f"journal holds {packed.type_url}: written by a newer version of epochal")
