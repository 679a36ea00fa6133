"""What an agent needs of the platform, as it sees it; the bus is one way to have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import epochal_proto.v1 as pb

from epochal_scheduler.domain.attempts import Exited


class Scheduler(Protocol):
    """The scheduler, for one agent. Calls are repeated until answered."""

    async def claim(self, attempt: pb.AttemptRef) -> bool:
        """Returns whether the attempt is this agent's; False means that it never will be."""
        ...

    async def report_started(self, attempt: pb.AttemptRef, at: datetime) -> bool:
        """Returns whether the report was taken; False means that the agent is fenced."""
        ...

    async def report_exited(self, attempt: pb.AttemptRef, exited: Exited) -> bool:
        """Returns whether the report was taken; False means that the agent is fenced."""
        ...

    async def report_service(self, attempt: pb.AttemptRef, host: str, ports: Sequence[int]) -> bool:
        """Returns whether the report was taken; False means that the agent is fenced."""
        ...

    async def request_stop(self, run: str, reason: str) -> bool:
        """Asks that a run be stopped; returns whether that was taken."""
        ...


class CapturePort(Protocol):
    """Where captures go."""

    async def record_capture(self, capture: pb.Capture) -> None:
        """Records what an attempt was made of. Repeated until answered.

        Raises:
            EpochalError: refused for good.
        """
        ...


class LogPort(Protocol):
    """Where log lines go."""

    async def open(self, run: str, producer: str) -> pb.ProducerCursor:
        """Announces a producer; returns from which batch to go on. Repeated until answered."""
        ...

    async def publish(self, batch: pb.TelemetryBatch) -> None:
        """Returns when the broker has the batch on disk."""
        ...

    async def seal(self, run: str, producer: str, last_batch: int) -> None:
        """Returns when all batches are persisted and the producer is sealed."""
        ...


class ModelFiles(NamedTuple):
    """A version of a model by its full name, and the run and path that have its files."""

    version: str
    run: str
    path: str


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact: its path under its run, `sha256:HEX`, size."""

    path: str
    digest: str
    size_bytes: int


class ArtifactPort(Protocol):
    """The platform's artifact store, with the token of the run that asks."""

    async def list(self, token: str, run: str, prefix: str) -> list[Stored]:
        """Returns the artifacts of a run below a path.

        Raises:
            EpochalError: refused, or away for longer than is waited.
        """
        ...

    async def get(self, token: str, run: str, path: str, target: Path) -> str:
        """Brings a file, whole or not at all; returns its digest. Raises as `list`."""
        ...

    async def put(self, token: str, run: str, path: str, file: Path, kind: str) -> None:
        """Uploads a file. Raises as `list`."""
        ...

    async def model_version(self, token: str, model: str, wanted: str) -> ModelFiles:
        """Returns where the files of a model's version are, named by number or alias.

        Raises as `list`.
        """
        ...

    async def use_model(self, token: str, run: str, version: str) -> None:
        """Records that a run reads a version of a model. Raises as `list`."""
        ...
